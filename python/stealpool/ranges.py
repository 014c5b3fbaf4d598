"""Executor.for_range(): a loop over a range of indices, of a kernel or a callable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, wait
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _core
from ._core import CancellationToken, Kernel

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ["for_range"]

_PIECES_PER_THREAD = 4


def for_range(
    self: Executor,
    fn: Kernel | Callable[..., object],
    start: int,
    stop: int,
    /,
    *args: Any,
    grain: int | None = None,
    progress: Any = None,
) -> Any:
    """Call `fn` on pieces that cover ``range(start, stop)`` once; wait for all.

    Parameters
    ----------
    fn : Kernel or callable
        A kernel that begins with two indices, such as ``int (intptr_t begin, intptr_t
        end, void *user)``, runs on pieces of the range without the GIL, in this thread
        and on the workers that are free. What follows the two are its `args`. A
        reduction (see :func:`kernel`) adds to an accumulator. Any other callable is
        called as ``fn(begin, end, *args)``, in this thread and in Python threads.
    start, stop : int
        The range; nothing happens when it is empty.
    *args
        What `fn` takes besides the range. Arrays are not copied.
    grain : int, optional
        Least number of indices of a piece. By default kernels are timed, and callables
        get a few pieces for each thread.
    progress : bool or callable, optional
        True shows a bar of ``tqdm``, which must be installed. A callable is called in
        this thread, now and then and at the end, as ``progress(done, total)``; a bar
        of ``tqdm``'s own will do, too.

    Returns
    -------
    object
        None; the accumulator, for a reduction. It does not depend on the number of
        workers, to the last bit.

    Raises
    ------
    KernelError
        If a piece failed: of those that did, what the one with the lowest index says.
        No new piece is begun then. What a callable raises is raised as it is.
    CancelledError, TimeoutError
        If the view's :class:`CancellationToken` was cancelled, or its time limit has
        passed (see :meth:`Executor.options`), before all pieces had begun: no new piece
        is begun, and kernels are asked to stop. A group's error cancels its loops.
    KeyboardInterrupt
        On Ctrl-C, between two pieces; all pieces are asked to stop.
    """
    if grain is None:
        grain = 0  # and the rest quickly: some loops take a microsecond
        if progress is None and isinstance(fn, Kernel):
            return _core.run_range(self, fn, start, stop, args, 0, None)
    elif not hasattr(grain, "__index__") or grain < 1:
        raise ValueError(f"grain must be at least 1, or None, got {grain!r:.60}")
    if progress is None or progress is False:
        if isinstance(fn, Kernel):
            return _core.run_range(self, fn, start, stop, args, grain, None)
        _run_callable(self, fn, start, stop, args, grain, None)
        return None
    total = max(stop - start, 0)
    report, close = _reporter(progress, total)
    try:
        report(0, total)
        result = None
        if isinstance(fn, Kernel):
            result = _core.run_range(self, fn, start, stop, args, grain, report)
        else:
            _run_callable(self, fn, start, stop, args, grain, report)
        report(total, total)
        return result
    finally:
        close()


def _nothing() -> None:
    pass


def _reporter(
    progress: Any, total: int
) -> tuple[Callable[[int, int], object], Callable[[], object]]:
    """(report, close) of what was passed as ``progress=``."""
    if progress is True:
        try:
            tqdm: Any = import_module("tqdm.auto").tqdm
        except ImportError:
            raise ImportError(
                "progress=True shows a bar of tqdm, which is not installed: pip "
                "install tqdm, or pass a callable progress(done, total)"
            ) from None
        bar = tqdm(total=total)
        return _updating(bar), bar.close
    if hasattr(progress, "update") and hasattr(progress, "n"):  # a bar of tqdm's
        return _updating(progress), _nothing
    if not callable(progress):
        raise TypeError(
            "progress must be True, a bar of tqdm's or a callable progress(done, "
            f"total), got {type(progress).__name__} {progress!r:.60}"
        )
    return progress, _nothing


def _updating(bar: Any) -> Callable[[int, int], object]:
    shown = 0

    def update(done: int, total: int) -> None:
        nonlocal shown
        bar.update(done - shown)
        shown = done

    return update


# ------------------------------------------------------------------------ callables


class _Pieces:
    """A range that several threads eat up, and the first error of its pieces."""

    def __init__(
        self,
        start: int,
        stop: int,
        grain: int,
        threads: int,
        settings: Mapping[str, Any],
    ) -> None:
        self.at, self.stop, self.grain = start, stop, grain
        self.token: CancellationToken | None = settings["cancel"]
        self.timeout: float | None = settings["timeout"]
        self.due = time.monotonic() + (self.timeout or 0)
        self.share = _PIECES_PER_THREAD * threads
        self.done = 0
        self.error: BaseException | None = None
        self.error_at = stop
        self._lock = threading.Lock()

    def take(self) -> tuple[int, int] | None:
        """The next piece, a part of what is left."""
        with self._lock:
            left = self.stop - self.at
            if left <= 0 or self.error is not None:
                return None
            self.error = self._reason_to_stop()
            if self.error is not None:
                return None
            piece = min(max(self.grain, left // self.share, 1), left)
            begin, self.at = self.at, self.at + piece
            return begin, self.at

    def _reason_to_stop(self) -> BaseException | None:
        """What the executor's options ask for, as of a kernel that is submitted."""
        if self.token is not None and self.token.cancelled():
            return CancelledError()
        if self.timeout is not None and time.monotonic() >= self.due:
            return TimeoutError(
                f"the loop had not ended {self.timeout:g} s after it began"
            )
        return None

    def finish(self, piece: tuple[int, int]) -> None:
        with self._lock:
            self.done += piece[1] - piece[0]

    def fail(self, at: int, error: BaseException) -> None:
        with self._lock:
            if self.error is None or at < self.error_at:
                self.error, self.error_at = error, at


def _eat(
    pieces: _Pieces,
    fn: Callable[..., object],
    args: tuple[Any, ...],
    look: Callable[[], object] | None = None,
) -> None:
    while (piece := pieces.take()) is not None:
        try:
            fn(*piece, *args)
            pieces.finish(piece)
            if look is not None:
                look()
        except BaseException as error:
            pieces.fail(piece[0], error)


def _run_callable(
    executor: Executor,
    fn: Callable[..., object],
    start: int,
    stop: int,
    args: tuple[Any, ...],
    grain: int,
    report: Callable[[int, int], object] | None,
) -> None:
    if not callable(fn):
        raise TypeError(
            f"for_range needs a Kernel or a callable, got {type(fn).__name__} "
            f"{fn!r:.60}"
        )
    total = stop - start
    if total <= 0:
        return
    most = min(executor._max_workers, total // max(grain, 1))
    pieces = _Pieces(start, stop, grain, most + 1, executor._settings)
    look = None if report is None else lambda: report(pieces.done, total)
    if pieces.timeout is not None:  # which is the loop's, not theirs
        executor = executor.options(timeout=None)
    helpers = [executor.submit(_eat, pieces, fn, args) for _ in range(most)]
    try:
        _eat(pieces, fn, args, look)
    finally:
        # Those that have not begun would find nothing to do.
        wait([helper for helper in helpers if not helper.cancel()])
    if pieces.error is not None:
        try:
            raise pieces.error
        finally:
            pieces.error = None  # no cycle through its traceback
