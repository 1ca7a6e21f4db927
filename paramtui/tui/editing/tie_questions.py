"""What is asked before parameters are tied and untied: what follows from it, and the PyTorch that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from paramtui.core.text import bytes_text, safe_text, shape_text
from paramtui.tui.editing.questions import NO, YES
from paramtui.tui.opened import expression
from paramtui.tui.pages import counted
from paramtui.tui.screens.ask import AskScreen, Choice
from paramtui.tui.tie_lines import names_text

if TYPE_CHECKING:
    from paramtui.core.ties import Tied
    from paramtui.tui.opened import Opened

ALL: Final = "all"


def why_not_tied(opened: Opened, tensor: int, to: int) -> str:
    """Why one tensor cannot be tied to another; empty where it can, as far as names and shapes tell."""
    listing, live = opened.listing, opened.listing.live
    if tensor == to:
        return "this is the marked parameter itself: go to another"
    for each in (tensor, to):
        if listing.kind[each] != "parameter":
            return f"{_name(opened, each)} is no parameter: only parameters are tied"
    if live is not None and live.same[tensor] == live.same[to]:
        return f"{_name(opened, tensor)} and {_name(opened, to)} are one parameter already"
    for what, column in (("shapes", listing.shape), ("dtypes", listing.dtype)):
        if column[tensor] != column[to]:
            one, other = column[tensor], column[to]
            texts = [
                shape_text(each) if isinstance(each, tuple) else safe_text(each) for each in (one, other)
            ]
            return f"their {what} differ: {texts[0]} here, {texts[1]} marked"
    return ""


def _name(opened: Opened, tensor: int) -> str:
    return safe_text(opened.listing.names[tensor], 200) or "(tensor)"


def _reach(opened: Opened, tensor: int) -> str:
    row = opened.tree.row_of(tensor)
    return expression(opened, row) if row is not None else ""


def tie_question(opened: Opened, tensor: int, to: int) -> AskScreen:
    """Whether to tie a parameter to another."""
    here, there = _name(opened, tensor), _name(opened, to)
    words = [
        Text(f"{here} becomes the very parameter that {there} is: it takes its numbers."),
        Text(
            "Its own numbers are let go of; undo brings them back. Its gradient will be the sum of both.",
            "dim",
        ),
    ]
    left = opened.ties.of(tensor)
    if left is not None:
        others = [opened.listing.names[member] for member in left.members if member != tensor]
        if others:
            words.append(Text(f"It no longer shares memory with {names_text(others)}.", "dim"))
    words += _line_of_python(_reach(opened, tensor), _reach(opened, to))
    return AskScreen(
        "Tie parameters",
        words,
        [Choice(("enter", "y"), "ties them", YES), Choice(("escape", "n", "q"), "leaves them", NO)],
    )


def untie_question(opened: Opened, tensor: int, tied: Tied) -> AskScreen:
    """Whether to give one name, or all names of a group, memory of their own."""
    listing, here = opened.listing, _name(opened, tensor)
    others = [listing.names[member] for member in tied.members if member != tensor]
    each = bytes_text(listing.nbytes[tensor])
    words = [
        Text(f"{here} gets memory of its own, with the same numbers: {each} more."),
        Text(f"It shares memory with {names_text(others)}, which stay as they are.", "dim"),
    ]
    reach = _reach(opened, tensor)
    copy = f"nn.Parameter({reach}.detach().clone())" if listing.kind[tensor] == "parameter" else ""
    words += _line_of_python(reach, (copy or f"{reach}.clone()") if reach else "")
    choices = [Choice(("enter", "y"), f"unties {here}", YES)]
    if len(tied.members) > 2:
        choices.append(
            Choice(("a",), f"unties all {counted(len(tied.members), 'name')} from each other", ALL)
        )
    choices.append(Choice(("escape", "n", "q"), "leaves them", NO))
    return AskScreen("Untie parameters", words, choices)


def _line_of_python(target: str, value: str) -> list[Text]:
    return [Text(""), Text(f"{target} = {value}", "bold")] if target and value else []
