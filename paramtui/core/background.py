"""Work in a thread that ends when whoever asked for it does not wait any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable


class Stops(Protocol):
    """A wish to stop, as `threading.Event` is one."""

    def set(self) -> None:
        """Wishes it."""


S = TypeVar("S", bound=Stops)
T = TypeVar("T")


async def in_thread(work: Callable[[S], T], stop: S) -> T:
    """Does something in a thread.

    Args:
        work: What to do; it looks at the wish that it is given.
        stop: Is set once the task is cancelled.
    """
    import asyncio  # not where nothing is asked for

    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()
