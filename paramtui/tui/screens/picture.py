"""A whole tensor at a glance: blocks of its elements by their mean or largest magnitude, NaN before all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from paramtui.core.comparing import number_text
from paramtui.core.describe import tensor_facts
from paramtui.core.picture_folding import layout_words
from paramtui.core.picture_places import numbers_shape, unravel
from paramtui.core.text import bytes_text, safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui.comparing_sides import Destination
from paramtui.tui.opened import ability
from paramtui.tui.pages import counted
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.widgets.entry_picture import columns_in
from paramtui.tui.widgets.overview_picture import LARGEST, MEAN, OverviewPicture
from paramtui.tui.widgets.strips import wrapped

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.overview import Overview
    from paramtui.core.picture_places import Extent
    from paramtui.tui.opened import Opened
    from paramtui.tui.widgets.overview_picture import Entry

KEYS: Final = "m mean, max |x|  n N NaN, Inf  enter goes there  ? keys  esc closes"
ALL_KEYS: Final = (
    "↑ ↓ ← → or h j k l move, pgup pgdn H L by ten, home end the first and last row, 0 $ column   m mean or"
    " largest magnitude of the finite elements   n N next and previous with NaN or infinities   enter goes to"
    " the first of these, else to the first element   esc stops, then closes   q V close"
)
# Reading that takes longer is announced; how far it is, is told so often.
PATIENCE: Final = 0.3
# The picture is made anew once the size of the screen has rested for so long.
SIZE_REST: Final = 0.15
# Lines around the entries: frame, facts, column numbers, legend, place.
AROUND: Final = 6
MIN_ROWS: Final = 3
# Further than any picture reaches.
FAR: Final = 1 << 20


class Subject(NamedTuple):
    """What is shown.

    Attributes:
        title: What it is called.
        tensor: Its id.
        row: The row of the tree at which a place in it is gone to.
        gradient: Whether it is the tensor's gradient.
    """

    title: str
    tensor: int
    row: int
    gradient: bool = False


class PictureScreen(Dialog[Destination | None]):
    """Gives the place to go to; None for none.

    Args:
        opened: Holds the tensor; its source makes pictures.
        subject: What is shown.
    """

    CSS = """
    PictureScreen { align: center middle; background: $background 60%; }
    #overview { width: 100%; height: auto; max-height: 100%; padding: 0 1;
                border: round $accent; background: $background; overflow: hidden; }
    #overview Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    #overview-legend { color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "back", "back", show=False),
        Binding("q,V", "close", "close", show=False),
        Binding("enter", "there", "go there", show=False),
        Binding("m,v", "reduction", "mean, max |x|", show=False),
        Binding("question_mark,f1", "keys", "keys", show=False),
        Binding("n", "odd(1)", "next NaN or Inf", show=False),
        Binding("N", "odd(-1)", "previous NaN or Inf", show=False),
        Binding("up,k", "move(-1, 0)", "up", show=False),
        Binding("down,j", "move(1, 0)", "down", show=False),
        Binding("left,h", "move(0, -1)", "left", show=False),
        Binding("right,l", "move(0, 1)", "right", show=False),
        Binding("pageup", "move(-10, 0)", "page up", show=False),
        Binding("pagedown,space", "move(10, 0)", "page down", show=False),
        Binding("H,shift+left", "move(0, -10)", "page left", show=False),
        Binding("L,shift+right", "move(0, 10)", "page right", show=False),
        Binding("home", f"move(-{FAR}, 0)", "first row", show=False),
        Binding("end,G", f"move({FAR}, 0)", "last row", show=False),
        Binding("0,circumflex_accent", f"move(0, -{FAR})", "first column", show=False),
        Binding("dollar_sign", f"move(0, {FAR})", "last column", show=False),
    ]

    def __init__(self, opened: Opened, subject: Subject) -> None:
        super().__init__()
        self._opened = opened
        self._subject = subject
        self._shape = numbers_shape(opened.listing, subject.tensor)
        self._dims = len(opened.listing.shape[subject.tensor])
        self._found: Overview | None = None
        self._asked = (0, 0)
        self._reduction = MEAN
        self._reading = True
        self._again = 0
        self._done = (0, 0)
        self._said = ""
        self._keys = False

    def compose(self) -> ComposeResult:
        """Facts, the picture, its colours, and what the cursor stands on."""
        with Vertical(id="overview") as box:
            box.border_title = Text(self._subject.title)
            box.border_subtitle = Text(KEYS)
            yield Static("", id="overview-facts", markup=False)
            yield OverviewPicture()
            yield Static("", id="overview-legend", markup=False)
            yield Static("", id="overview-place", markup=False)

    def on_mount(self) -> None:
        """Begins."""
        self._write_facts()
        self._read()

    @property
    def settled(self) -> bool:
        """Whether nothing is being read."""
        return not self._reading and not self._again

    @property
    def _picture(self) -> OverviewPicture:
        return self.query_one(OverviewPicture)

    # Sizes

    def _width(self) -> int:
        """Cells of a line of the dialog."""
        return max(self.app.size.width - 4, 1)

    def _rows(self, facts: int = 1) -> int:
        """Lines that are left for entries beside so many of facts."""
        return max(self.app.size.height - AROUND - facts + 1, MIN_ROWS)

    def _room(self) -> tuple[int, int]:
        """Rows and columns of entries for which there is room."""
        return self._rows(), columns_in(self._shape, self._width())

    def on_resize(self) -> None:
        """The picture takes the room that there is now."""
        if self.is_mounted:
            self._write_facts()
            self._fit()

    def _fit(self) -> None:
        """Makes the picture anew where the room for it has changed."""
        if self._found is not None and not self._reading and self._room() != self._asked:
            self._read_again()

    # Reading

    @work(group="picture", exclusive=True)
    async def _read(self) -> None:
        ticker = self.set_interval(PATIENCE, self._tell)
        try:
            found = await self._overview()
        except ParamtuiError as error:
            self._say(str(error))
        except MemoryError:
            self._say("there is not enough memory to read this")
        else:
            self._said = ""
            self._show(found, None)
        finally:
            self._reading = False
            ticker.stop()
        self._fit()

    @work(group="again", exclusive=True)
    async def _read_again(self) -> None:
        """Makes the picture anew for another room; what is shown stays until then, or for good."""
        self._again += 1
        ticker = None
        try:
            await asyncio.sleep(SIZE_REST)
            ticker = self.set_interval(PATIENCE, self._tell)
            found = await self._overview()
            extent = self._picture.extent
            self._said = ""
            self._show(found, extent.first if extent is not None else None)
        except (ParamtuiError, MemoryError):
            self._say("")
        finally:
            self._again -= 1
            if ticker is not None:
                ticker.stop()

    async def _overview(self) -> Overview:
        overview = ability(self._opened.source, "overview")
        assert overview is not None  # noqa: S101  asked for only where it is
        self._asked = rows, columns = self._room()
        self._done = 0, 0
        found: Overview = await overview(
            self._subject.tensor, rows, columns, gradient=self._subject.gradient, progress=self._progress
        )
        return found

    def _progress(self, done: int, total: int) -> None:
        self._done = done, total

    def _how_far(self) -> str:
        done, total = self._done
        return f"{bytes_text(done)} of {bytes_text(total)}" if total else "…"

    def _tell(self) -> None:
        if self._reading:
            self._say(f"reading {self._how_far()}   esc stops")
        elif self._again:
            self._say(f"reading again for this size: {self._how_far()}")

    # What is said

    def _say(self, words: str) -> None:
        self._said = words
        self._write_facts()

    def _facts(self) -> Text:
        """Shape, dtype, what an entry stands for, and how many are no numbers."""
        dtype, shape, _ = tensor_facts(self._opened.listing, self._subject.tensor)
        found, parts = self._found, [Text(f"{shape} {dtype}")]
        if found is not None:
            down, across = found.cell
            if down * across == 1:
                blocks = "of each element"
            elif down > 1 or self._dims > 1:
                blocks = f"of each {down:,} x {across:,}"
            else:
                blocks = f"of {across:,} elements each"
            parts.append(Text.assemble((self._figure(), "bold"), f" {blocks}"))
            odd = (("NaN", int(found.nan.sum())), ("infinite", int(found.inf.sum())))
            parts += [Text(f"{count:,} {word}", "bold") for word, count in odd if count]
            words = layout_words(self._shape, found.width)
            parts += [Text(words)] if words else []
        if self._said:
            parts.insert(1, Text(safe_text(self._said, 1000), "bold"))
        return Text("  ").join(parts)

    def _figure(self) -> str:
        """What an entry tells of its elements; complex numbers count by their magnitude."""
        magnitudes = "complex" in self._opened.listing.dtype[self._subject.tensor]
        several = self._found is None or self._found.cell != (1, 1)
        if self._reduction == LARGEST:
            return LARGEST if several else "|x|"
        return f"{MEAN if several else 'value'}{' |x|' if magnitudes else ''}"

    def _write_facts(self) -> None:
        if self._keys or (self._found is None and self._said):
            text = Text(ALL_KEYS) if self._keys else self._facts()
            lines = wrapped([text], self._width(), self.app.console)
        else:
            lines = [self._facts()]
        self.query_one("#overview-facts", Static).update(Text("\n").join(lines))
        self._picture.allow(self._rows(len(lines)))

    def _write_legend(self) -> None:
        legend = Text.assemble(f"{self._figure()}  ", *self._picture.legend())
        self.query_one("#overview-legend", Static).update(legend)

    def _show(self, found: Overview, index: tuple[int, ...] | None) -> None:
        self._found = found
        self._picture.show(found, self._shape, self._rows(), self._reduction, index)
        self._write_facts()
        self._write_legend()

    @on(OverviewPicture.Moved)
    def _moved(self) -> None:
        extent, entry = self._picture.extent, self._picture.entry
        if extent is not None and entry is not None:
            self._place(f"{extent.text}  {_entry_words(extent, entry)}")

    def _place(self, words: str) -> None:
        self.query_one("#overview-place", Static).update(Text(words))

    # Keys

    def action_move(self, rows: int, columns: int) -> None:
        """Moves the cursor in the picture."""
        self._picture.move(rows, columns)

    def action_odd(self, step: int) -> None:
        """Goes to the next or previous entry with NaN or infinities."""
        if self._found is not None and not self._picture.next_odd(step):
            self._place("neither NaN nor Inf: all numbers are finite")

    def action_reduction(self) -> None:
        """Shows means, or the largest magnitudes."""
        self._reduction = LARGEST if self._reduction == MEAN else MEAN
        if self._found is not None:
            self._picture.reduce(self._reduction)
            self._write_legend()
        self._write_facts()

    def action_there(self) -> None:
        """Closes, and goes to the first NaN or infinity under the cursor, else to the first element."""
        extent, entry = self._picture.extent, self._picture.entry
        if extent is None or entry is None:
            self._place("there is nothing to go to yet" if self._reading else "there is nothing to go to")
            return
        index = unravel(entry.odd, self._shape) if entry.odd >= 0 else extent.first
        place = ", ".join(map(str, index[: self._dims]))
        self.dismiss(Destination(self._subject.row, place))

    def action_keys(self) -> None:
        """Says what the keys do, or again what was there before."""
        self._keys = not self._keys
        self._write_facts()

    def action_back(self) -> None:
        """Stops reading, else closes."""
        if self._reading:
            self.workers.cancel_group(self, "picture")
            self._reading = self._keys = False
            done = f" after {self._how_far()}" if self._done[1] else ""
            self._say(f"stopped{done}   esc closes")
        else:
            self.action_close()

    def action_close(self) -> None:
        """Closes, whatever runs."""
        for group in ("picture", "again"):
            self.workers.cancel_group(self, group)
        self.dismiss(None)


def _entry_words(extent: Extent, entry: Entry) -> str:
    """What is known of the elements of an entry; what matters least stands last."""
    if extent.elements == 1:
        if entry.odd >= 0:
            return "NaN" if entry.nan else "infinite"
        return number_text(entry.mean)
    parts = [f"{count:,} {word}" for count, word in ((entry.nan, "NaN"), (entry.inf, "infinite")) if count]
    if entry.nan + entry.inf < extent.elements:
        parts += [f"mean {number_text(entry.mean, 4)}", f"max |x| {number_text(entry.abs_max, 4)}"]
    return "  ".join([*parts, counted(extent.elements, "element")])
