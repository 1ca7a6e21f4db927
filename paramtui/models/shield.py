"""Lets a person's wish to stop through where stopping does no harm, and nowhere else.

An exception that comes from outside can arrive between any two steps of Python, also in a ``finally`` that
puts things back. So it is only thrown while code runs that is called by `stoppable`, which is told from the
stack itself: there is no flag that could be wrong for the length of a step.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")

# Whoever throws an exception into another thread holds this from looking at its stack until it is thrown.
_LOCK: Final = threading.Lock()
# Threads that were asked to stop where they could not: they do at the next place where they can.
_ASKED: Final[set[int]] = set()


def stoppable(function: Callable[[], T]) -> T:
    """What a function gives; KeyboardInterrupt may be raised at any step of it, and is never raised later.

    Raises:
        KeyboardInterrupt: The person has asked, now or since `begin`.
    """
    _heed()
    try:
        return _inside(function)
    finally:
        _settle()


def whole(function: Callable[[], T]) -> T:
    """What a function gives, undisturbed but for what it calls by `stoppable`."""
    _settle()
    return function()


def begin() -> None:
    """Forgets what this thread was asked before."""
    _ASKED.discard(threading.get_ident())


def stop(frame: FrameType | None) -> None:
    """Stops this thread, for a signal's handler.

    Args:
        frame: Where it is.

    Raises:
        KeyboardInterrupt: There it can.
    """
    if _can_stop(frame):
        raise KeyboardInterrupt
    _ASKED.add(threading.get_ident())


def stop_thread(thread: int) -> bool:
    """Stops another thread at its next step of Python where it can; False if there is none such."""
    with _LOCK:
        frame = sys._current_frames().get(thread)  # noqa: SLF001  there is no other way to see it
        if frame is None:
            return False
        if not _can_stop(frame):
            _ASKED.add(thread)
            return True
        asked = ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt)
        )
        return bool(asked)


def _inside(function: Callable[[], T]) -> T:
    return function()


def _heed() -> None:
    thread = threading.get_ident()
    if thread in _ASKED:
        _ASKED.discard(thread)
        raise KeyboardInterrupt


def _settle() -> None:
    """Lets an exception arrive that was thrown before; afterwards none is on its way."""
    late = False
    # One at most is on its way, and one more may be thrown by whoever holds the lock.
    for _ in range(3):
        try:
            with _LOCK:
                for _ in range(64):
                    pass
            break
        except KeyboardInterrupt:
            late = True
    if late:
        raise KeyboardInterrupt


_OPEN: Final = _inside.__code__
_SHUT: Final = frozenset({stoppable.__code__, whole.__code__, _settle.__code__})


def _can_stop(frame: FrameType | None) -> bool:
    """Whether the innermost of the marks on a stack is that of `stoppable`, with something called in it."""
    # In `_inside` itself what was called has ended already, or has not begun.
    if frame is not None and frame.f_code is _OPEN:
        return False
    while frame is not None:
        if frame.f_code is _OPEN:
            return True
        if frame.f_code in _SHUT:
            return False
        frame = frame.f_back
    return False
