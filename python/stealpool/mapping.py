"""Executor.map(): calls for all arguments, and an iterator over their results.

Python callables may be submitted in chunks. A chunk is a Future like any other, whose
result is a list; pyx/chunks.pxi runs it, and takes the lists apart again.
"""

from __future__ import annotations

import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, TypeVar

from ._core import Completions, Flattened, Kernel, call_each, call_each_with
from .columns import columns_for, map_columns

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ["map_calls"]

_T = TypeVar("_T")

# Chunks of unknown calls: 64 make the cost of a submit small, and an eighth of a
# thread's share of the calls before them keeps the threads busy until the end.
_MOST_IN_CHUNK = 64
_PART_OF_SHARE = 8


def map_calls(
    executor: Executor,
    fn: Callable[..., _T],
    iterables: tuple[Iterable[Any], ...],
    *,
    timeout: float | None,
    chunksize: int | str,
    buffersize: int | None,
    ordered: bool,
) -> Iterator[_T]:
    """Submit the calls of a map(); the arguments are those of :meth:`Executor.map`."""
    _check(timeout, chunksize, buffersize)
    deadline = None if timeout is None else time.monotonic() + timeout
    if isinstance(fn, Kernel) and buffersize is None and ordered:
        columns = columns_for(fn, iterables)
        if columns is not None:
            return map_columns(executor, fn, columns, deadline)
    is_chunked = chunksize != 1 and not isinstance(fn, Kernel)
    call: Callable[..., Any] = fn
    calls: Iterator[tuple[Any, ...]]
    if is_chunked:
        if isinstance(chunksize, str):  # "auto"
            size = partial(_size_after, threads=executor._max_workers)
        else:
            size = partial(_constant, chunksize)
        calls = zip(repeat(fn), _chunks(iterables, size))
        call = call_each if len(iterables) == 1 else call_each_with
    else:
        calls = zip(*iterables, strict=False)
    pending: deque[Any] = deque()
    try:
        if buffersize is None and isinstance(fn, Kernel):
            pending.extend(executor.submit_many(fn, list(calls)))
        else:
            for args in islice(calls, buffersize):
                pending.append(executor.submit(call, *args))
    except BaseException:
        _cancel(pending)
        raise
    more = partial(_submit_next, weakref.ref(executor), call, calls)
    results = (_ordered if ordered else _unordered)(pending, more, deadline)
    return Flattened(results) if is_chunked else results


def _check(timeout: float | None, chunksize: int | str, buffersize: int | None) -> None:
    if isinstance(chunksize, str):
        if chunksize != "auto":
            raise ValueError(f"chunksize must be a number or 'auto', got {chunksize!r}")
    elif not hasattr(chunksize, "__index__"):
        raise TypeError(
            "chunksize must be an integer or 'auto', "
            f"got {type(chunksize).__name__} {chunksize!r:.60}"
        )
    elif chunksize < 1:
        raise ValueError(f"chunksize must be at least 1, got {chunksize}")
    if buffersize is not None:
        if not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
    if timeout is not None and math.isnan(timeout):
        raise ValueError("timeout must be a number of seconds or None, got nan")


# --------------------------------------------------------------------------- chunks


def _constant(size: int, begin: int) -> int:
    return size


def _size_after(begin: int, threads: int) -> int:
    """How many calls make a chunk, if so many were submitted before it."""
    return min(begin // (_PART_OF_SHARE * threads) + 1, _MOST_IN_CHUNK)


def _chunks(
    iterables: tuple[Iterable[Any], ...], size: Callable[[int], int]
) -> Iterator[Any]:
    """Chunks of arguments; `size` says how many, given how many there were before.

    Of one iterable the arguments themselves, for :func:`call_each`; of several, tuples
    of them, for :func:`call_each_with`.
    """
    begin = 0
    if len(iterables) == 1 and type(iterables[0]) in (list, tuple, range):
        sequence: Any = iterables[0]
        while begin < len(sequence):
            end = begin + size(begin)
            yield sequence[begin:end]
            begin = end
        return
    if len(iterables) == 1:
        items: Iterator[Any] = iter(iterables[0])
    else:
        items = zip(*iterables, strict=False)
    while chunk := tuple(islice(items, size(begin))):
        yield chunk
        begin += len(chunk)


# -------------------------------------------------------------------------- results


def _submit_next(
    executor: weakref.ref[Executor],
    fn: Any,
    calls: Iterator[tuple[Any, ...]],
) -> Any:
    """Submit one more call, if there is one and the executor is still there."""
    alive = executor()
    if alive is not None:
        for args in islice(calls, 1):
            return alive.submit(fn, *args)
    return None


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()


def _cancel(futures: Iterable[Any]) -> None:
    for future in futures:
        future.cancel()


def _ordered(
    pending: deque[Any], more: Callable[[], Any], deadline: float | None
) -> Iterator[Any]:
    def results() -> Iterator[Any]:
        try:
            while pending:
                if (future := more()) is not None:
                    pending.append(future)
                del future
                yield _take(pending.popleft(), _left(deadline))
        finally:
            _cancel(pending)

    return results()


def _unordered(
    pending: deque[Any], more: Callable[[], Any], deadline: float | None
) -> Iterator[Any]:
    def results() -> Iterator[Any]:
        completions = Completions()
        waiting: set[Any] = set()
        ready: list[Any] = []
        try:
            while True:
                while pending:
                    future = pending.popleft()
                    if completions.add(future):
                        waiting.add(future)
                    else:
                        ready.append(future)
                if not ready:
                    if not waiting:
                        return
                    ready = completions.next_batch(_left(deadline))
                    if not ready:
                        raise TimeoutError(f"{len(waiting)} calls are unfinished")
                    waiting.difference_update(ready)
                    ready.reverse()
                if (future := more()) is not None:
                    pending.append(future)
                del future
                yield _take(ready.pop(), 0)
        finally:
            completions.close()
            _cancel(pending)
            _cancel(waiting)

    return results()


def _take(future: Any, timeout: float | None) -> Any:
    """The result, or cancel; leave no reference cycle behind an exception."""
    try:
        return future.result(timeout)
    finally:
        future.cancel()
        del future
