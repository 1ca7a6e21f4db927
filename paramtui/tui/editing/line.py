"""The line in which a change is typed: says what it would do while it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui.editing.typed import effect, meant, torch_line
from paramtui.tui.widgets.edit_prompt import EditPrompt

if TYPE_CHECKING:
    from paramtui.tui.editing.typed import Meant
    from paramtui.tui.opened import Opened

MAX_LABEL: Final = 40
HINT: Final = "100   *= 0.5   [0, :3] = nan   other.weight[0] = 1"


class EditLine:
    """What is typed for one tensor or cell.

    Args:
        opened: The target.
        tensor: Id of the tensor that the line is about; -1 for none.
        cell: Index of the cell that it is about; None for none.
        declared: A name that is not stored and is declared to be that tensor, if a person chose that one.
    """

    def __init__(self, opened: Opened, tensor: int, cell: str | None, declared: str = "") -> None:
        self._opened = opened
        self._tensor = tensor
        self._cell = cell
        self._declared = declared

    def prompt(self, text: str) -> EditPrompt:
        """The line on screen."""
        if self._cell is not None:
            label = f"[{self._cell or '...'}] "
        elif self._tensor >= 0:
            name = self._declared or self._opened.listing.names[self._tensor]
            label = f"{safe_text(name, MAX_LABEL) or '(tensor)'} "
        else:
            label = "edit "
        return EditPrompt(label, text, HINT)

    def follow(self, prompt: EditPrompt, text: str) -> None:
        """Says what the text would do."""
        if not text.strip():
            prompt.tell(HINT, "")
            return
        try:
            found = self.meant(text)
            prompt.tell(effect(self._opened, found), torch_line(self._opened, found))
        except ParamtuiError as error:
            prompt.tell(safe_text(str(error), 400), "", wrong=True)

    def meant(self, text: str) -> Meant:
        """What the text means.

        Raises:
            ParamtuiError: It is no change, or cannot be carried out.
        """
        return meant(self._opened, text, self._tensor, self._cell, self._declared)
