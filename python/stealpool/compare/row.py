"""What a section is given, and what it yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .photograph import Photograph

__all__ = ["OURS", "Row", "Settings"]

OURS = "stealpool"


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    quick : bool
        Fewer rounds, smaller jobs.
    photograph : Photograph
        What to blur.
    report : callable
        Is told what is being measured.
    """

    quick: bool
    photograph: Photograph
    report: Callable[[str], None]

    def rounds(self, n: int) -> int:
        """`n` rounds, or a tenth of that in a quick run; at least 2."""
        return max(2, n // 10 if self.quick else n)


@dataclass(frozen=True)
class Row:
    """One way to do one job.

    Attributes
    ----------
    job : str
        What is done; rows of one job are compared with each other.
    way : str
        By whom: the peer, or ``OURS`` and how.
    seconds : float or None
        The least of several rounds; None if the peer is not installed.
    agrees : bool or None
        Whether the result is the right one.
    """

    job: str
    way: str
    seconds: float | None
    agrees: bool | None

    @property
    def is_ours(self) -> bool:
        return self.way.startswith(OURS)
