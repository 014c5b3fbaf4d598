"""Integrate cos over [0, pi/2], 10**6 points, in two jobs: who gains from threads?"""

from __future__ import annotations

import concurrent.futures as cf
import math
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import stealpool
import stealpool.kernels
from stealpool import _peers

from . import program
from .row import OURS, Row, Settings
from .timing import measure

__all__ = ["rows"]

_LIMITS = 0.0, math.pi / 2
_JOBS = 2


def rows(settings: Settings) -> Iterator[Row]:
    """Yield a row for each way to run the program."""
    n_iter = 10**5 if settings.quick else 10**6
    # The sum itself: what the rectangle rule leaves of the integral is known.
    step = (_LIMITS[1] - _LIMITS[0]) / n_iter
    right = step * (0.5 + 0.5 / math.tan(step / 2))

    def in_jobs(executor: Any, integrate: Any, as_completed: Any) -> Any:
        return lambda: program.integrate_in_jobs(
            executor, integrate, as_completed, math.cos, *_LIMITS,
            n_iter=n_iter, n_jobs=_JOBS,
        )  # fmt: skip

    with ExitStack() as stack:
        threads = stack.enter_context(cf.ThreadPoolExecutor(_JOBS))
        # A fork would copy the threads' locks, but not the threads.
        processes = stack.enter_context(
            cf.ProcessPoolExecutor(_JOBS, multiprocessing.get_context("spawn"))
        )
        ours = stack.enter_context(stealpool.Executor(_JOBS))
        pure = program.integrate
        ways = {
            "pure Python, one thread": lambda: pure(math.cos, *_LIMITS, n_iter=n_iter),
            "pure Python, ThreadPoolExecutor": in_jobs(threads, pure, cf.as_completed),
            "pure Python, ProcessPoolExecutor (started)": in_jobs(
                processes, pure, cf.as_completed
            ),
            "pure Python, joblib (started)": _joblib(n_iter),
            "numba nogil loop, ThreadPoolExecutor": _numba(in_jobs, threads),
            "Cython nogil loop, ThreadPoolExecutor": in_jobs(
                threads, _peers.integrate, cf.as_completed
            ),
            f"{OURS} Executor": in_jobs(
                ours, stealpool.kernels.integrate, stealpool.as_completed
            ),
        }
        pure_ways = [way for way in ways if way.startswith("pure")]
        yield from measure(
            settings,
            f"integrate cos, {n_iter:,} points, {_JOBS} jobs",
            ways,
            lambda value: math.isclose(value, right, rel_tol=1e-9),
            settings.rounds(100),
            slow=dict.fromkeys(pure_ways, settings.rounds(5)),
        )


def _joblib(n_iter: int) -> Callable[[], float] | None:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        return None
    a, b = _LIMITS
    step = (b - a) / _JOBS
    parallel = Parallel(n_jobs=_JOBS)
    return lambda: sum(
        parallel(
            delayed(program.integrate)(
                math.cos, a + i * step, a + (i + 1) * step, n_iter=n_iter // _JOBS
            )
            for i in range(_JOBS)
        )
    )


def _numba(in_jobs: Any, threads: Any) -> Callable[[], float] | None:
    try:
        from numba import njit
    except ImportError:
        return None

    @njit(nogil=True, fastmath=True)  # type: ignore[untyped-decorator, unused-ignore]
    def loop(a: float, step: float, n: int) -> float:
        total = 0.0
        for i in range(n):
            total += math.cos(a + i * step)
        return total * step

    def integrate(f: Any, a: float, b: float, *, n_iter: int) -> float:
        return float(loop(a, (b - a) / n_iter, n_iter))

    way: Callable[[], float] = in_jobs(threads, integrate, cf.as_completed)
    return way
