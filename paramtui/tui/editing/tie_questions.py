"""What is asked before parameters are tied and untied: what follows from it, and the PyTorch that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from paramtui.core.listing import ROOT
from paramtui.core.text import bytes_text, safe_text, shape_text
from paramtui.tui.editing.questions import NO, YES
from paramtui.tui.opened import expression
from paramtui.tui.pages import counted
from paramtui.tui.screens.ask import AskScreen, Choice
from paramtui.tui.tie_lines import names_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.ties import Tied
    from paramtui.tui.opened import Opened

ALL: Final = "all"
PARAMETER: Final = "torch.nn.parameter.Parameter"


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
    listing = opened.listing
    trained = listing.requires_grad[to]
    words = [
        Text(f"{here} becomes the very parameter that {there} is: it takes its numbers."),
        Text("Its own numbers are let go of; undo brings them back.", "dim"),
    ]
    if trained != listing.requires_grad[tensor]:
        words.append(Text(f"It becomes {'trainable' if trained else 'frozen'}, as {there} is.", "bold"))
    if trained:
        words.append(Text("Its gradient will be the sum of both.", "dim"))
    along = _same_place(opened, tensor)
    if along:
        become = "becomes" if len(along) == 1 else "become"
        words.append(Text(f"Its module stands at several places: {_names(opened, along)} {become} it too."))
    left = opened.ties.of(tensor)
    if left is not None:
        others = [member for member in left.members if member != tensor and member not in along]
        if others:
            words.append(Text(f"It no longer shares memory with {_names(opened, others)}.", "dim"))
    words += _line_of_python(_reach(opened, tensor), _reach(opened, to))
    return AskScreen(
        "Tie parameters",
        words,
        [Choice(("enter", "y"), "ties them", YES), Choice(("escape", "n", "q"), "leaves them", NO)],
    )


def untie_question(opened: Opened, tensor: int, tied: Tied) -> AskScreen:
    """Whether to give one name, or all names of a group, memory of their own."""
    listing, here = opened.listing, _name(opened, tensor)
    others = [member for member in tied.members if member != tensor]
    each = bytes_text(listing.nbytes[tensor])
    stay = "which stays as it is" if len(others) == 1 else "which stay as they are"
    words = [
        Text(f"{here} gets memory of its own, with the same numbers: {each} more."),
        Text(f"It shares memory with {_names(opened, others)}, {stay}.", "dim"),
    ]
    copied = _copied_modules(opened, tensor)
    if copied:
        words.append(Text(_module_words(opened, copied, tensor)))
        words.append(Text("Once it is done, C then x writes it as a script.", "dim"))
    else:
        reach = _reach(opened, tensor)
        words += _line_of_python(reach, _copy(opened, tensor, reach) if reach else "")
    choices = [Choice(("enter", "y"), f"unties {here}", YES)]
    if len(tied.members) > 2:
        choices.append(
            Choice(("a",), f"unties all {counted(len(tied.members), 'name')} from each other", ALL)
        )
    choices.append(Choice(("escape", "n", "q"), "leaves them", NO))
    return AskScreen("Untie parameters", words, choices)


def _names(opened: Opened, tensors: Sequence[int]) -> str:
    return names_text([opened.listing.names[tensor] for tensor in tensors])


def _same_place(opened: Opened, tensor: int) -> list[int]:
    """The other names of a place: its module may stand at several itself."""
    listing, live = opened.listing, opened.listing.live
    if live is None:
        return []
    node = listing.node[tensor]
    places = live.places(listing.node_parent[node])
    place = listing.node_step[node], listing.node_key[node]
    return [
        other
        for other, found in enumerate(listing.node)
        if other != tensor
        and listing.node_parent[found] in places
        and (listing.node_step[found], listing.node_key[found]) == place
    ]


def _copied_modules(opened: Opened, tensor: int) -> list[int]:
    """Nodes of the modules around a tensor that stand at other places too, outermost first.

    Assigning to an attribute of one would change it at all of them: each becomes a copy of its own here.
    """
    listing, live = opened.listing, opened.listing.live
    found: list[int] = []
    node = listing.node[tensor]
    while live is not None and node > ROOT:
        node = listing.node_parent[node]
        if len(live.places(node)) > 1:
            found.append(node)
    return found[::-1]


def _module_words(opened: Opened, copied: Sequence[int], tensor: int) -> str:
    listing, live = opened.listing, opened.listing.live
    names = [listing.node_name(node) for node in copied]
    outer = copied[0]
    others = [listing.node_name(place) for place in live.places(outer) if place != outer] if live else []
    row = opened.tree.row_of(tensor)
    while row is not None and row > 0 and opened.tree.node[row] != outer:
        row = opened.tree.parent[row]
    more = row is not None and len(opened.tree.tensors_below(row)) > 1
    stay = ", whose other parameters stay tied" if more else ""
    if len(copied) == 1:
        return (
            f"Module {safe_text(names[0], 200)} becomes a copy of its own (it is the same module as"
            f" {names_text(others)}){stay}."
        )
    return (
        f"Modules {names_text(names)} become copies of their own ({safe_text(names[0], 200)} is the same"
        f" module as {names_text(others)}){stay}."
    )


def _copy(opened: Opened, tensor: int, reach: str) -> str:
    """Python for a tensor of the same numbers in memory of its own."""
    listing, live = opened.listing, opened.listing.live
    trained = listing.requires_grad[tensor]
    if listing.kind[tensor] != "parameter":
        return f"{reach}.detach().clone(){'.requires_grad_()' if trained else ''}"
    if live is not None and live.type_name[tensor] != PARAMETER:
        return f"copy.deepcopy({reach})"
    return f"nn.Parameter({reach}.detach().clone(){'' if trained else ', requires_grad=False'})"


def _line_of_python(target: str, value: str) -> list[Text]:
    return [Text(""), Text(f"{target} = {value}", "bold")] if target and value else []
