"""Views of an executor: its options, handles to lend, groups."""

from __future__ import annotations

import concurrent.futures as cf
import math
from types import TracebackType
from typing import Any, Final, Literal, Self

from ._core import CancellationToken
from .executor import CLOSED, Executor, Keep, Priority
from .waiting import wait

__all__ = ["ExecutorView"]

PRIORITIES: dict[str, int] = {"high": 1, "normal": 0, "low": -1}

_LONGEST = 20 * 86400.0  # seconds: the core counts in milliseconds, with 31 bits


KEEP: Final = Keep.KEEP


class ExecutorView(Executor):
    """An executor borrowed from another one, with settings and futures of its own.

    Made by :meth:`Executor.options`, :meth:`Executor.view` and :meth:`Executor.group`.
    It has the pool, the threads and the queue of the executor, and all its methods.
    ``shutdown()`` waits for what was submitted through the view, and closes only the
    view.
    """

    _parent: Executor
    _settings: dict[str, Any]
    _is_group: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(
            "an ExecutorView is made by the methods options(), view() and group() of "
            "an Executor"
        )

    @classmethod
    def _of(
        cls,
        parent: Executor,
        *,
        priority: Priority | Keep = KEEP,
        cancel: CancellationToken | Keep | None = KEEP,
        timeout: float | Keep | None = KEEP,
        context: Literal["copy"] | Keep | None = KEEP,
        is_group: bool = False,
    ) -> Self:
        given = _checked(priority, cancel, timeout, context)
        view = cls.__new__(cls)
        view._parent = parent
        view._settings = {**parent._settings, **given}
        view._is_group = is_group
        if is_group:
            view._settings["cancel"] = CancellationToken(view._settings["cancel"])
        view._start()
        return view

    def _start(self) -> None:
        parent = self._parent
        self._borrow(parent)
        self._lane = parent._lane
        self._max_workers = parent._max_workers
        self._thread_name_prefix = parent._thread_name_prefix
        self._initializer = parent._initializer
        self._initargs = parent._initargs
        settings = self._settings
        self._set(
            PRIORITIES[settings["priority"]],
            settings["cancel"],
            settings["timeout"] or 0.0,
            settings["context"] is not None,
        )
        if self._is_group:
            self._found_group()

    def __reduce__(self) -> Any:
        if self._is_group or self._settings["cancel"] is not None:
            raise TypeError(
                "a view with a CancellationToken, and so a group, belongs to its "
                "process and cannot be pickled"
            )
        return _view_of, (self._parent, self._settings)

    def shutdown(
        self,
        wait: bool = True,
        *,
        cancel_futures: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Accept no more calls here, and wait for those that were submitted here.

        The executor goes on. Parameters and errors are those of
        :meth:`Executor.shutdown`.
        """
        if wait:
            self._refuse_to_wait_for_itself()
        if self._shutdown_reason is None:
            self._close(CLOSED)
        if cancel_futures:
            self._cancel_queued()
        if wait and not self._is_stale:
            self._await_or_raise(timeout)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if not self._is_group:
            return super().__exit__(exc_type, exc, traceback)
        token: CancellationToken = self._settings["cancel"]
        try:
            if exc is not None:
                token.cancel()
            self._await_members()
        except BaseException:  # Ctrl-C, most likely: what runs is still ours
            token.cancel()
            self._await_members()
            raise
        finally:
            self._close(CLOSED)
        if exc is None or isinstance(exc, (Exception, cf.CancelledError)):
            self._raise_errors(exc)
        return None

    def _await_members(self) -> None:
        """Wait for all futures of the group; running callables may add some."""
        while wait(self._members()).done != set(self._members()):
            pass

    def _raise_errors(self, exc: BaseException | None) -> None:
        members = self._members()
        errors = [
            error
            for future in members
            if not future.cancelled() and (error := future.exception()) is not None
        ]
        # What was cancelled because another call failed tells nothing new.
        is_news = exc is not None and not (
            errors and isinstance(exc, cf.CancelledError)
        )
        if exc is not None and is_news and not any(exc is error for error in errors):
            errors.insert(0, exc)
        if errors:
            try:
                raise BaseExceptionGroup(
                    f"{len(errors)} errors in a group of calls"
                    if len(errors) > 1
                    else "1 error in a group of calls",
                    errors,
                ) from None
            finally:
                del errors, exc, members  # no cycle with the traceback


def _view_of(parent: Executor, settings: dict[str, Any]) -> ExecutorView:
    return ExecutorView._of(parent, **settings)


def _checked(
    priority: object, cancel: object, timeout: object, context: object
) -> dict[str, Any]:
    """The settings that are given, or an error that says what would do."""
    given: dict[str, Any] = {}
    if priority is not KEEP:
        if not isinstance(priority, str) or priority not in PRIORITIES:
            raise ValueError(
                f"priority must be 'high', 'normal' or 'low', got {priority!r}"
            )
        given["priority"] = priority
    if cancel is not KEEP:
        if cancel is not None and not isinstance(cancel, CancellationToken):
            raise TypeError(
                "cancel must be a stealpool.CancellationToken or None, "
                f"got {type(cancel).__name__}"
            )
        given["cancel"] = cancel
    if timeout is not KEEP:
        given["timeout"] = _checked_timeout(timeout)
    if context is not KEEP:
        if context not in ("copy", None):
            raise ValueError(f"context must be 'copy' or None, got {context!r}")
        given["context"] = context
    return given


def _checked_timeout(timeout: Any) -> float | None:
    if timeout is None:
        return None
    seconds = float(timeout)
    if not seconds > 0:
        raise ValueError(
            f"timeout must be a positive number of seconds or None, got {timeout!r}"
        )
    if seconds == math.inf:
        return None
    if seconds > _LONGEST:
        raise ValueError(
            f"timeout must be at most {_LONGEST:.0f} s (20 days), got {timeout!r}; "
            "None means no limit"
        )
    return seconds
