"""Many short kernels: what does it cost to hand one in and to hear of its end?"""

from __future__ import annotations

import concurrent.futures as cf
import ctypes
import math
from collections.abc import Iterator
from typing import Any

import stealpool

from .row import OURS, Row, Settings
from .timing import measure

__all__ = ["rows"]

_WORKERS = 2


def rows(settings: Settings) -> Iterator[Row]:
    """Yield rows for each of: result by result, all at once, round trips."""
    n = 2000 if settings.quick else 20000
    arguments = [i * 1e-3 for i in range(n)]
    right = [math.cos(x) for x in arguments]
    function = _cos()
    kernel = stealpool.kernel(function)

    def each(executor: Any, fn: Any) -> list[float]:
        futures = [executor.submit(fn, x) for x in arguments]
        return [future.result() for future in futures]

    def wait_threads() -> list[float]:
        futures = [threads.submit(function, x) for x in arguments]
        cf.wait(futures)
        return [future.result() for future in futures]

    def wait_ours() -> list[float]:
        futures = ours.submit_many(kernel, arguments)
        stealpool.wait(futures)
        return [future.result() for future in futures]

    def round_trips(executor: Any, fn: Any) -> list[float]:
        return [executor.submit(fn, x).result() for x in arguments[: n // 10]]

    with (
        cf.ThreadPoolExecutor(_WORKERS) as threads,
        stealpool.Executor(_WORKERS) as ours,
    ):
        jobs = {
            f"{n:,} cosines, submit each, then result() each": {
                "ThreadPoolExecutor": lambda: each(threads, function),
                OURS: lambda: each(ours, kernel),
            },
            f"{n:,} cosines, then one wait()": {
                "ThreadPoolExecutor, submit": wait_threads,
                f"{OURS}, submit_many": wait_ours,
            },
            f"{n // 10:,} round trips, submit().result()": {
                "ThreadPoolExecutor": lambda: round_trips(threads, function),
                OURS: lambda: round_trips(ours, kernel),
            },
        }
        for job, ways in jobs.items():
            yield from measure(
                settings,
                job,
                ways,
                lambda values: values == right[: len(values)],
                settings.rounds(20),
            )


def _cos() -> Any:
    """The C library's cos, through ctypes, which releases the GIL around it."""
    function = ctypes.CDLL("libm.so.6").cos
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_double]
    return function
