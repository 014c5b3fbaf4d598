"""The ends of a process: exit and fork.

At exit all accepted calls run to their end, as with the standard library's executors,
before any module is taken down; then no thread of ours wants the GIL any more. In the
child of a fork no thread but the forking one exists: executors start anew.
"""

from __future__ import annotations

import atexit
import os
import threading

from . import _core, executor, lane

__all__: list[str] = []


def _end_work() -> None:
    executor._interpreter_exits = True
    executors = list(executor._executors)
    for each in executors:
        if each._shutdown_reason is None:
            each._close(executor._AT_EXIT)
    lane.join_all()
    for each in executors:
        each.shutdown(wait=True)
    _core.shut_down_pools()


def _in_child() -> None:
    lane.forget_all()
    executor._default_lock = threading.Lock()
    _core.mark_stale()


def install() -> None:
    """Register the hooks, once, at import."""
    # Private, but present since 3.9: runs before the interpreter waits for threads,
    # where the standard library ends its own executors.
    getattr(threading, "_register_atexit", atexit.register)(_end_work)
    atexit.register(_core.stop_drainer)
    os.register_at_fork(after_in_child=_in_child)
