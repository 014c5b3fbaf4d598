"""The main job: the same work on this machine's peers and on stealpool.

``python -m stealpool compare`` runs it. Each file here is one of its sections, or one
step from timing to table and picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import blur, busy, integrate, short
from .photograph import Photograph
from .row import Row, Settings

__all__ = ["run"]

_SECTIONS: tuple[Callable[[Settings], Iterator[Row]], ...] = (
    integrate.rows,
    short.rows,
    busy.rows,
    blur.rows,
)


def run(quick: bool, image: str | None, report: Callable[[str], None]) -> list[Row]:
    """Run all sections.

    Parameters
    ----------
    quick : bool
        Fewer rounds and smaller jobs: a trial of the program, not a measurement.
    image : str or None
        Path of the photograph to blur; None for the one that the package ships.
    report : callable
        Is told, in words, what is being measured.

    Raises
    ------
    ImageError
        If `image` is no image.
    """
    settings = Settings(quick, Photograph.load(image), report)
    return [row for section in _SECTIONS for row in section(settings)]
