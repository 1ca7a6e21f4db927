"""Fields for the arguments of an initialiser, as many on a line as fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from paramtui.core.catalogue import INTEGER, NUMBER
from paramtui.core.edits import literal_text
from paramtui.core.text import safe_text
from paramtui.tui.option_texts import choices, default_text, gain_of, takes_gain
from paramtui.tui.widgets.choice_field import ChoiceField
from paramtui.tui.widgets.line_field import LineField

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.widget import Widget

    from paramtui.core.catalogue import Initializer, Option

TYPED_WIDTH = 12
LONG_WIDTH = 24
NOTE_WIDTH = 10
GAP = 2


class OptionFields(Vertical):
    """The fields of one initialiser; `show` replaces them."""

    DEFAULT_CSS = """
    OptionFields { height: auto; width: 100%; }
    OptionFields Horizontal { height: 1; width: 100%; }
    OptionFields .option-caption { width: auto; height: 1; color: $text-muted; margin: 0 1 0 0; }
    OptionFields .option-note { width: 10; height: 1; color: $text-muted; margin: 0 0 0 1; }
    OptionFields ChoiceField, OptionFields LineField { margin: 0 2 0 0; }
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002  as all widgets
        super().__init__(id=id)
        self._shown: tuple[Initializer | None, int] = (None, 0)
        self._fields: list[tuple[Option, LineField | ChoiceField]] = []
        self._notes: dict[str, Static] = {}
        self._gains: Mapping[str, float] = {}

    @property
    def initializer(self) -> Initializer | None:
        """Whose fields are shown."""
        return self._shown[0]

    def show(
        self,
        initializer: Initializer | None,
        texts: Mapping[str, str],
        gains: Mapping[str, float],
        width: int,
        heading: str = "",
    ) -> bool:
        """Shows the fields of an initialiser; gives whether others were shown before.

        Args:
            initializer: Which; None for no fields.
            texts: What they hold, by option.
            gains: Gain by nonlinearity.
            width: Cells of a line.
            heading: Stands before the first field.
        """
        if self._shown == (initializer, width):
            return False
        self._shown = initializer, width
        self._fields, self._notes, self._gains = [], {}, gains
        lines: list[list[Widget]] = []
        room = 0
        for option in initializer.options if initializer is not None else ():
            widgets, taken = self._field(option, texts.get(option.name, default_text(option)))
            if not lines and heading:
                widgets.insert(0, Static(Text(heading), classes="option-caption", markup=False))
                taken += len(heading) + 1
            if not lines or taken > room:
                lines.append([])
                room = width
            room -= taken
            lines[-1] += widgets
        self.remove_children()
        self.display = bool(lines)
        if lines:
            self.mount(*(Horizontal(*line) for line in lines))
        self.resolve()
        return True

    def _field(self, option: Option, text: str) -> tuple[list[Widget], int]:
        """Widgets of an option, and how many cells they take."""
        caption, words = safe_text(option.name, 30), choices(option)
        if words:
            held = words.index(text) if text in words else 0
            field = ChoiceField(caption, [safe_text(word, 40) for word in words], held)
            self._fields.append((option, field))
            return [field], len(caption) + 5 + max(map(len, words)) + GAP
        hint = "needed" if option.required else safe_text(literal_text(option.default), 20)
        typed = LineField(text, placeholder=hint, compact=True)
        typed.styles.width = TYPED_WIDTH if option.kind in (NUMBER, INTEGER) else LONG_WIDTH
        self._fields.append((option, typed))
        taken = len(caption) + 1 + (TYPED_WIDTH if option.kind in (NUMBER, INTEGER) else LONG_WIDTH) + GAP
        widgets: list[Widget] = [Static(Text(caption), classes="option-caption", markup=False), typed]
        if takes_gain(option):
            note = Static("", classes="option-note", markup=False)
            self._notes[option.name] = note
            typed.styles.margin = 0
            widgets.append(note)
            taken += NOTE_WIDTH
        return widgets, taken

    def texts(self) -> dict[str, str]:
        """What the fields hold, by option."""
        found: dict[str, str] = {}
        for option, field in self._fields:
            if isinstance(field, LineField):
                found[option.name] = field.value
            else:
                found[option.name] = choices(option)[field.place]
        return found

    def resolve(self) -> None:
        """Shows which gain a typed name stands for."""
        for option, field in self._fields:
            note = self._notes.get(option.name)
            if note is not None and isinstance(field, LineField):
                gain = gain_of(option, field.value, self._gains)
                note.update(Text("" if gain is None else f"= {gain:.6g}"))
