"""Every action of the screen in one table, which feeds bindings, footer, help, palette and the keymap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from textual.binding import Binding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.binding import BindingType


class Action(NamedTuple):
    """Something a person can do.

    Attributes:
        place: Where its keys work: ``tree``, ``values``, ``distribution``, ``screen``, or ``app`` for all.
        slug: Its name within the place; ``tree.down`` in a keymap.
        method: Call of the method ``action_...`` of that place.
        keys: Keys as Textual names them, separated by commas.
        shown: The keys as people read them.
        description: What it does; empty where the next action is its counterpart and describes both.
        footer: One or two words for the footer; empty for none.
    """

    place: str
    slug: str
    method: str
    keys: str
    shown: str
    description: str
    footer: str = ""

    @property
    def id(self) -> str:
        """Its name in a keymap."""
        return f"{self.place}.{self.slug}"


ACTIONS: Final = (
    Action("tree", "up", "move(-1)", "up,k", "↑ k", ""),
    Action("tree", "down", "move(1)", "down,j", "↓ j", "a row up, down"),
    Action("tree", "page-up", "page(-1)", "pageup", "pgup", ""),
    Action("tree", "page-down", "page(1)", "pagedown", "pgdn", "a page up, down"),
    Action("tree", "first", "first", "home", "home", ""),
    Action("tree", "last", "last", "end,G", "end G", "first, last row"),
    Action("tree", "enter", "enter", "enter", "enter", "open or close a block; look at a tensor", "open"),
    Action("tree", "toggle", "toggle_block", "space", "space", "open or close a block"),
    Action("tree", "inside", "inside", "right,l", "→ l", "open a block, go into it; to a tensor's values"),
    Action("tree", "outside", "outside", "left,h", "← h", "close a block, or go to the block around"),
    Action("tree", "parent", "parent", "backspace", "bksp", "to the block around"),
    Action("tree", "previous-sibling", "sibling(-1)", "K,shift+up", "K", ""),
    Action("tree", "next-sibling", "sibling(1)", "J,shift+down", "J", "previous, next row of the same block"),
    Action("tree", "expand-all", "expand_all", "plus", "+", ""),
    Action("tree", "collapse-all", "collapse_all", "minus", "-", "open, close all blocks", "all"),
    Action("tree", "flat", "flat", "f", "f", "", "flat"),
    Action("tree", "flat-block", "flat_block", "F", "F", "flat list of all tensors; of this block only"),
    Action(
        "tree", "figure", "next_figure", "c", "c", "show a figure in each row: std, NaN, size...", "column"
    ),
    Action("tree", "sort", "sort", "S", "S", ""),
    Action("tree", "reverse", "reverse", "R", "R", "sort by that figure, a list by name, size; reverse"),
    Action("tree", "clear", "clear", "escape", "esc", "end the filter, the flat list, the marks"),
    Action("values", "up", "scroll_rows(-1)", "up,k", "↑ k", ""),
    Action("values", "down", "scroll_rows(1)", "down,j", "↓ j", "a row up, down"),
    Action("values", "left", "scroll_columns(-1)", "left,h", "← h", ""),
    Action(
        "values", "right", "scroll_columns(1)", "right,l", "→ l", "a column; left of the first lies the tree"
    ),
    Action("values", "page-up", "scroll_page(-1)", "pageup", "pgup", ""),
    Action("values", "page-down", "scroll_page(1)", "pagedown,space", "pgdn", "a page up, down"),
    Action("values", "page-left", "scroll_page_columns(-1)", "H,shift+left", "H", ""),
    Action("values", "page-right", "scroll_page_columns(1)", "L,shift+right", "L", "a page left, right"),
    Action("values", "first", "first_row", "home", "home", ""),
    Action("values", "last", "last_row", "end,G", "end G", "first, last row"),
    Action("values", "first-column", "first_column", "0,circumflex_accent", "0 ^", ""),
    Action("values", "last-column", "last_column", "dollar_sign", "$", "first, last column"),
    Action("values", "previous-slice", "step(-1)", "left_square_bracket", "[", ""),
    Action("values", "next-slice", "step(1)", "right_square_bracket", "]", "previous, next slice", "slice"),
    Action("values", "stepped-dim", "stepped_dim", "d", "d", "which dimension [ and ] step", "dims"),
    Action("values", "row-dim", "other_rows", "r", "r", ""),
    Action("values", "column-dim", "other_columns", "c", "c", "another dimension in the rows, columns"),
    Action("values", "back", "back", "escape,backspace", "esc", "back to the tree", "back"),
    Action(
        "distribution", "log-counts", "log_counts", "l", "l", "bars by counts, by their logarithms", "log"
    ),
    Action("distribution", "log-values", "log_values", "x", "x", "values linear, logarithmic", "axis"),
    Action("distribution", "zoom-out", "zoom(-1)", "minus", "-", ""),
    Action("distribution", "zoom-in", "zoom(1)", "plus", "+", "further away, closer to the centre", "zoom"),
    Action("distribution", "left", "pan(-1)", "left", "←", ""),
    Action("distribution", "right", "pan(1)", "right", "→", "to the left, right"),
    Action("distribution", "whole", "whole", "0", "0", "all from the least to the largest number"),
    Action("distribution", "refine", "refine", "E", "E", "exact quantiles: counts wide types again", "exact"),
    Action("distribution", "back", "back", "escape,backspace", "esc", "back to the tree", "back"),
    Action("screen", "find", "find", "slash", "/", "find a name while typing", "find"),
    Action("screen", "find-next", "find_again(1)", "n", "n", ""),
    Action("screen", "find-previous", "find_again(-1)", "N", "N", "next, previous find"),
    Action(
        "screen", "filter", "filter", "ampersand", "&", "show only names that match: text or glob", "filter"
    ),
    Action("screen", "heat", "heat", "v", "v", "values as a heatmap, as numbers", "heatmap"),
    Action(
        "screen",
        "picture",
        "picture",
        "V",
        "V",
        "the whole tensor as a picture, with NaN and Inf",
    ),
    Action("screen", "go-to", "go_to", "colon", ":", "go to an index, as in Python: 3, :, 100", "go to"),
    Action("screen", "fewer-digits", "precision(-1)", "comma", ",", ""),
    Action("screen", "more-digits", "precision(1)", "full_stop", ".", "fewer, more digits"),
    Action("screen", "scientific", "scientific", "x", "x", "floats in powers of ten"),
    Action("screen", "copy", "copy_expression", "y", "y", "copy the PyTorch expression", "copy"),
    Action("screen", "copy-command", "copy_command", "Y", "Y", "copy the command that reopens this view"),
    Action("screen", "back", "place_before", "less_than_sign", "<", ""),
    Action(
        "screen", "forward", "place_after", "greater_than_sign", ">", "back, forward through places visited"
    ),
    Action(
        "screen", "other-pane", "other_pane", "tab,shift+tab", "tab", "from the tree to the panels and back"
    ),
    Action("screen", "values-tab", "panel('values')", "1", "1", ""),
    Action("screen", "gradient-tab", "panel('gradient')", "2", "2", ""),
    Action("screen", "distribution-tab", "panel('distribution')", "3", "3", "values, gradient, distribution"),
    Action("screen", "ties", "toggle_ties", "t", "t", "colours and signs of what shares memory", "ties"),
    Action("screen", "previous-member", "member(-1)", "left_parenthesis", "(", ""),
    Action(
        "screen", "next-member", "member(1)", "right_parenthesis", ")", "previous, next name of this memory"
    ),
    Action("screen", "previous-group", "group(-1)", "left_curly_bracket", "{", ""),
    Action("screen", "next-group", "group(1)", "right_curly_bracket", "}", "previous, next shared memory"),
    Action("screen", "groups", "groups", "P", "P", "all that shares memory; equal copies"),
    Action("screen", "scan", "scan", "I", "I", "look at all tensors: figures, NaN, zeros", "look at all"),
    Action("screen", "next-bad", "next_bad", "exclamation_mark", "!", ""),
    Action("screen", "next-largest", "next_largest", "at", "@", ""),
    Action(
        "screen", "next-deadest", "next_deadest", "number_sign", "#", "next with NaN or Inf; largest; deadest"
    ),
    Action("screen", "folds", "toggle_folds", "Z", "Z", "blocks that are built alike: all but one folded"),
    Action("screen", "mark", "mark", "m", "m", "mark a row, to compare or tie another with it", "mark"),
    Action("screen", "compare", "compare", "equals_sign", "=", "compare with the marked row"),
    Action("screen", "tie", "tie", "B", "B", "tie this parameter to the marked one"),
    Action("screen", "untie", "untie", "D", "D", "give this parameter memory of its own"),
    Action("screen", "about", "about", "a", "a", "about this file: totals, warnings, classes", "about"),
    Action("screen", "trust", "trust", "O", "O", "what a pickle would run; what is wrong with the file"),
    Action("screen", "backward", "backward", "g", "g", "run forward and backward: gradients", "backward"),
    Action("screen", "backward-with", "backward_with", "b", "b", "the same with inputs that it asks for"),
    Action("screen", "accumulate", "accumulate", "A", "A", "add the gradients of another pass"),
    Action("screen", "zero-gradients", "zero_gradients", "z", "z", "set all gradients to None"),
    Action("screen", "training", "toggle_training", "T", "T", "train() or eval() for the whole model"),
    Action("screen", "moment", "next_moment", "M", "M", "the next of the optimizer's moments"),
    Action("screen", "weights", "apply_proposal", "W", "W", "load weights in the way that is proposed"),
    Action("screen", "initialise", "initialise", "i", "i", "initialise a block or a tensor", "initialise"),
    Action("screen", "edit", "edit", "e", "e", "change numbers: 100, *= 0.5, [0, :3] = 1", "edit"),
    Action("screen", "undo", "undo", "u", "u", "", "undo"),
    Action("screen", "redo", "redo", "U", "U", "take the last change back; do it again"),
    Action("screen", "save", "save", "s", "s", "save, beside the target or over a file", "save"),
    Action("screen", "changes", "changes", "C", "C", "all changes; as a Python script or as JSON"),
    Action("screen", "leftovers", "remove_leftovers", "X", "X", "remove what an unfinished save has left"),
    Action("screen", "output", "output", "p", "p", "what the model's code printed"),
    Action(
        "screen",
        "restart",
        "restart",
        "ctrl+r",
        "ctrl+r",
        "build the model anew, as it was changed; reopen a file",
    ),
    Action(
        "screen", "stop", "stop", "escape", "esc", "stop what is running, or a target that is being opened"
    ),
    Action("app", "open", "open_other", "o", "o", "open another target", "open…"),
    Action("app", "palette", "command_palette", "ctrl+p", "ctrl+p", "jump to any tensor, do anything"),
    Action("app", "theme", "next_theme", "f2", "F2", "dark, light, ANSI colours"),
    Action("app", "help", "help", "question_mark,f1", "?", "this help", "help"),
    Action("app", "leave", "leave", "q", "q", "quit; from values that fill the screen, back", "quit"),
    Action("app", "suspend", "suspend_process", "ctrl+z", "ctrl+z", "to the shell; its fg comes back"),
    Action("app", "quit", "quit_now", "ctrl+c,ctrl+q", "ctrl+c", "quit"),
)

# The keys typed after these go elsewhere, and leaving must work whatever has the focus: they are dealt
# with before the next key is handed on, since several keys can arrive at once.
_AHEAD: Final = frozenset(
    {
        "screen.find",
        "screen.filter",
        "screen.go-to",
        "screen.edit",
        "screen.initialise",
        "screen.save",
        "screen.changes",
        "screen.groups",
        "screen.trust",
        "screen.compare",
        "screen.picture",
        "screen.tie",
        "screen.untie",
        "screen.other-pane",
        "app.open",
        "app.palette",
        "app.help",
        "app.leave",
        "app.suspend",
        "app.quit",
    }
)
# Keys that stand beside each other in the footer are shown as one.
_PAIRS: Final = {
    "tree.collapse-all": "tree.expand-all",
    "values.next-slice": "values.previous-slice",
    "distribution.zoom-in": "distribution.zoom-out",
}


def bindings(place: str) -> list[BindingType]:
    """Bindings of a place, in the order of the table."""
    return [
        Binding(
            action.keys,
            action.method,
            action.description,
            show=False,
            priority=action.id in _AHEAD,
            id=action.id,
        )
        for action in ACTIONS
        if action.place == place
    ]


def known_keys() -> dict[str, tuple[str, str]]:
    """Place and keys of each action, for the check of a keymap."""
    return {action.id: (action.place, action.keys) for action in ACTIONS}


class Keys:
    """The keys of the actions as people read them, a person's own ones where they have some.

    Args:
        keymap: Keys by the ids of actions, as `textual.app.App.set_keymap` takes them.
    """

    def __init__(self, keymap: Mapping[str, str] | None = None) -> None:
        self._keymap = keymap or {}

    def shown(self, action: Action) -> str:
        """The keys of an action."""
        own = self._keymap.get(action.id)
        if own is None:
            return action.shown
        from textual.keys import format_key

        return " ".join(format_key(key.strip()) for key in own.split(","))

    def footer(self, *places: str) -> list[tuple[str, str]]:
        """Keys and words of the footer while the focus is in a place."""
        by_id = {action.id: action for action in ACTIONS}
        out: list[tuple[str, str]] = []
        for place in places:
            for action in ACTIONS:
                if action.place == place and action.footer:
                    keys = self.shown(action).split(" ")[0]
                    pair = _PAIRS.get(action.id)
                    out.append((f"{self.shown(by_id[pair])} {keys}" if pair else keys, action.footer))
        return out
