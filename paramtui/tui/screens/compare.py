"""Two tensors side by side: whether they are one, by how much they differ, and where."""

from __future__ import annotations

import asyncio
from math import isnan, prod
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from paramtui.core.comparing import SAME_MEMORY, compare
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui import comparing_lines
from paramtui.tui.comparing_lines import number_text, number_texts
from paramtui.tui.comparing_sides import Destination, stored_row, way
from paramtui.tui.pages import counted
from paramtui.tui.widgets.difference_picture import DifferencePicture

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.comparing import Comparison, Difference
    from paramtui.tui.comparing_sides import Side
    from paramtui.tui.opened import Opened

KEYS: Final = "n N differences  enter goes there in b  x swaps  y copies  esc closes"
# Comparing that takes longer is announced; how far it is, is told so often.
PATIENCE: Final = 0.3
REST: Final = 0.05
# Lines of a PyTorch expression at most.
MAX_WAY: Final = 3
# Lines around the picture: frame, names, column numbers, size of a cell, legend, place.
AROUND: Final = 8
USUAL_FACTS: Final = 4
MIN_ROWS: Final = 3
MAX_COLUMNS: Final = 256


class CompareScreen(ModalScreen[Destination | None]):
    """Gives the place to go to; None for none.

    Args:
        opened: Holds both.
        one: The first tensor, called a.
        other: The second tensor, called b: the one whose values can be gone to.
    """

    CSS = """
    CompareScreen { align: center middle; background: $background 60%; }
    #compare { width: 98%; height: auto; max-height: 100%; padding: 0 1;
               border: round $accent; background: $background; overflow: hidden; }
    #compare Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    #compare-legend { color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "back", "back", show=False),
        Binding("q,equals_sign", "close", "close", show=False),
        Binding("enter", "there", "go there", show=False),
        Binding("x", "swap", "swap", show=False),
        Binding("y", "copy", "copy", show=False),
        Binding("n", "different(1)", "next difference", show=False),
        Binding("N", "different(-1)", "previous difference", show=False),
        Binding("up,k", "move(-1, 0)", "up", show=False),
        Binding("down,j", "move(1, 0)", "down", show=False),
        Binding("left,h", "move(0, -1)", "left", show=False),
        Binding("right,l", "move(0, 1)", "right", show=False),
        Binding("pageup", "move(-10, 0)", "page up", show=False),
        Binding("pagedown,space", "move(10, 0)", "page down", show=False),
        Binding("H,shift+left", "move(0, -10)", "page left", show=False),
        Binding("L,shift+right", "move(0, 10)", "page right", show=False),
    ]

    def __init__(self, opened: Opened, one: Side, other: Side) -> None:
        super().__init__()
        self._opened = opened
        self._sides = one, other
        self._found: Comparison | None = None
        self._comparing = True
        self._done = 0
        # Of the numbers: an element of some types is two of them.
        sizes = tuple(size or 0 for size in opened.listing.shape[one.tensor])
        self._shape = (*sizes, 2) if opened.listing.dtype[one.tensor] == "float4_e2m1fn_x2" else sizes
        self._dims = len(sizes)

    def compose(self) -> ComposeResult:
        """Names, the line of PyTorch, the verdict, the picture, and what the cursor stands on."""
        with Vertical(id="compare") as box:
            box.border_subtitle = Text(KEYS)
            yield Static("", id="compare-sides", markup=False)
            yield Static("", id="compare-way", markup=False)
            yield Static("", id="compare-facts", markup=False)
            yield DifferencePicture()
            yield Static("", id="compare-legend", markup=False)
            yield Static("", id="compare-place", markup=False)

    def on_mount(self) -> None:
        """Begins."""
        self._write_names()
        self._compare()

    @property
    def settled(self) -> bool:
        """Whether nothing is being compared."""
        return not self._comparing

    # What is known without numbers

    def _width(self) -> int:
        """Cells of a line of the dialog."""
        return max(self.app.size.width * 98 // 100 - 4, 1)

    def _write_names(self) -> None:
        """Writes the names and the line of PyTorch."""
        one, other = self._sides
        self.query_one("#compare").border_title = Text(f"{one.name} = {other.name}?")
        lines = [
            comparing_lines.side_line(self._opened, letter, side)
            for letter, side in zip("ab", self._sides, strict=True)
        ]
        self.query_one("#compare-sides", Static).update(Text("\n").join(lines))
        text, width = self._way(), self._width()
        lines = [Text(text[at : at + width], "bold") for at in range(0, len(text), width)]
        if len(lines) > MAX_WAY:
            lines = [*lines[: MAX_WAY - 1], Text("y copies the line of PyTorch", "dim")]
        shown = self.query_one("#compare-way", Static)
        shown.display = bool(lines)
        shown.update(Text("\n").join(lines))

    def _way(self) -> str:
        found = self._found
        alias = found is not None and found.verdict == SAME_MEMORY
        # What is stored once has no second name in Python.
        if any(side.declared for side in self._sides):
            alias = False
        return safe_text(way(self._opened, *self._sides, alias=alias), 4000)

    def _rows(self, facts: int) -> int:
        """Lines that are left for the picture."""
        way_lines = min(-(-len(self._way()) // self._width()), MAX_WAY)
        return max(self.app.size.height - AROUND - way_lines - facts, MIN_ROWS)

    def _columns(self) -> int:
        """Entries of a line of the picture: of a long row a power of two, into which it is folded."""
        labels = max(sum(len(str(size)) + 1 for size in self._shape[:-1]), 2)
        lines = prod(self._shape[:-1])
        if lines == 1 and self._shape:
            labels = len(str(self._shape[-1])) + 1
        room = min(max((self._width() - labels) // 2, 1), MAX_COLUMNS)
        return 1 << (room.bit_length() - 1) if lines == 1 and self._shape and self._shape[-1] > room else room

    # Comparing

    @work(group="compare", exclusive=True)
    async def _compare(self) -> None:
        ticker = self.set_interval(PATIENCE, self._tell)
        one, other = self._sides
        try:
            found = await compare(
                self._opened.source,
                one.tensor,
                other.tensor,
                rows=self._rows(USUAL_FACTS),
                columns=self._columns(),
                progress=self._progress,
            )
        except ParamtuiError as error:
            self._say(str(error))
        except MemoryError:
            self._say("there is not enough memory to compare these")
        else:
            self._found = found
            self._show(found)
        finally:
            self._comparing = False
            ticker.stop()

    def _progress(self, done: int, _total: int) -> None:
        self._done = done

    def _tell(self) -> None:
        if not self._comparing:
            return
        total = prod(self._shape)
        share = f": {100 * self._done // total} % of {counted(total, 'element')}" if total else ""
        self._say(f"comparing{share}   esc stops")

    def _say(self, words: str) -> None:
        self.query_one("#compare-facts", Static).update(Text(safe_text(words, 1000), "bold"))

    def _show(self, found: Comparison) -> None:
        self._write_names()
        declared = next((side.declared for side in self._sides if side.declared), "")
        facts = comparing_lines.facts(found, declared)
        self.query_one("#compare-facts", Static).update(Text("\n").join(facts))
        picture = self.query_one(DifferencePicture)
        picture.show(found, self._shape, self._rows(len(facts)))
        self.query_one("#compare-legend", Static).update(self._legend())

    def _legend(self) -> Text:
        line = Text()
        ramp, found = self.query_one(DifferencePicture).ramp, self._found
        if ramp is None or found is None or found.picture is None:
            return line
        rows, columns = found.picture.cell
        if rows * columns > 1:
            size = f"{rows:,} x {columns:,}" if rows > 1 or len(self._shape) > 1 else f"{columns:,}"
            line.append(f"each cell is {size} elements: its largest difference counts\n")
        line.append("  ".join(f"{letters} {words}" for letters, words in ramp.legend()))
        return line

    def on_resize(self) -> None:
        """The picture takes the room that there is now."""
        if self._found is not None:
            declared = next((side.declared for side in self._sides if side.declared), "")
            facts = comparing_lines.facts(self._found, declared)
            self.query_one(DifferencePicture).allow(self._rows(len(facts)))
        if self.is_mounted:
            self._write_names()

    # The place under the cursor

    @on(DifferencePicture.Moved)
    def _moved(self) -> None:
        picture = self.query_one(DifferencePicture)
        extent = picture.extent
        if extent is None:
            return
        different, largest = picture.entry
        if extent.elements == 1:
            self._place(f"{extent.text}  {'different' if different else 'equal'}")
            self._read(extent.first, different=bool(different))
            return
        self.workers.cancel_group(self, "cell")
        words = f"{different:,} differ{'s' if different == 1 else ''}" if different else "all equal"
        if isnan(largest):
            words += ", with NaN in one alone"
        elif largest:
            words += f", by {number_text(largest)} at most"
        self._place(f"{extent.text}  {counted(extent.elements, 'element')}: {words}")

    def _place(self, words: str) -> None:
        self.query_one("#compare-place", Static).update(Text(words))

    @work(group="cell", exclusive=True)
    async def _read(self, index: tuple[int, ...], *, different: bool) -> None:
        """Tells both numbers of a single element once the cursor has rested."""
        await asyncio.sleep(REST)
        picks = [range(at, at + 1) for at in index[: self._dims]]
        numbers = []
        for side in self._sides:
            try:
                window = await self._opened.source.window(side.tensor, picks)
            except ParamtuiError:
                return
            if window.values is None:
                return
            numbers.append(window.values.reshape(-1)[index[-1] if len(index) > self._dims else 0].item())
        one, other = number_texts(*numbers)
        words = one if one == other else f"a {one}, b {other}"
        words = f"{'different' if different else 'equal'}: {words}"
        self._place(f"[{', '.join(map(str, index))}]  {words}")

    # Keys

    def action_move(self, rows: int, columns: int) -> None:
        """Moves the cursor in the picture."""
        self.query_one(DifferencePicture).move(rows, columns)

    def action_different(self, step: int) -> None:
        """Goes to the next or previous entry that differs."""
        if not self.query_one(DifferencePicture).next_different(step) and self._found is not None:
            self._place("nothing differs")

    def action_there(self) -> None:
        """Closes, and goes to the place under the cursor in the second tensor."""
        found, picture = self._found, self.query_one(DifferencePicture)
        row = stored_row(self._opened, self._sides[1])
        extent = picture.extent
        if found is None or found.picture is None or extent is None:
            return
        from paramtui.core.picture_places import entry_of

        # Of many elements one that is known to differ is the place to go to.
        known = [found.first, found.largest.index if found.largest is not None else None]
        index = next(
            (
                place
                for place in known
                if place is not None and entry_of(self._shape, found.picture, place) == picture.cursor
            ),
            extent.first,
        )
        self.dismiss(Destination(row, ", ".join(map(str, index[: self._dims]))))

    def action_swap(self) -> None:
        """Calls the first tensor b, and the second a."""
        found = self._found
        if found is None:
            return
        self._sides = self._sides[::-1]
        self._found = found._replace(
            one=found.other,
            other=found.one,
            nan_only=found.nan_only[::-1],
            largest=_swapped(found.largest),
            relative=_swapped(found.relative),
        )
        cursor = self.query_one(DifferencePicture).cursor
        self._show(self._found)
        picture = self.query_one(DifferencePicture)
        picture.move(cursor[0] - picture.cursor[0], cursor[1] - picture.cursor[1])

    def action_copy(self) -> None:
        """Copies the line of PyTorch."""
        text = way(self._opened, *self._sides, alias=False)
        if text:
            self.app.copy_to_clipboard(text)
            self._place("copied")

    def action_back(self) -> None:
        """Stops comparing, else closes."""
        if self._comparing:
            self.workers.cancel_group(self, "compare")
            self._comparing = False
            total = prod(self._shape)
            self._say(f"stopped after {100 * self._done // max(total, 1)} %: nothing is known of the rest")
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        """Closes, whatever runs."""
        self.workers.cancel_group(self, "compare")
        self.dismiss(None)


def _swapped(found: Difference | None) -> Difference | None:
    return found._replace(one=found.other, other=found.one) if found is not None else None
