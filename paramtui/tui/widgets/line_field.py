"""A field of one line to type into."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from paramtui.tui.widgets.typed_line import TypedLine

if TYPE_CHECKING:
    from textual.binding import BindingType


class LineField(TypedLine):
    """An input of a dialog with a preview, whose key goes before that for the end of the line."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+e", "screen.preview", "preview", show=False)]
