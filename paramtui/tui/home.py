"""What the start screen offers: targets in sections, each found when it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Offer(NamedTuple):
    """A target that a person could open.

    Attributes:
        target: What is opened.
        label: What it is called.
        note: A few words about it.
    """

    target: str
    label: str
    note: str = ""


class Section(NamedTuple):
    """Offers of one kind.

    Attributes:
        title: What they are.
        find: Finds them, perhaps slowly; called in a thread of its own.
        nothing: What is said where there are none.
    """

    title: str
    find: Callable[[], Sequence[Offer]]
    nothing: str


class Home(NamedTuple):
    """What is known of targets beyond the one on screen.

    Attributes:
        sections: Offers, by kind.
        opened: Is told each target that was opened.
    """

    sections: Sequence[Section] = ()
    opened: Callable[[str], None] = lambda _: None
