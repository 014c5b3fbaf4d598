"""The program that every text on the GIL has, with the executor and the function left
open. `python -m stealpool compare` and the tests run it as it stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["integrate", "integrate_in_jobs"]


def integrate(f: Callable[[float], float], a: float, b: float, *, n_iter: int) -> float:
    """The left rectangle rule in pure Python."""
    step = (b - a) / n_iter
    total = 0.0
    for i in range(n_iter):
        total += f(a + i * step)
    return total * step


def integrate_in_jobs(
    executor: Any,
    integrate: Callable[..., float],
    as_completed: Callable[[Iterable[Any]], Iterable[Any]],
    f: Callable[[float], float],
    a: float,
    b: float,
    *,
    n_iter: int,
    n_jobs: int,
) -> float:
    """Integrate `f` from `a` to `b` in `n_jobs` tasks."""
    step = (b - a) / n_jobs
    futures = [
        executor.submit(
            integrate, f, a + i * step, a + (i + 1) * step, n_iter=n_iter // n_jobs
        )
        for i in range(n_jobs)
    ]
    total: float = sum(future.result() for future in as_completed(futures))
    return total
