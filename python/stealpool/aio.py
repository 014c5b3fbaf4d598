"""asubmit() and amap(): calls whose results a coroutine awaits."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ._core import AsyncFuture, Future, Kernel, submit_from_loop, when_ended

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncFuture", "AsyncSubmits"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class AsyncSubmits:
    """What an executor has for coroutines; its class has submit()."""

    if TYPE_CHECKING:

        @property
        def _waits_for_room(self) -> bool: ...

        def submit(
            self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> Future[_T]: ...

    def asubmit(
        self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> AsyncFuture[_T]:
        """Schedule a call, in a coroutine; ``await`` what it returns for the result.

        The call is scheduled here and now, whether it is awaited or not. However many
        calls end at about the same time, the event loop wakes up once. If the task that
        awaits it is cancelled, so is the call; a running kernel is asked to stop.

        When the queue is full (`queue_capacity`) and `on_full` is ``"block"``, the call
        waits for room and the event loop goes on: calls of a loop are let in in their
        order.

        Parameters
        ----------
        fn, *args, **kwargs
            As for :meth:`submit`.

        Returns
        -------
        AsyncFuture

        Raises
        ------
        RuntimeError
            If no event loop runs in this thread; and what :meth:`submit` raises.
        """
        if self._waits_for_room:  # and the loop does not
            return submit_from_loop(self, fn, args, kwargs)  # type: ignore[arg-type]
        return when_ended(self.submit(fn, *args, **kwargs))

    def amap(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
    ) -> AsyncIterator[_T]:
        """Like :meth:`map`, for ``async for``.

        Parameters
        ----------
        fn : Kernel or callable
        *iterables
            Arguments; the shortest one ends the map.
        chunksize : int, optional
            Python callables are submitted in chunks of that many calls.
        buffersize : int, optional
            Submit at most that many calls (chunks) ahead of the results taken. By
            default all are submitted at once, or as many as a bounded queue takes.
        ordered : bool, optional
            If False, results come in the order in which they are ready.

        Returns
        -------
        asynchronous iterator
            Of the results. When a call raises, or the task that awaits is cancelled,
            or the iterator is dropped, what has not begun is cancelled. For a time
            limit use ``asyncio.timeout()``.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, got {chunksize}")
        if buffersize is not None:
            if not isinstance(buffersize, int):
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError(f"buffersize must be None or > 0, got {buffersize}")
        calls: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        call: Callable[..., Any] = fn
        is_chunked = chunksize > 1 and not isinstance(fn, Kernel)
        if is_chunked:
            calls = zip(repeat(fn), _chunks(calls, chunksize))
            call = _call_chunk
        return AsyncMap(self, call, calls, buffersize, ordered, is_chunked)


def _chunks(
    calls: Iterator[tuple[Any, ...]], size: int
) -> Iterator[tuple[tuple[Any, ...], ...]]:
    while chunk := tuple(islice(calls, size)):
        yield chunk


def _call_chunk(
    fn: Callable[..., Any], chunk: tuple[tuple[Any, ...], ...]
) -> list[Any]:
    return [fn(*args) for args in chunk]


class AsyncMap(AsyncIterator[_T]):
    """The results of amap()."""

    def __init__(
        self,
        executor: AsyncSubmits,
        call: Callable[..., Any],
        calls: Iterator[tuple[Any, ...]],
        buffersize: int | None,
        ordered: bool,
        is_chunked: bool,
    ) -> None:
        self._executor = executor
        self._call = call
        self._calls = calls
        self._is_chunked = is_chunked
        self._chunk: list[_T] = []  # the next result is the last one
        self._pending: _InOrder | _AsTheyEnd = _InOrder() if ordered else _AsTheyEnd()
        for args in islice(calls, buffersize):
            if self._submit(args)._is_in_line:
                break  # the queue is full; from now on, one for each result

    def _submit(self, args: tuple[Any, ...]) -> AsyncFuture[Any]:
        future = self._executor.asubmit(self._call, *args)
        self._pending.add(future)
        return future

    async def __anext__(self) -> _T:
        if self._chunk:
            return self._chunk.pop()
        try:
            for args in islice(self._calls, 1):
                self._submit(args)
            if self._pending:
                result = await self._pending.take()
                if not self._is_chunked:
                    return result  # type: ignore[no-any-return]
                self._chunk = result[::-1]
                return self._chunk.pop()
        except BaseException:
            self._close()
            raise
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancel what has not begun; there are no more results."""
        self._close()

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        self._calls = iter(())
        self._chunk = []
        self._pending.cancel()


class _InOrder:
    """Futures, to be awaited in the order in which they came."""

    def __init__(self) -> None:
        self._futures: deque[AsyncFuture[Any]] = deque()

    def __bool__(self) -> bool:
        return bool(self._futures)

    def add(self, future: AsyncFuture[Any]) -> None:
        self._futures.append(future)

    async def take(self) -> Any:
        return await self._futures.popleft()

    def cancel(self) -> None:
        while self._futures:
            _drop(self._futures.popleft())


class _AsTheyEnd:
    """Futures, to be awaited in the order in which they end."""

    def __init__(self) -> None:
        self._pending: set[AsyncFuture[Any]] = set()
        self._ended: deque[AsyncFuture[Any]] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, future: AsyncFuture[Any]) -> None:
        self._pending.add(future)
        future.add_done_callback(self._end)

    def _end(self, future: AsyncFuture[Any]) -> None:
        self._ended.append(future)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> Any:
        while not self._ended:
            loop = next(iter(self._pending)).get_loop()
            self._waiter = loop.create_future()
            await self._waiter
        future = self._ended.popleft()
        self._pending.discard(future)
        return future.result()

    def cancel(self) -> None:
        while self._pending:
            future = self._pending.pop()
            # We may be in any thread: a callback cannot be scheduled here.
            future.remove_done_callback(self._end)
            _drop(future)


def _drop(future: AsyncFuture[Any]) -> None:
    """Cancel, and ask for the exception, of which nobody need be told then."""
    if not future.cancel() and not future.cancelled():
        future.exception()
