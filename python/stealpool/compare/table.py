"""Rows as a table, and as numbers for other programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from .row import Row

__all__ = ["as_json", "lines", "ratios"]


def ratios(rows: Iterable[Row]) -> Iterator[tuple[str, list[tuple[Row, float | None]]]]:
    """For each job its rows, each with its time in units of our best one."""
    for job, group in groupby(rows, key=lambda row: row.job):
        members = list(group)
        ours = min(row.seconds for row in members if row.is_ours and row.seconds)
        yield (
            job,
            [(row, row.seconds / ours if row.seconds else None) for row in members],
        )


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def _result(row: Row) -> str:
    return {None: "", True: "equal", False: "DIFFERS"}[row.agrees]


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table, in Markdown that is aligned for the eye as well."""
    rows = list(rows)
    width = max(len(row.way) for row in rows)
    for job, members in ratios(rows):
        yield ""
        yield job
        yield ""
        yield f"| {'':{width}} | {'time':>9} | {'ratio':>8} | {'result':>7} |"
        yield f"|:{'-' * width}-|{'-' * 10}:|{'-' * 9}:|{'-' * 8}:|"
        for row, ratio in members:
            time = "-" if row.seconds is None else _time(row.seconds)
            times = "missing" if ratio is None else f"{ratio:,.1f}x"
            yield f"| {row.way:{width}} | {time:>9} | {times:>8} | {_result(row):>7} |"


def as_json(rows: Iterable[Row], config: dict[str, Any]) -> dict[str, Any]:
    """What ``--json`` writes."""
    return {
        "config": config,
        "rows": [
            {"job": r.job, "way": r.way, "seconds": r.seconds, "agrees": r.agrees}
            for r in rows
        ],
    }
