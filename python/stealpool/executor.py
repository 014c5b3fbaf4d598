"""The Executor: what its options mean. How a task runs is in the C core."""

from __future__ import annotations

import concurrent.futures as cf
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, islice
from types import MappingProxyType
from typing import Any

from ._core import ExecutorBase, Kernel
from .lane import Lane

__all__ = ["Executor", "default_executor"]

_CLOSED = "cannot schedule new futures after shutdown"
_AT_EXIT = "cannot schedule new futures after interpreter shutdown"

_counter = count().__next__
_executors: weakref.WeakSet[Executor] = weakref.WeakSet()
_interpreter_exits = False


class Executor(ExecutorBase, cf.Executor):
    """Runs kernels on native threads and Python callables on Python's.

    A drop-in for ``concurrent.futures.ThreadPoolExecutor``. What it is for: a kernel
    (see :func:`stealpool.kernel`) never takes the GIL, and whoever waits for a thousand
    of them takes it once.

    Parameters
    ----------
    max_workers : int, optional
        Bounds each lane. By default kernels run on the process's own native pool, one
        worker for each usable CPU, which all such executors share; and there are at
        most ``min(32, cpus + 4)`` Python threads, started as they are needed.
    thread_name_prefix : str, optional
        Of the Python threads; native workers of a private pool are called after it,
        too, cut to 15 characters.
    initializer : callable, optional
        Called with `initargs` at the start of each Python thread. If it raises, the
        Python lane is broken. Native workers run no Python.
    initargs : tuple, optional
    native_workers : int, optional
        Size of a private native pool; by default `max_workers`, if that is given.
    helping : bool, optional
        Let a thread that waits without a timeout run short queued kernels itself.

    Raises
    ------
    ValueError
        For numbers of workers below 1.
    TypeError
        If `initializer` is not callable.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        native_workers: int | None = None,
        helping: bool = True,
    ) -> None:
        _check_workers("max_workers", max_workers)
        _check_workers("native_workers", native_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if native_workers is None:
            native_workers = max_workers
        self._max_workers = max_workers or min(32, _cpu_count() + 4)
        self._thread_name_prefix = thread_name_prefix or f"stealpool-{_counter()}"
        self._initializer = initializer
        self._initargs = initargs
        self._size = native_workers
        self._helping = helping
        self._shutdown_lock = threading.Lock()
        self._start()
        _executors.add(self)
        if _interpreter_exits:
            self._close(_AT_EXIT)

    def _start(self) -> None:
        self._open(self._size, self._thread_name_prefix)
        self._lane: Lane | None = None

    def _reopen_after_fork(self) -> None:
        """In the child of a fork: the threads of both lanes are not here."""
        self._shutdown_lock = threading.Lock()
        self._start()

    def __repr__(self) -> str:
        state = "closed" if self._shutdown_reason else "open"
        return f"<stealpool.{type(self).__name__} {state}, {self._native_workers} workers>"

    # ------------------------------------------------------------------ submitting

    def _submit_callable(self, future: Any) -> Any:
        with self._shutdown_lock:
            if self._shutdown_reason is not None:
                future.cancel()
                raise RuntimeError(self._shutdown_reason)
            if self._lane is None:
                self._lane = Lane(
                    self._max_workers,
                    self._thread_name_prefix,
                    self._initializer,
                    self._initargs,
                )
                weakref.finalize(self, self._lane.close).atexit = False
            lane = self._lane
        try:
            lane.submit(future)
        except BaseException:
            future.cancel()
            raise
        return future

    def map(
        self,
        fn: Any,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
    ) -> Iterator[Any]:
        """Like ``map(fn, *iterables)``, with the calls running at the same time.

        Parameters
        ----------
        fn : Kernel or callable
        *iterables
            Arguments; the shortest one ends the map.
        timeout : float, optional
            Seconds from this call until a result must be there.
        chunksize : int, optional
            Python callables are submitted in chunks of that many calls; kernels are
            cheap to submit one by one.
        buffersize : int, optional
            Submit at most that many calls (chunks) ahead of the results taken. By
            default all are submitted at once.
        ordered : bool, optional
            If False, results come in the order in which they are ready.

        Returns
        -------
        iterator
            Of the results. Raises what the call raised, or TimeoutError.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, got {chunksize}")
        if buffersize is not None:
            if not isinstance(buffersize, int):
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        calls: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
        submit: Callable[[tuple[Any, ...]], Any]
        if chunksize > 1 and not isinstance(fn, Kernel):
            calls = _chunks(calls, chunksize)
            submit = lambda chunk: self.submit(_call_chunk, fn, chunk)  # noqa: E731
        else:
            chunksize = 1
            submit = lambda args: self.submit(fn, *args)  # noqa: E731
        if buffersize is None and isinstance(fn, Kernel):
            pending = deque(self.submit_many(fn, list(calls)))
        else:
            pending = deque(submit(args) for args in islice(calls, buffersize))
        results = _results(
            pending,
            iter(()) if buffersize is None else calls,
            submit,
            deadline,
            ordered,
            weakref.ref(self),
        )
        return _flattened(results) if chunksize > 1 else results

    # ---------------------------------------------------------------------- ending

    def shutdown(
        self,
        wait: bool = True,
        *,
        cancel_futures: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Accept no more calls, and wait for those accepted.

        Parameters
        ----------
        wait : bool, optional
            If False, return at once; what was submitted still runs.
        cancel_futures : bool, optional
            Cancel what has not begun.
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            If calls are unfinished after `timeout` seconds. They go on.
        """
        with self._shutdown_lock:
            if self._shutdown_reason is None:
                self._close(_CLOSED)
            lane = self._lane
        if cancel_futures:
            self._cancel_queued()
            if lane is not None:
                lane.cancel_queued()
        if lane is not None:
            lane.close()
        if self._is_stale:
            return
        if wait:
            if not self._await_tasks(timeout):
                unfinished = self._stats()["unfinished"]
                raise TimeoutError(
                    f"{unfinished} calls are unfinished after {timeout} s; they go on. "
                    "Call shutdown() again to wait longer"
                )
            if lane is not None:
                lane.join(timeout)
        self._close_pool(wait)

    # ------------------------------------------------------------------ inspection

    @property
    def _threads(self) -> set[threading.Thread]:
        """The Python threads, as the standard library's executor has them."""
        return self._lane.threads if self._lane is not None else set()

    @property
    def _broken(self) -> str | bool:
        return (self._lane is not None and self._lane.broken) or False

    def stats(self) -> Mapping[str, int]:
        """Counters, all since the executor (or the pool that it borrows) was made.

        Returns
        -------
        mapping
            ``submitted``, ``completed``, ``unfinished``: calls of this executor.
            ``attaches``: times that the library took the GIL for its sake.
            ``workers``, ``executed``, ``injected``, ``stolen``, ``parked``, ``woken``,
            ``loops``: of the native pool (see ``sp_pool_get_stats()``); the process's
            own pool is shared. ``python_threads``: of the Python lane.
        """
        return MappingProxyType(
            {**self._stats(), "python_threads": len(self._threads)}
        )


def _check_workers(name: str, value: int | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(
            f"{name} must be greater than 0, got {value}; leave it out for one worker "
            "for each usable CPU"
        )


def _cpu_count() -> int:
    count = getattr(os, "process_cpu_count", os.cpu_count)()
    return count or 1


# --------------------------------------------------------------------------- map


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


def _results(
    pending: deque[Any],
    calls: Iterator[tuple[Any, ...]],
    submit: Callable[[tuple[Any, ...]], Any],
    deadline: float | None,
    ordered: bool,
    executor: weakref.ref[Executor],
) -> Iterator[Any]:
    """Yield results; submit one more call for each one taken, while there are any."""
    from .waiting import FIRST_COMPLETED, wait

    def generate() -> Iterator[Any]:
        try:
            while pending:
                left = None if deadline is None else deadline - time.monotonic()
                if ordered:
                    future = pending.popleft()
                else:
                    done, _ = wait(pending, left, FIRST_COMPLETED)
                    if not done:
                        raise TimeoutError(f"{len(pending)} calls are unfinished")
                    future = done.pop()
                    pending.remove(future)
                if executor() is not None:
                    for args in islice(calls, 1):
                        pending.append(submit(args))
                yield _take(future, left)
        finally:
            for future in pending:
                future.cancel()

    return generate()


def _take(future: Any, timeout: float | None) -> Any:
    """The result; leave no reference cycle behind if it is an exception."""
    try:
        return future.result(timeout)
    finally:
        del future


# ------------------------------------------------------------- the default executor

_default: Executor | None = None
_default_pid: int | None = None
_default_lock = threading.Lock()


def default_executor() -> Executor:
    """The executor of those who were given none: on the process's own native pool.

    Made at the first call, and again after a fork.
    """
    global _default, _default_pid
    with _default_lock:
        if _default is None or _default_pid != os.getpid():
            _default = Executor(thread_name_prefix="stealpool")
            _default_pid = os.getpid()
        return _default
