"""Kernels beside a busy Python thread: who has to ask for the GIL, how often?"""

from __future__ import annotations

import concurrent.futures as cf
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import stealpool
from stealpool import _peers

from .row import OURS, Row, Settings
from .timing import measure

__all__ = ["rows"]

_MICROSECONDS = 1.0
_WORKERS = 2
_ROUNDS = 5


def rows(settings: Settings) -> Iterator[Row]:
    """Yield rows for kernels that are submitted, and then waited for together."""
    n = 50 if settings.quick else 1000
    kernel = stealpool.kernel(_peers, "spin_us")
    arguments = [(_MICROSECONDS,)] * n

    def run_threads() -> list[float]:
        futures = [threads.submit(_peers.spin, _MICROSECONDS) for _ in range(n)]
        return [future.result() for future in futures]

    def run_ours() -> list[float]:
        futures = ours.submit_many(kernel, arguments)
        stealpool.wait(futures)
        return [future.result() for future in futures]

    ways: dict[str, Callable[[], list[float]]] = {
        "ThreadPoolExecutor": run_threads,
        OURS: run_ours,
    }
    with (
        cf.ThreadPoolExecutor(_WORKERS) as threads,
        stealpool.Executor(_WORKERS) as ours,
        _busy_thread(),
    ):
        yield from measure(
            settings,
            f"{n:,} kernels of 1 us beside a busy Python thread (median)",
            ways,
            lambda values: len(values) == n and min(values) >= _MICROSECONDS,
            _ROUNDS,
            # The least would be the luck of never having to ask for the GIL.
            typical=median,
        )


@contextmanager
def _busy_thread() -> Iterator[None]:
    """A thread that computes in pure Python, and never waits."""
    stops = False

    def compute() -> None:
        while not stops:
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        stops = True
        thread.join()
