"""map() of a kernel of numbers over arrays: rows are filled in, and results kept, in C.

One task has many rows, so that a call costs some nanoseconds and no Python object but
its result.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core import ArrayPlan, Kernel

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ["columns_for", "map_columns"]

# Rows of a task: some 10 to 100 microseconds of cheap calls.
_LEAST_ROWS, _MOST_ROWS = 512, 8192
_TASKS_PER_WORKER = 8


def columns_for(
    kernel: Kernel, iterables: tuple[Iterable[Any], ...]
) -> tuple[np.ndarray[Any, Any], ...] | None:
    """The iterables, if they are arrays of exactly the types of the parameters."""
    if not iterables or not all(type(column) is np.ndarray for column in iterables):
        return None
    types = _core.columns_of(kernel)
    if types is None or len(types[0]) != len(iterables):
        return None
    columns: list[np.ndarray[Any, Any]] = []
    for column, dtype in zip(iterables, types[0], strict=True):
        if not isinstance(column, np.ndarray) or column.ndim != 1:
            return None
        if column.dtype != np.dtype(dtype) or not column.flags.aligned:
            return None
        columns.append(column)
    n = min(column.size for column in columns)
    return tuple(column[:n] for column in columns)


def map_columns(
    executor: Executor,
    kernel: Kernel,
    columns: tuple[np.ndarray[Any, Any], ...],
    deadline: float | None,
) -> Iterator[Any]:
    """Submit the rows, and return an iterator over the results."""
    types = _core.columns_of(kernel)
    assert types is not None  # columns_for() has seen to it
    dtype = np.dtype(types[1])

    def plan(_: Kernel, args: tuple[Any, ...], __: Any) -> ArrayPlan:
        return _core.plan_map(kernel, args, np.empty(args[0].size, dtype))

    n = columns[0].size
    rows = n // (_TASKS_PER_WORKER * executor._native_workers)
    rows = min(max(rows, _LEAST_ROWS), _MOST_ROWS)
    many = _core.mapped_kernel(kernel, plan)
    slices = [
        tuple(column[at : at + rows] for column in columns) for at in range(0, n, rows)
    ]
    return _results(executor.submit_many(many, slices), deadline)


def _results(pending: list[Any], deadline: float | None) -> Iterator[Any]:
    pending.reverse()
    try:
        while pending:
            left = None if deadline is None else deadline - time.monotonic()
            values = pending[-1].result(left).tolist()
            pending.pop()
            yield from values
    finally:
        for future in pending:
            future.cancel()
