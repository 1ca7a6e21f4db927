"""Every action of the screen in one table, which feeds bindings, footer and help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from textual.binding import Binding

if TYPE_CHECKING:
    from textual.binding import BindingType


class Action(NamedTuple):
    """Something a person can do.

    Attributes:
        place: Where its keys work: ``tree``, ``values``, ``screen``, or ``app`` for everywhere.
        name: Names the method ``action_<name>`` of that place.
        keys: Keys as Textual names them, separated by commas.
        shown: The keys as people read them.
        description: What it does; empty where the next action is its counterpart and describes both.
        footer: One or two words for the footer; empty for none.
    """

    place: str
    name: str
    keys: str
    shown: str
    description: str
    footer: str = ""


ACTIONS: Final = (
    Action("tree", "move(-1)", "up,k", "↑ k", ""),
    Action("tree", "move(1)", "down,j", "↓ j", "a row up, down", "rows"),
    Action("tree", "page(-1)", "pageup", "pgup", ""),
    Action("tree", "page(1)", "pagedown", "pgdn", "a page up, down"),
    Action("tree", "first", "home,g", "home g", ""),
    Action("tree", "last", "end,G", "end G", "first, last row"),
    Action("tree", "enter", "enter", "enter", "open or close a block; look at a tensor", "open"),
    Action("tree", "toggle_block", "space", "space", "open or close a block"),
    Action("tree", "inside", "right,l", "→ l", "open a block, then go into it; on a tensor to its values"),
    Action("tree", "outside", "left,h", "← h", "close a block, or go to the block around"),
    Action("tree", "expand_all", "plus", "+", "", "all"),
    Action("tree", "collapse_all", "minus", "-", "open, close all blocks", "none"),
    Action("values", "scroll_rows(-1)", "up,k", "↑ k", ""),
    Action("values", "scroll_rows(1)", "down,j", "↓ j", "a row up, down", "rows"),
    Action("values", "scroll_columns(-1)", "left,h", "← h", ""),
    Action(
        "values",
        "scroll_columns(1)",
        "right,l",
        "→ l",
        "a column left, right; left of the first lies the tree",
        "columns",
    ),
    Action("values", "scroll_page(-1)", "pageup", "pgup", ""),
    Action("values", "scroll_page(1)", "pagedown,space", "pgdn", "a page up, down"),
    Action("values", "first_row", "home,g", "home g", ""),
    Action("values", "last_row", "end,G", "end G", "first, last row"),
    Action("values", "first_column", "0,circumflex_accent", "0 ^", ""),
    Action("values", "last_column", "dollar_sign", "$", "first, last column"),
    Action("values", "step(-1)", "left_square_bracket", "[", ""),
    Action(
        "values",
        "step(1)",
        "right_square_bracket",
        "]",
        "previous, next slice of the leading dimensions",
        "slice",
    ),
    Action("values", "back", "escape,backspace", "esc", "back to the tree", "back"),
    Action(
        "screen", "other_pane", "tab,shift+tab", "tab", "from the tree to the values and back", "tree/values"
    ),
    Action("screen", "about", "a", "a", "about this file: totals, warnings, classes it names", "about"),
    Action("app", "help", "question_mark,f1", "?", "this help", "help"),
    Action("app", "leave", "q", "q", "quit; from values that fill the screen, back", "quit"),
    Action("app", "quit_now", "ctrl+c,ctrl+q", "ctrl+c", "quit"),
)

# Keys that stand beside each other in the footer are shown as one.
_FOOTER_KEYS: Final = {
    ("tree", "move(1)"): "↑↓",
    ("values", "scroll_rows(1)"): "↑↓",
    ("values", "scroll_columns(1)"): "←→",
    ("values", "step(1)"): "[ ]",
}


def bindings(place: str) -> list[BindingType]:
    """Bindings of a place, in the order of the table."""
    return [
        Binding(
            action.keys,
            action.name,
            action.description,
            show=False,
            # Leaving must work whatever has the focus.
            priority=action.name == "quit_now",
        )
        for action in ACTIONS
        if action.place == place
    ]


def footer(*places: str) -> list[tuple[str, str]]:
    """Keys and words of the footer while the focus is in a place."""
    return [
        (_FOOTER_KEYS.get((action.place, action.name), action.shown), action.footer)
        for place in places
        for action in ACTIONS
        if action.place == place and action.footer
    ]
