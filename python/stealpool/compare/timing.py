"""Interleaved timing: each round runs every way once, so that all share the noise."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .row import Row, Settings

__all__ = ["Ways", "measure"]

# The ways to do a job, by name; None for a peer that is not installed.
Ways = Mapping[str, Callable[[], Any] | None]


def measure(
    settings: Settings,
    job: str,
    ways: Ways,
    is_right: Callable[[Any], bool],
    rounds: int,
    slow: Mapping[str, int] | None = None,
    typical: Callable[[list[float]], float] = min,
) -> Iterator[Row]:
    """Yield a row for each way.

    Every way is run once before anything is timed, and that result is checked.

    Parameters
    ----------
    rounds : int
        How often each way is run.
    slow : mapping, optional
        Ways that are run less often, and how often.
    typical : callable, optional
        What to make of a way's times. The least of them is what the program costs
        when nothing else happens; not to be used where what happens is the question.
    """
    times: defaultdict[str, list[float]] = defaultdict(list)
    agrees: dict[str, bool] = {}
    for way, run in ways.items():
        if run is not None:
            settings.report(f"{job}: {way}")
            agrees[way] = is_right(run())
    for round_ in range(rounds):
        settings.report(f"{job}: round {round_ + 1} of {rounds}")
        for way, run in ways.items():
            if run is None or round_ >= (slow or {}).get(way, rounds):
                continue
            start = time.perf_counter()
            run()
            times[way].append(time.perf_counter() - start)
    for way in ways:
        seconds = typical(times[way]) if times[way] else None
        yield Row(job, way, seconds, agrees.get(way))
