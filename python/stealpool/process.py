"""The ends of a process: exit and fork.

At exit all accepted calls run to their end, as with the standard library's executors,
before any module is taken down; then no thread of ours wants the GIL any more. Ctrl-C,
or a time limit, ends that: what is queued is cancelled, what runs is asked to stop, and
one second later it is left alone, with its thread and its buffers.

In the child of a fork no thread but the forking one exists: executors start anew.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
import warnings

from . import _core, executor, lane

__all__ = ["set_exit_timeout"]

_GRACE = 1.0  # seconds between asking calls to stop and leaving them alone

_exit_timeout: float | None = None
_gave_up = False


def set_exit_timeout(seconds: float | None) -> None:
    """Limit the time for which the exit of the process waits for calls.

    Parameters
    ----------
    seconds : float or None
        None, the default: for ever, as the standard library does. Otherwise calls that
        are queued after that time are cancelled, and those that run are asked to stop
        (see ``sp_cancelled()``); Ctrl-C at exit does the same. One second later, those
        that run on are abandoned: their threads are not waited for, and their buffers
        are not freed.

    Raises
    ------
    ValueError
        For negative numbers, and nan.

    Notes
    -----
    The environment variable ``STEALPOOL_EXIT_TIMEOUT`` sets it from outside.
    """
    global _exit_timeout
    if seconds is not None:
        seconds = float(seconds)
        if math.isnan(seconds) or seconds < 0:
            raise ValueError(
                "the exit timeout must be a number of seconds from 0 on, or None for "
                f"no limit, got {seconds}"
            )
        if seconds > threading.TIMEOUT_MAX:  # centuries
            seconds = None
    _exit_timeout = seconds


def _take_from_environment() -> None:
    text = os.environ.get("STEALPOOL_EXIT_TIMEOUT")
    if text:
        try:
            set_exit_timeout(float(text))
        except ValueError:
            warnings.warn(
                f"STEALPOOL_EXIT_TIMEOUT={text!r} is ignored: it is not a number of "
                "seconds from 0 on",
                RuntimeWarning,
                stacklevel=2,
            )


# --------------------------------------------------------------------------------- exit


def _end_work() -> None:
    """Before the interpreter waits for the program's own threads."""
    executor._interpreter_exits = True
    executors = list(executor._executors)
    try:
        for each in executors:
            if each._shutdown_reason is None:
                each._close(executor._AT_EXIT)
        lane.close_all()
        is_over = _await_work(_exit_timeout)
    except BaseException:  # Ctrl-C, or what another signal's handler raises
        _stop_work(executors)
        raise
    if not is_over:
        _stop_work(executors)


def _await_work(timeout: float | None) -> bool:
    deadline = None if timeout is None else time.monotonic() + timeout
    is_over = lane.join_all(deadline)
    left = None if deadline is None else max(deadline - time.monotonic(), 0)
    return _core.shut_down_pools(left) and is_over


def _stop_work(executors: list[executor.Executor]) -> None:
    global _gave_up
    _gave_up = True
    for each in executors:
        each.shutdown(wait=False, cancel_futures=True)
    _core.stop_tasks()
    try:
        if _await_work(_GRACE):
            return
    except KeyboardInterrupt:  # once more: at once, then
        pass
    unfinished = _core.abandon_pools()
    print(
        f"stealpool: {unfinished} calls go on after they were asked to stop at exit; "
        "they are abandoned",
        file=sys.stderr,
    )


def _end_drainer() -> None:
    """After the program's own threads, who may observe futures."""
    timeout = _GRACE if _gave_up else _exit_timeout
    _core.stop_drainer(timeout)


# --------------------------------------------------------------------------------- fork


def _in_child() -> None:
    lane.forget_all()
    executor._default_lock = threading.RLock()
    _core.mark_stale()


def install() -> None:
    """Register the hooks, once, at import."""
    _take_from_environment()
    # Private, but present since 3.9: runs before the interpreter waits for threads,
    # where the standard library ends its own executors.
    getattr(threading, "_register_atexit", atexit.register)(_end_work)
    atexit.register(_end_drainer)
    os.register_at_fork(after_in_child=_in_child)
