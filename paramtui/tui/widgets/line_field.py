"""A field of one line to type into."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.widgets import Input

if TYPE_CHECKING:
    from textual.binding import BindingType


class LineField(Input):
    """An input of a dialog with a preview, whose key goes before that for the end of the line."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+e", "screen.preview", "preview", show=False)]
