"""The Python lane: threads that run Python callables.

They start as `ThreadPoolExecutor` starts them: one more for each submit that finds no
thread idle, up to a limit, and they end with their executor. Kernels never come here.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures.thread import BrokenThreadPool
from queue import Empty, SimpleQueue
from typing import Any

from . import _core
from ._core import Future

__all__ = ["Lane"]

# The standard library's own, whose users have configured it.
_logger = logging.getLogger("concurrent.futures")


class Lane:
    """A queue of callables' futures and the threads that run them.

    Parameters
    ----------
    max_workers : int
        Most threads.
    thread_name_prefix : str
        Threads are called ``<prefix>_<index>``.
    initializer, initargs
        Called at the start of each thread. If it raises, the lane is broken: all
        pending futures and later submits raise BrokenThreadPool.
    """

    def __init__(
        self,
        max_workers: int,
        thread_name_prefix: str,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
    ) -> None:
        self.max_workers = max_workers
        self.threads: set[threading.Thread] = set()
        self.broken: str | None = None
        self._thread_name_prefix = thread_name_prefix
        self._initializer = initializer
        self._initargs = initargs
        self._queue: SimpleQueue[Future[Any] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, future: Future[Any]) -> None:
        """Queue a callable's future, and see that a thread will take it."""
        with self._lock:
            if self.broken:
                raise BrokenThreadPool(self.broken)
            self._queue.put(future)
            self._start_thread_if_needed()

    def _start_thread_if_needed(self) -> None:
        if self._idle.acquire(timeout=0):
            return
        if len(self.threads) >= self.max_workers:
            return
        name = f"{self._thread_name_prefix}_{len(self.threads)}"
        # The thread refers to the lane, never to the executor, which can so be
        # collected; its collection closes the lane.
        thread = threading.Thread(name=name, target=_run, args=(self,))
        try:
            thread.start()
        except RuntimeError:
            if not self.threads:
                self._queue = SimpleQueue()
                raise
            return  # fewer threads, but the callable will run
        self.threads.add(thread)
        _all_threads[thread] = self._queue

    def close(self) -> None:
        """Let the threads end once the queue is empty. Idempotent."""
        with self._lock:
            self._closed = True
            self._queue.put(None)

    def cancel_queued(self) -> None:
        """Cancel all callables that have not begun."""
        while True:
            try:
                future = self._queue.get_nowait()
            except Empty:
                return
            if future is not None:
                future.cancel()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the threads to end."""
        for thread in list(self.threads):
            if thread is not threading.current_thread():
                thread.join(timeout)

    def initialize(self) -> bool:
        """In a new thread: run the initializer. False if the lane is broken now."""
        if self._initializer is None:
            return True
        try:
            self._initializer(*self._initargs)
        except BaseException:
            _logger.critical("Exception in initializer:", exc_info=True)
            self._break(
                "A thread initializer failed, the thread pool is not usable anymore"
            )
            return False
        return True

    def _break(self, reason: str) -> None:
        with self._lock:
            self.broken = reason
            while True:
                try:
                    future = self._queue.get_nowait()
                except Empty:
                    break
                if future is not None:
                    _core.fail_callable(future, BrokenThreadPool(reason))

    def run_until_closed(self) -> None:
        """A thread's main loop."""
        while True:
            try:
                future = self._queue.get_nowait()
            except Empty:
                self._idle.release()
                future = self._queue.get()
            if future is None:
                self._queue.put(None)  # the next thread must end, too
                return
            future._run()
            del future  # not while waiting for the next


def _run(lane: Lane) -> None:
    _core.enter_lane()
    if lane.initialize():
        lane.run_until_closed()


_all_threads: weakref.WeakKeyDictionary[threading.Thread, SimpleQueue[Any]] = (
    weakref.WeakKeyDictionary()
)


def join_all() -> None:
    """At exit: end all threads, after what is queued."""
    items = list(_all_threads.items())
    for _, queue in items:
        queue.put(None)
    for thread, _ in items:
        thread.join()


def forget_all() -> None:
    """In the child of a fork: the threads are not here."""
    _all_threads.clear()
