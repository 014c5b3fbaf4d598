"""The Executor: what its options mean. How a task runs is in the C core."""

from __future__ import annotations

import concurrent.futures as cf
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ._core import CallQueue, CancellationToken, ExecutorBase
from .aio import AsyncSubmits
from .lane import Lane
from .mapping import map_calls
from .ranges import for_range

if TYPE_CHECKING:
    from .view import ExecutorView

__all__ = ["Executor", "ThreadPoolExecutor", "default_executor"]

Priority = Literal["high", "normal", "low"]
OnFull = Literal["block", "raise", "run"]

_T = TypeVar("_T")

CLOSED = "cannot schedule new futures after shutdown"
_AT_EXIT = "cannot schedule new futures after interpreter shutdown"

_MOST_NATIVE = 1024  # SP_MAX_WORKERS
_MOST_THREADS = 2**31  # more than any system has
_MOST_QUEUED = 10**9

_counter = count().__next__
_executors: weakref.WeakSet[Executor] = weakref.WeakSet()
_interpreter_exits = False


class Keep(Enum):
    """Says of a setting: as it is."""

    KEEP = "keep"


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
        most ``min(32, cpus + 4)`` Python threads. Threads are started when they are
        needed: native workers, 1024 at most, all for the first kernel.
    thread_name_prefix : str, optional
        Of the Python threads; native workers of a private pool are called after it,
        too, cut to 15 characters.
    initializer : callable, optional
        Called with `initargs` at the start of each Python thread. If it raises, the
        Python lane is broken. Native workers run no Python.
    initargs : tuple, optional
    native_workers : int, optional
        Size of a private native pool; by default `max_workers`, if that is given.
    queue_capacity : int, optional
        Most calls that wait in each lane, besides those that its workers run. By
        default there is no limit.
    on_full : {"block", "raise", "run"}
        What ``submit()`` does when so many wait. ``"block"``: waits, without the GIL,
        until half of them have begun; in a thread of the Python lane it runs the call
        instead. ``asubmit()`` waits without blocking the event loop. ``"raise"``:
        raises ``queue.Full``. ``"run"``: runs the call in the calling thread.

    Raises
    ------
    ValueError
        For numbers of workers or a capacity below 1, and for another `on_full`.
    TypeError
        If `initializer` is not callable.
    """

    _settings: Mapping[str, Any] = MappingProxyType(
        {"priority": "normal", "cancel": None, "timeout": None, "context": "copy"}
    )

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        native_workers: int | None = None,
        queue_capacity: int | None = None,
        on_full: OnFull = "block",
    ) -> None:
        max_workers = _whole(max_workers)
        _check_workers("max_workers", max_workers)
        _check_workers("native_workers", native_workers, _MOST_NATIVE)
        _check_queue(queue_capacity, on_full)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if native_workers is None and max_workers is not None:
            native_workers = min(max_workers, _MOST_NATIVE)
        self._asked_workers = max_workers
        self._max_workers = max_workers or min(32, _cpu_count() + 4)
        self._thread_name_prefix = str(thread_name_prefix or f"stealpool-{_counter()}")
        self._initializer = initializer
        self._initargs = initargs
        self._size = native_workers
        self._queue_capacity = queue_capacity
        self._on_full = on_full
        self._start()
        _executors.add(self)
        if _interpreter_exits:
            self._close(_AT_EXIT)

    def _start(self) -> None:
        self._open(
            self._size,
            self._thread_name_prefix,
            self._queue_capacity,
            self._on_full,
            min(self._max_workers, _MOST_THREADS),
        )
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

    def __reduce__(self) -> tuple[Callable[..., Executor], tuple[Any, ...]]:
        """Pickled as what it was made with: the other side makes its own."""
        keywords: dict[str, Any] = {
            "max_workers": self._asked_workers,
            "thread_name_prefix": self._thread_name_prefix,
            "initializer": self._initializer,
            "initargs": self._initargs,
            "native_workers": self._size,
            "queue_capacity": self._queue_capacity,
            "on_full": self._on_full,
        }
        return partial(type(self), **keywords), ()

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

    # ----------------------------------------------------------------------- views

    def options(
        self,
        *,
        priority: Priority | Keep = Keep.KEEP,
        cancel: CancellationToken | Keep | None = Keep.KEEP,
        timeout: float | Keep | None = Keep.KEEP,
        context: Literal["copy"] | Keep | None = Keep.KEEP,
    ) -> ExecutorView:
        """The same executor, with other settings for what is submitted through it.

        Token and time limit hold for loops, too, which a view runs in the calling
        thread: for_range(), and built-in kernels with ``executor=view``. They raise
        CancelledError or TimeoutError.

        Parameters
        ----------
        priority : {"high", "normal", "low"}, optional
            Of the calls, in both lanes. No priority starves: waiting calls age.
        cancel : CancellationToken, optional
            Cancels the calls: queued ones at once, running kernels as soon as they
            ask (``sp_cancelled()``).
        timeout : float, optional
            Seconds from its submit by which a call must have ended, rounded up to
            milliseconds. If it has not, its future raises TimeoutError: at once if it
            is queued; if it runs it is asked to stop, and the future raises when it
            has returned.
        context : {"copy", None}
            Callables run in a copy of the submitter's context variables, or, if None,
            in their thread's own context, as ``ThreadPoolExecutor`` runs them.

        Returns
        -------
        ExecutorView
            Settings that are left out are this executor's own.
        """
        return _view_class()._of(
            self, priority=priority, cancel=cancel, timeout=timeout, context=context
        )

    def view(self) -> ExecutorView:
        """A handle to lend: its ``shutdown()`` ends what was submitted through it.

        The executor itself, and what others have submitted, goes on.
        """
        return _view_class()._of(self)

    def group(self) -> ExecutorView:
        """A view for calls that belong together, to be used in a ``with`` statement.

        At the end of the block all calls have ended. When one raises, the others are
        cancelled, and an ``ExceptionGroup`` of all that they raised comes out of the
        block. An exception that leaves the block cancels them, too.

        Examples
        --------
        >>> with ex.group() as group:
        ...     parts = [group.submit(integrate, math.cos, i, i + 1) for i in range(8)]
        >>> sum(part.result() for part in parts)
        """
        return _view_class()._of(self, is_group=True)

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
        if wait:
            self._refuse_to_wait_for_itself()
        if self._shutdown_reason is None:
            self._close(CLOSED)
        if cancel_futures:
            self._cancel_queued()
            self._lane.cancel_queued()
        self._lane.close()
        if self._is_stale:
            return
        if wait:
            due = math.inf if timeout is None else time.monotonic() + timeout
            self._await_or_raise(timeout)
            if left := self._lane.join(due):
                raise TimeoutError(
                    f"{left} threads are in callbacks or initializers after {timeout} "
                    "s; they go on. Call shutdown() again to wait longer"
                )
        self._close_pool(wait)

    def _refuse_to_wait_for_itself(self) -> None:
        if self._is_on_own_lane:
            raise RuntimeError(
                "shutdown(wait=True) in a thread of the same executor would wait for "
                "itself; pass wait=False"
            )

    def _await_or_raise(self, timeout: float | None) -> None:
        if self._await_tasks(timeout):
            return
        stats, running = self._stats(), self._running()
        n, queued = stats["unfinished"], stats["queued"]
        if not n:  # the last one has ended meanwhile, but for telling
            self._await_tasks(None)
            return
        calls = "1 call is" if n == 1 else f"{n} calls are"
        some = f" ({', '.join(running)}{', ...' if n - queued > len(running) else ''})"
        raise TimeoutError(
            f"{calls} unfinished after timeout={timeout} s: {n - queued} running"
            f"{some if running else ''}, {queued} queued. They go on, and nothing new "
            "is accepted; call shutdown() again to wait longer, with "
            "cancel_futures=True to cancel what is queued"
        )

    # ------------------------------------------------------------------ inspection

    @property
    def _threads(self) -> set[threading.Thread]:
        """The Python threads, as the standard library's executor has them."""
        return self._lane.threads

    @property
    def _broken(self) -> str | bool:
        return self._lane.broken or False

    @property
    def _shutdown(self) -> bool:
        return self._shutdown_reason is not None

    @property
    def _work_queue(self) -> CallQueue:
        """Whose ``qsize()`` many programs ask for."""
        return self._lane.queue

    def stats(self) -> Mapping[str, int]:
        """Counters, all since the executor (or the pool that it borrows) was made.

        Returns
        -------
        mapping
            ``submitted``, ``completed``, ``unfinished``: calls of this executor and
            of its views; of a view, its own. ``queued``: of the unfinished ones, those
            that have not begun, kernels and callables. ``attaches``: times that the
            library took the GIL for its sake. ``workers``, ``executed``, ``injected``,
            ``stolen``, ``parked``, ``woken``, ``loops``: of the native pool (see
            ``sp_pool_get_stats()``); the process's own pool is shared.
            ``python_threads``: of the Python lane.

        Notes
        -----
        Each number is right at some moment during the call, and ``queued`` is at most
        ``unfinished``. To count what is queued, each call is looked at that has not
        ended, or whose future nobody has looked at since, so with many of them it takes
        longer. Calls of ``asubmit()`` that wait for room are not submitted yet.
        """
        lane = {"python_threads": len(self._threads)}
        return MappingProxyType({**self._stats(), **lane})


def _whole(value: Any) -> Any:
    """The standard library takes half a CPU's workers for one worker."""
    if isinstance(value, float) and math.isfinite(value):
        return math.ceil(value)
    return value


def _check_workers(name: str, value: int | None, most: int | None = None) -> None:
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
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")


def _check_queue(capacity: int | None, on_full: str) -> None:
    if on_full not in ("block", "raise", "run"):
        raise ValueError(f"on_full must be 'block', 'raise' or 'run', got {on_full!r}")
    if capacity is None:
        return
    if not hasattr(capacity, "__index__"):
        raise TypeError(
            f"queue_capacity must be an integer or None, "
            f"got {type(capacity).__name__} {capacity!r:.60}"
        )
    if not 1 <= capacity <= _MOST_QUEUED:
        raise ValueError(
            f"queue_capacity must be from 1 to {_MOST_QUEUED}, got {capacity}; "
            "leave it out for no limit"
        )


def _cpu_count() -> int:
    count = getattr(os, "process_cpu_count", os.cpu_count)()
    return count or 1


def _view_class() -> type[ExecutorView]:
    from .view import ExecutorView  # which is an Executor

    return ExecutorView


class ThreadPoolExecutor(  # type: ignore[misc,override]
    Executor, cf.ThreadPoolExecutor
):
    """An :class:`Executor` for libraries that insist on the standard library's class.

    ``isinstance(executor, concurrent.futures.ThreadPoolExecutor)`` holds; nothing else
    differs. asyncio's ``loop.set_default_executor()`` is one that insists.
    """


# ------------------------------------------------------------- the default executor

_default: Executor | None = None
_default_pid: int | None = None
_default_lock = threading.RLock()  # signal handlers ask for it, too


def default_executor() -> Executor:
    """The executor of those who were given none: on the process's own native pool.

    Made at the first call, and again after a fork or when somebody has shut it down.
    """
    global _default, _default_pid
    with _default_lock:
        if _default is None or not _is_usable(_default):
            made = Executor(thread_name_prefix="stealpool")
            # A signal handler in this thread may have been quicker.
            if _default is None or not _is_usable(_default):
                _default, _default_pid = made, os.getpid()
        return _default


def _is_usable(default: Executor) -> bool:
    return _default_pid == os.getpid() and (
        default._shutdown_reason is None or _interpreter_exits
    )
