"""The Python lane: threads that run Python callables.

They start as `ThreadPoolExecutor` starts them: one more for each submit that finds no
thread idle, up to a limit, and they end with their executor. Kernels never come here.
What they do, and which of them is woken for a call, is in C: pyx/lane.h.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures.thread import BrokenThreadPool
from itertools import count
from typing import Any

from . import _core
from ._core import CallQueue, Start

__all__ = ["Lane"]

_FIRST = 256

# Callables that wait for each other raise instead of hanging.
_core.set_debugging(
    sys.flags.dev_mode or os.environ.get("STEALPOOL_DEBUG", "0") not in ("", "0")
)

# The standard library's own, whose users have configured it.
_logger = logging.getLogger("concurrent.futures")


class Lane:
    """The threads that run the calls of a queue.

    Parameters
    ----------
    queue : CallQueue
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
        queue: CallQueue,
        max_workers: int,
        thread_name_prefix: str,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
    ) -> None:
        self.queue = queue
        self.threads: set[threading.Thread] = set()
        self._thread_name_prefix = thread_name_prefix
        self._initializer = initializer
        self._initargs = initargs
        # Indices of threads not yet started; there may be a million.
        self._vacant = deque(range(min(max_workers, _FIRST)))
        self._more = count(_FIRST).__next__

    @property
    def broken(self) -> str | None:
        """Why submits are refused, or None."""
        return self.queue.broken

    def start(self, start: Start) -> bool:
        """Start the thread that the queue has asked for; False if it cannot be had.

        No locks: signal handlers, finalizers and callbacks submit, too.

        Raises
        ------
        RuntimeError
            If it cannot be had, and the lane has no other.
        """
        if start.is_stale or start.is_claimed:
            return True  # a signal handler has forked, and this is the child; or waited
        try:
            index = self._vacant.popleft()
        except IndexError:
            index = self._more()
        # The thread refers to the lane, never to the executor, which can so be
        # collected; its collection closes the lane.
        # A daemon to the interpreter's exit, which join_all() is a part of and can end
        # without it. Not to the callables: _run() takes that back.
        try:
            name = f"{self._thread_name_prefix}_{index}"
            thread = threading.Thread(
                name=name, target=_run, args=(self, start), daemon=True
            )
        except BaseException:
            self._vacant.appendleft(index)
            raise
        self.threads.add(thread)
        _all_threads[thread] = self.queue
        try:
            thread.start()
        except BaseException as error:
            if start.is_stale and isinstance(error, RuntimeError):
                return True  # the child again: CPython 3.13.0 "has started" it
            if thread.ident is not None:
                raise
            self.threads.discard(thread)
            _all_threads.pop(thread, None)
            self._vacant.appendleft(index)
            if not isinstance(error, RuntimeError) or not self._has_threads():
                raise
            return False  # fewer threads than allowed, but the callable will run
        return True

    def _has_threads(self) -> bool:
        """Besides those that are on their way."""
        n = 0  # without a generator: see join()
        for thread in list(self.threads):
            n += thread.ident is not None
        return n > 0

    def close(self) -> None:
        """Let the threads end once the queue is empty. Idempotent."""
        self.queue.close()

    def cancel_queued(self) -> None:
        """Cancel all callables that have not begun."""
        while (future := self.queue.take_any()) is not None:
            future.cancel()

    def fail_if_broken(self) -> None:
        """End what was queued while the lane broke."""
        if self.broken:
            while (future := self.queue.take_any()) is not None:
                _core.fail_callable(future, BrokenThreadPool(self.broken))

    def join(self, due: float = math.inf) -> int:
        """Wait for the threads to end, until a time of time.monotonic().

        Returns how many go on.
        """
        others = self.threads - {threading.current_thread()}
        for thread in others:
            # One that is not alive yet ends by itself: nothing is left to run.
            if thread.is_alive():
                left = max(due - time.monotonic(), 0)
                thread.join(left if left <= threading.TIMEOUT_MAX else None)
        n = 0  # CPython 3.13 crashes if there is no memory for a generator
        for thread in others:
            n += thread.is_alive()
        return n

    def run(self) -> None:
        """A thread's main function."""
        _core.enter_lane(self.queue)
        if self._initializer is not None:
            try:
                self._initializer(*self._initargs)
            except BaseException:
                _logger.critical("Exception in initializer:", exc_info=True)
                self.queue.fail(
                    "A thread initializer failed, the thread pool is not usable anymore"
                )
                self.fail_if_broken()
                return
        _core.run_callables(self.queue)


def _run(lane: Lane, start: Start) -> None:
    if start.is_stale or not start.claim():
        return
    # Threads that a callable starts are daemons if their parent is one.
    threading.current_thread()._daemonic = False  # type: ignore[attr-defined]
    lane.run()


_all_threads: weakref.WeakKeyDictionary[threading.Thread, CallQueue] = (
    weakref.WeakKeyDictionary()
)


def close_all() -> None:
    """At exit: let all threads end, after what is queued."""
    for _, queue in list(_all_threads.items()):
        queue.close()


def join_all(deadline: float | None) -> bool:
    """Wait for all threads until a time of time.monotonic(); False if some go on."""
    for thread in list(_all_threads):
        if thread.is_alive():
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            thread.join(left)
    return not any(thread.is_alive() for thread in list(_all_threads))


def forget_all() -> None:
    """In the child of a fork: the threads are not here."""
    _all_threads.clear()
