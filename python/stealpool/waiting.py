"""wait() and as_completed(), for futures of any executors.

Futures of ours are waited for natively, with one acquisition of the GIL for the whole
lot. If others are among them, the standard library's functions do the work, which our
futures support as well.
"""

from __future__ import annotations

import concurrent.futures as cf
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any, TypeVar

from ._core import Completions, all_ours, wait_all

__all__ = ["as_completed", "wait"]

_T = TypeVar("_T")

_CONDITIONS = (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED)


def wait(
    fs: Iterable[cf.Future[_T]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> cf._base.DoneAndNotDoneFutures[_T]:
    """Wait for futures, as ``concurrent.futures.wait()`` does.

    Parameters
    ----------
    fs : iterable of Future
        Of any executors; duplicates count once.
    timeout : float, optional
        Seconds to wait; for ever if None.
    return_when : {FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED}

    Returns
    -------
    tuple (done, not_done)
        Two sets of futures.
    """
    if return_when not in _CONDITIONS:
        raise ValueError(
            f"return_when must be one of {', '.join(_CONDITIONS)}, got {return_when!r}"
        )
    futures = set(fs)
    if return_when == ALL_COMPLETED:
        all_done = wait_all(futures, timeout)
        if all_done:
            return cf._base.DoneAndNotDoneFutures(futures, set())
        if all_done is None:
            return cf.wait(futures, timeout, return_when)
    elif not all_ours(futures) or not _wait_any(futures, timeout, return_when):
        return cf.wait(futures, timeout, return_when)
    done = {future for future in futures if future.done()}
    return cf._base.DoneAndNotDoneFutures(done, futures - done)


def _wait_any(futures: set[Any], timeout: float | None, return_when: str) -> bool:
    """Wait for the first; False if a future already reports to somebody else."""

    def ends_wait(future: Any) -> bool:
        if return_when == FIRST_COMPLETED:
            return True
        return not future.cancelled() and future.exception() is not None

    if any(future.done() and ends_wait(future) for future in futures):
        return True
    deadline = None if timeout is None else time.monotonic() + timeout
    completions = Completions()
    try:
        for future in futures:
            added = completions.add(future)
            if added is None:
                return False
            if not added and ends_wait(future):
                return True
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            batch = completions.next_batch(left)
            if not batch or any(map(ends_wait, batch)):
                return True
    finally:
        completions.close()


def as_completed(
    fs: Iterable[cf.Future[_T]], timeout: float | None = None
) -> Iterator[cf.Future[_T]]:
    """Yield futures as they end, as ``concurrent.futures.as_completed()`` does.

    Parameters
    ----------
    fs : iterable of Future
        Of any executors; duplicates are yielded once.
    timeout : float, optional
        Seconds from this call to the last future; for ever if None.

    Raises
    ------
    TimeoutError
        By the iterator, if not all have ended by then.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    futures = set(fs)
    if not all_ours(futures):
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        return cf.as_completed(futures, left)
    return _as_completed(futures, deadline)


def _as_completed(
    futures: set[Any], deadline: float | None
) -> Iterator[cf.Future[Any]]:
    completions = Completions()
    total = len(futures)
    others = []  # report to somebody else already
    ready = []
    try:
        for future in futures:
            added = completions.add(future)
            if added is None:
                others.append(future)
            elif not added:
                ready.append(future)
        n_waiting = total - len(ready) - len(others)
        futures, future = set(), None  # keep no reference
        while ready or n_waiting:
            while ready:
                yield ready.pop()  # and keep no reference
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if n_waiting:
                ready = completions.next_batch(left)
                ready.reverse()
                n_waiting -= len(ready)
                if not ready:
                    unfinished = n_waiting + len(others)
                    raise TimeoutError(f"{unfinished} (of {total}) futures unfinished")
    finally:
        completions.close()
    if others:
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        yield from cf.as_completed(others, left)
