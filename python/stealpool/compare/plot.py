"""The table as a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from .row import Row
from .table import ratios

__all__ = ["PlotError", "draw"]

# Okabe and Ito's palette: distinct for all kinds of colour vision.
_OURS, _PEER = "#D55E00", "#56B4E9"
_ROW_INCHES = 0.26

# A job with its rows, and each row's time in units of ours.
_Job: TypeAlias = tuple[str, list[tuple[Row, float | None]]]


class PlotError(Exception):
    """The picture cannot be drawn; the message says what to do."""


def draw(rows: Iterable[Row], path: str, subtitle: str) -> None:
    """Draw how much longer each peer takes; the suffix of `path` is the format."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotError(
            "--plot needs matplotlib, which is not installed: "
            'python -m pip install "stealpool[compare]"'
        ) from None
    if not Path(path).resolve().parent.is_dir():
        raise PlotError(f"cannot write {path!r}: there is no such folder")

    jobs = list(ratios(rows))
    columns = _columns(jobs)
    height = max(map(_height, columns))
    figure = Figure(
        figsize=(7.5 * len(columns), 1.0 + _ROW_INCHES * height), layout="constrained"
    )
    longest = max(ratio or 1.0 for _, members in jobs for _, ratio in members)
    for index, column in enumerate(columns):
        axes = figure.add_subplot(1, len(columns), index + 1)
        _draw_column(axes, column)
        axes.set_xlim(0.9, longest * 3)
        axes.set_ylim(height, -0.8)
    figure.suptitle(subtitle, fontsize=9)
    try:
        figure.savefig(path, dpi=160)
    except (OSError, ValueError) as error:
        raise PlotError(f"cannot write {path!r}: {error}") from None


def _height(jobs: list[_Job]) -> float:
    """In rows: the bars, a title, and half a row between jobs."""
    return sum(
        1.5 + sum(ratio is not None for _, ratio in members) for _, members in jobs
    )


def _columns(jobs: list[_Job]) -> list[list[_Job]]:
    """Two columns of about the same height; one if there is little to show."""
    cuts = range(1, len(jobs))
    if not cuts:
        return [jobs]
    cut = min(cuts, key=lambda i: max(_height(jobs[:i]), _height(jobs[i:])))
    return [jobs[:cut], jobs[cut:]]


def _draw_column(axes: Any, jobs: list[_Job]) -> None:
    y = 0.0
    ticks: dict[float, str] = {}
    for job, members in jobs:
        axes.text(0.92, y, job, va="center", fontsize=9, weight="bold")
        y += 1.0
        for row, ratio in members:
            if ratio is None:
                continue
            colour = _OURS if row.is_ours else _PEER
            axes.barh(y, ratio, color=colour, left=1e-9, height=0.75)
            text = f" {ratio:,.1f}x" if ratio < 100 else f" {ratio:,.0f}x"
            axes.text(ratio, y, text, va="center", fontsize=8)
            ticks[y] = row.way
            y += 1.0
        y += 0.5
    axes.set_xscale("log")
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    axes.set_xlabel("time, in units of stealpool's (less is better)")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
