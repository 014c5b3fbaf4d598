"""Executor.map(): calls for all arguments, and an iterator over their results."""

from __future__ import annotations

import concurrent.futures as cf
import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, TypeVar

from ._core import Kernel
from .waiting import wait

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ["map_calls"]

_T = TypeVar("_T")


def map_calls(
    executor: Executor,
    fn: Callable[..., _T],
    iterables: tuple[Iterable[Any], ...],
    *,
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
    ordered: bool,
) -> Iterator[_T]:
    """Submit the calls of a map(); the arguments are those of :meth:`Executor.map`."""
    if chunksize < 1:
        raise ValueError(f"chunksize must be at least 1, got {chunksize}")
    if buffersize is not None:
        if not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
    if timeout is not None and math.isnan(timeout):
        raise ValueError("timeout must be a number of seconds or None, got nan")
    deadline = None if timeout is None else time.monotonic() + timeout
    calls: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
    is_chunked = chunksize > 1 and not isinstance(fn, Kernel)
    call: Callable[..., Any] = fn
    if is_chunked:
        calls = zip(repeat(fn), _chunks(calls, chunksize))
        call = _call_chunk
    if buffersize is None and isinstance(fn, Kernel):
        pending = deque(executor.submit_many(fn, list(calls)))
    else:
        first = islice(calls, buffersize)
        pending = deque(executor.submit(call, *args) for args in first)
    more = partial(_submit_next, weakref.ref(executor), call, calls, pending)
    results = (_ordered if ordered else _unordered)(pending, more, deadline)
    return _flattened(results) if is_chunked else results


def _chunks(
    calls: Iterator[tuple[Any, ...]], size: int
) -> Iterator[tuple[tuple[Any, ...], ...]]:
    while chunk := tuple(islice(calls, size)):
        yield chunk


def _call_chunk(
    fn: Callable[..., Any], chunk: tuple[tuple[Any, ...], ...]
) -> list[Any]:
    return [fn(*args) for args in chunk]


def _flattened(chunks: Iterator[list[Any]]) -> Iterator[Any]:
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()


def _submit_next(
    executor: weakref.ref[Executor],
    fn: Any,
    calls: Iterator[tuple[Any, ...]],
    pending: deque[Any],
) -> None:
    """Submit one more call, if there is one and the executor is still there."""
    alive = executor()
    if alive is not None:
        for args in islice(calls, 1):
            pending.append(alive.submit(fn, *args))


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()


def _ordered(
    pending: deque[Any], more: Callable[[], None], deadline: float | None
) -> Iterator[Any]:
    def results() -> Iterator[Any]:
        try:
            while pending:
                more()
                yield _take(pending.popleft(), _left(deadline))
        finally:
            for future in pending:
                future.cancel()

    return results()


def _unordered(
    pending: deque[Any], more: Callable[[], None], deadline: float | None
) -> Iterator[Any]:
    def results() -> Iterator[Any]:
        try:
            while pending:
                done, _ = wait(pending, _left(deadline), cf.FIRST_COMPLETED)
                if not done:
                    raise TimeoutError(f"{len(pending)} calls are unfinished")
                left = [future for future in pending if future not in done]
                pending.clear()
                pending.extend(left)
                while done:
                    more()
                    yield _take(done.pop(), 0)
        finally:
            for future in pending:
                future.cancel()

    return results()


def _take(future: Any, timeout: float | None) -> Any:
    """The result, or cancel; leave no reference cycle behind an exception."""
    try:
        return future.result(timeout)
    finally:
        future.cancel()
        del future
