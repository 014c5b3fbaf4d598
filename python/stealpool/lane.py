"""The Python lane: threads that run Python callables.

They start as `ThreadPoolExecutor` starts them: one more for each submit that finds no
thread idle, up to a limit, and they end with their executor. Kernels never come here.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
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
    home : object
        What marks the callables of its executor.
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
        home: Any,
        max_workers: int,
        thread_name_prefix: str,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
    ) -> None:
        self.threads: set[threading.Thread] = set()
        self.broken: str | None = None
        self._home = home
        self._thread_name_prefix = thread_name_prefix
        self._initializer = initializer
        self._initargs = initargs
        # No locks: signal handlers, finalizers and callbacks submit, too.
        self._queue: SimpleQueue[Future[Any] | None] = SimpleQueue()
        self._idle: SimpleQueue[None] = SimpleQueue()  # one entry for each idle thread
        self._vacant = deque(range(max_workers))  # indices of threads not yet started

    def make_ready(self) -> Callable[[Any], None]:
        """See that a thread will take the next callable.

        Returns
        -------
        callable
            Queues the callable's future.
        """
        if self.broken:
            raise BrokenThreadPool(self.broken)
        try:
            self._idle.get_nowait()
        except Empty:
            if self._vacant:
                self._start_thread()
        return self._queue.put

    def _start_thread(self) -> None:
        try:
            index = self._vacant.popleft()
        except IndexError:
            return  # another thread was quicker
        # The thread refers to the lane, never to the executor, which can so be
        # collected; its collection closes the lane.
        name = f"{self._thread_name_prefix}_{index}"
        thread = threading.Thread(name=name, target=_run, args=(self,))
        self.threads.add(thread)
        _all_threads[thread] = self._queue
        try:
            thread.start()
        except BaseException as error:
            if thread.ident is None:
                self.threads.discard(thread)
                _all_threads.pop(thread, None)
                self._vacant.appendleft(index)
            if not self.threads or not isinstance(error, RuntimeError):
                raise
            # Fewer threads than allowed, but the callable will run.

    def close(self) -> None:
        """Let the threads end once the queue is empty. Idempotent."""
        self._queue.put(None)

    def _take_queued(self) -> Iterator[Future[Any]]:
        """What no thread has taken yet."""
        is_closed = False
        while True:
            try:
                future = self._queue.get_nowait()
            except Empty:
                break
            if future is None:
                is_closed = True
            else:
                yield future
        if is_closed:
            self.close()

    def cancel_queued(self) -> None:
        """Cancel all callables that have not begun."""
        for future in self._take_queued():
            future.cancel()

    def fail_if_broken(self) -> None:
        """End what was queued while the lane broke."""
        if self.broken:
            for future in self._take_queued():
                _core.fail_callable(future, BrokenThreadPool(self.broken))

    def join(self, timeout: float | None = None) -> None:
        """Wait for the threads to end."""
        if timeout is not None:
            timeout = min(max(timeout, 0), threading.TIMEOUT_MAX)
        for thread in list(self.threads):
            # One that is not alive yet ends by itself: nothing is left to run.
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(timeout)

    def run(self) -> None:
        """A thread's main function."""
        _core.enter_lane(self._home)
        if self._initializer is not None:
            try:
                self._initializer(*self._initargs)
            except BaseException:
                _logger.critical("Exception in initializer:", exc_info=True)
                self.broken = (
                    "A thread initializer failed, the thread pool is not usable anymore"
                )
                self.fail_if_broken()
                return
        _core.run_callables(self._queue, self._idle)


def _run(lane: Lane) -> None:
    lane.run()


_all_threads: weakref.WeakKeyDictionary[threading.Thread, SimpleQueue[Any]] = (
    weakref.WeakKeyDictionary()
)


def join_all() -> None:
    """At exit: end all threads, after what is queued."""
    items = list(_all_threads.items())
    for _, queue in items:
        queue.put(None)
    for thread, _ in items:
        if thread.is_alive():
            thread.join()


def forget_all() -> None:
    """In the child of a fork: the threads are not here."""
    _all_threads.clear()
