"""The Executor: what its options mean. How a task runs is in the C core."""

from __future__ import annotations

import concurrent.futures as cf
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any, TypeVar

from ._core import ExecutorBase
from .aio import AsyncSubmits
from .lane import Lane
from .mapping import map_calls
from .ranges import for_range

__all__ = ["Executor", "default_executor"]

_T = TypeVar("_T")

_CLOSED = "cannot schedule new futures after shutdown"
_AT_EXIT = "cannot schedule new futures after interpreter shutdown"

_MOST_WORKERS = 1024  # SP_MAX_WORKERS

_counter = count().__next__
_executors: weakref.WeakSet[Executor] = weakref.WeakSet()
_interpreter_exits = False


class Executor(ExecutorBase, AsyncSubmits, cf.Executor):
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
        self._start()
        _executors.add(self)
        if _interpreter_exits:
            self._close(_AT_EXIT)

    def _start(self) -> None:
        self._open(self._size, self._thread_name_prefix, self._max_workers)
        self._lane = Lane(
            self._home.lane,
            self._max_workers,
            self._thread_name_prefix,
            self._initializer,
            self._initargs,
        )
        weakref.finalize(self, self._lane.close).atexit = False

    def _reopen_after_fork(self) -> None:
        """In the child of a fork: the threads of both lanes are not here."""
        self._start()

    def __repr__(self) -> str:
        state = "closed" if self._shutdown_reason else "open"
        name = type(self).__name__
        return f"<stealpool.{name} {state}, {self._native_workers} workers>"

    # ------------------------------------------------------------------ submitting

    for_range = for_range

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | str = 1,
        buffersize: int | None = None,
        ordered: bool = True,
    ) -> Iterator[_T]:
        """Like ``map(fn, *iterables)``, with the calls running at the same time.

        Parameters
        ----------
        fn : Kernel or callable
        *iterables
            Arguments; the shortest one ends the map.
        timeout : float, optional
            Seconds from this call until a result must be there.
        chunksize : int or "auto", optional
            Python callables are submitted in chunks of that many calls; kernels are
            cheap to submit one by one. ``"auto"`` begins with single calls; later
            chunks grow to 64 calls, but never beyond an eighth of a thread's share of
            the calls before them.
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
        return map_calls(
            self,
            fn,
            iterables,
            timeout=timeout,
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
        )

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
        RuntimeError
            If a callable of this executor wants to wait, which includes itself.
            Nothing has happened then.
        """
        if wait and self._is_on_own_lane:
            raise RuntimeError(
                "shutdown(wait=True) in a thread of the same executor would wait for "
                "itself; pass wait=False"
            )
        if self._shutdown_reason is None:
            self._close(_CLOSED)
        if cancel_futures:
            self._cancel_queued()
            self._lane.cancel_queued()
        self._lane.close()
        if self._is_stale:
            return
        if wait:
            if not self._await_tasks(timeout):
                unfinished = self._stats()["unfinished"]
                raise TimeoutError(
                    f"{unfinished} calls are unfinished after {timeout} s; they go on. "
                    "Call shutdown() again to wait longer"
                )
            self._lane.join(timeout)
        self._close_pool(wait)

    # ------------------------------------------------------------------ inspection

    @property
    def _threads(self) -> set[threading.Thread]:
        """The Python threads, as the standard library's executor has them."""
        return self._lane.threads

    @property
    def _broken(self) -> str | bool:
        return self._lane.broken or False

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
        return MappingProxyType({**self._stats(), "python_threads": len(self._threads)})


def _check_workers(name: str, value: int | None) -> None:
    if value is None:
        return
    if not hasattr(value, "__index__"):
        raise TypeError(
            f"{name} must be an integer or None, "
            f"got {type(value).__name__} {value!r:.60}"
        )
    if value <= 0:
        raise ValueError(
            f"{name} must be greater than 0, got {value}; leave it out for one worker "
            "for each usable CPU"
        )
    if value > _MOST_WORKERS:
        raise ValueError(f"{name} must be at most {_MOST_WORKERS}, got {value}")


def _cpu_count() -> int:
    count = getattr(os, "process_cpu_count", os.cpu_count)()
    return count or 1


# ------------------------------------------------------------- the default executor

_default: Executor | None = None
_default_pid: int | None = None
_default_lock = threading.Lock()


def default_executor() -> Executor:
    """The executor of those who were given none: on the process's own native pool.

    Made at the first call, and again after a fork or when somebody has shut it down.
    """
    global _default, _default_pid
    with _default_lock:
        if (
            _default is None
            or _default_pid != os.getpid()
            or (_default._shutdown_reason is not None and not _interpreter_exits)
        ):
            _default = Executor(thread_name_prefix="stealpool")
            _default_pid = os.getpid()
        return _default
