"""Two tensors side by side: whether they are one, by how much they differ, and where."""

from __future__ import annotations

import asyncio
from math import isnan, prod
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from paramtui.core.comparing import compare, number_text, number_texts
from paramtui.core.picture_folding import layout_words, matrix_width
from paramtui.core.picture_places import entry_of, numbers_shape
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui import comparing_lines
from paramtui.tui.comparing_sides import Destination, number_at, stored_row, way
from paramtui.tui.pages import counted
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.widgets.difference_picture import DifferencePicture
from paramtui.tui.widgets.entry_picture import columns_in
from paramtui.tui.widgets.strips import wrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.comparing import Comparison
    from paramtui.tui.comparing_sides import Side
    from paramtui.tui.opened import Opened

KEYS: Final = "n N next  enter goes there in b  x swaps  y copies  ? keys  esc closes"
ALL_KEYS: Final = (
    "↑ ↓ ← → or h j k l move, pgup pgdn H L by ten   n N next and previous that differs   enter goes"
    " to that place in b   x swaps a and b   y copies the line of PyTorch   esc stops, then closes   q closes"
)
# Comparing that takes longer is announced; how far it is, is told so often.
PATIENCE: Final = 0.3
REST: Final = 0.05
# The picture is made anew once the size of the screen has rested for so long.
SIZE_REST: Final = 0.15
# Lines around the picture: frame, names, column numbers, cell, legend, place.
AROUND: Final = 8
USUAL_FACTS: Final = 4
MIN_ROWS: Final = 3


class CompareScreen(Dialog[Destination | None]):
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
        Binding("question_mark,f1", "keys", "keys", show=False),
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
        self._regrouping = 0
        self._grouped = (0, 0)
        self._done = 0
        self._different = 0
        self._said = ""
        self._keys = False
        # Of the numbers: an element of some types is two of them.
        self._shape = numbers_shape(opened.listing, one.tensor)
        self._dims = len(opened.listing.shape[one.tensor])

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
        return not self._comparing and not self._regrouping

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
        # Which line it is, only the numbers tell.
        lines = comparing_lines.way_lines(self._way() if self._found is not None else "", self._width())
        shown = self.query_one("#compare-way", Static)
        shown.display = bool(lines)
        shown.update(Text("\n").join(lines))

    def _way(self) -> str:
        return safe_text(way(self._opened, *self._sides, self._found), 4000)

    def _lines(self) -> list[Text]:
        """The facts, or what is said instead of them, in lines of the width that there is."""
        if self._keys:
            texts = [Text(ALL_KEYS)]
        elif self._found is not None:
            declared = next((side.declared for side in self._sides if side.declared), "")
            texts = comparing_lines.facts(self._found, declared)
        else:
            texts = [Text(safe_text(self._said, 1000), "bold")]
        lines = wrapped(texts, self._width(), self.app.console)
        # On the smallest screens what is known is cut, and not the picture.
        room = max(self.app.size.height - AROUND - MIN_ROWS, 1)
        return lines if len(lines) <= room else texts

    def _rows(self, facts: int, text: str | None = None) -> int:
        """Lines that are left for the picture, beside so many facts and a line of PyTorch."""
        text, width = self._way() if text is None else text, self._width()
        rows = max(
            self.app.size.height - AROUND - min(-(-len(text) // width), comparing_lines.MAX_WAY) - facts,
            MIN_ROWS,
        )
        words = layout_words(self._shape, matrix_width(self._shape, rows, columns_in(self._shape, width)))
        return max(rows - bool(words), MIN_ROWS)

    def _room(self) -> tuple[int, int]:
        """Rows and columns for a picture, whatever will be known of it."""
        longest = safe_text(way(self._opened, *self._sides), 4000)
        return self._rows(USUAL_FACTS, longest), columns_in(self._shape, self._width())

    # Comparing

    @work(group="compare", exclusive=True)
    async def _compare(self) -> None:
        ticker = self.set_interval(PATIENCE, self._tell)
        try:
            found = await self._read_both(self._progress, self._differing)
        except ParamtuiError as error:
            self._say(str(error))
        except MemoryError:
            self._say("there is not enough memory to compare these")
        else:
            self._found = found
            self._show()
        finally:
            self._comparing = False
            ticker.stop()
        self._fit()

    async def _read_both(
        self,
        progress: Callable[[int, int], None] | None = None,
        differing: Callable[[int], None] | None = None,
    ) -> Comparison:
        """Compares both, with a picture for the room that there is now."""
        one, other = self._sides
        self._grouped = rows, columns = self._room()
        return await compare(
            self._opened.source,
            one.tensor,
            other.tensor,
            rows=rows,
            columns=columns,
            progress=progress,
            differing=differing,
        )

    @work(group="regroup", exclusive=True)
    async def _regroup(self) -> None:
        """Makes the picture anew for another room; what is shown stays until then, or for good."""
        self._regrouping += 1
        try:
            await asyncio.sleep(SIZE_REST)
            one = self._sides[0]
            found = await self._read_both()
            index = self._index()
            # They may have been swapped meanwhile.
            self._found = found if self._sides[0] is one else comparing_lines.swapped(found)
            self._show()
            if index is not None:
                self.query_one(DifferencePicture).go_to(index)
        except (ParamtuiError, MemoryError):
            return
        finally:
            self._regrouping -= 1

    def _progress(self, done: int, _total: int) -> None:
        self._done = done

    def _differing(self, count: int) -> None:
        self._different = count

    def _tell(self) -> None:
        if not self._comparing:
            return
        total = prod(self._shape)
        share = f": {100 * self._done // total} % of {counted(total, 'element')}" if total else ""
        self._say(f"comparing{share}   esc stops")

    def _say(self, words: str) -> None:
        self._said = words
        self._write_facts()

    def _write_facts(self) -> None:
        lines = self._lines()
        self.query_one("#compare-facts", Static).update(Text("\n").join(lines))
        self.query_one(DifferencePicture).allow(self._rows(len(lines)))

    def _show(self) -> None:
        found = self._found
        if found is None:
            return
        self._write_names()
        picture = self.query_one(DifferencePicture)
        picture.show(found, self._shape, self._rows(len(self._lines())))
        self._write_facts()
        letters = picture.ramp.legend() if picture.ramp is not None else []
        self.query_one("#compare-legend", Static).update(comparing_lines.legend(found, self._shape, letters))

    def on_resize(self) -> None:
        """The picture takes the room that there is now."""
        if self.is_mounted:
            self._write_names()
            self._write_facts()
            self._fit()

    def _fit(self) -> None:
        """Makes the picture anew where the room for it has changed."""
        found = self._found
        if found is None or found.picture is None or self._comparing:
            return
        if self._room() != self._grouped:
            self._regroup()

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
        try:
            numbers = [await number_at(self._opened, side, index) for side in self._sides]
        except ParamtuiError:
            return
        one, other = numbers
        if one is None or other is None:
            return
        texts = number_texts(one, other)
        words = texts[0] if texts[0] == texts[1] else f"a {texts[0]}, b {texts[1]}"
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
        index = self._index()
        if index is None:
            words = "nothing" if self._found is not None else "nothing yet"
            self._place(f"there is {words} to go to")
            return
        row = stored_row(self._opened, self._sides[1])
        self.dismiss(Destination(row, ", ".join(map(str, index[: self._dims]))))

    def _index(self) -> tuple[int, ...] | None:
        """An element of the entry under the cursor; None where there is no picture."""
        found, picture = self._found, self.query_one(DifferencePicture)
        extent = picture.extent
        if found is None or found.picture is None or extent is None:
            return None
        # Of many elements one that is known to differ is the place to go to.
        known = [found.first, found.largest.index if found.largest is not None else None]
        return next(
            (
                place
                for place in known
                if place is not None and entry_of(self._shape, found.picture, place) == picture.cursor
            ),
            extent.first,
        )

    def action_swap(self) -> None:
        """Calls the first tensor b, and the second a."""
        if self._found is None:
            self._place("x swaps when it is done" if self._comparing else "nothing is known to swap")
            return
        self._sides = self._sides[::-1]
        self._found = comparing_lines.swapped(self._found)
        cursor = self.query_one(DifferencePicture).cursor
        self._show()
        picture = self.query_one(DifferencePicture)
        picture.move(cursor[0] - picture.cursor[0], cursor[1] - picture.cursor[1])

    def action_keys(self) -> None:
        """Says what the keys do, or again what was there before."""
        self._keys = not self._keys
        self._write_facts()

    def action_copy(self) -> None:
        """Copies the line of PyTorch."""
        text = way(self._opened, *self._sides, self._found) if self._found is not None else ""
        if text:
            self.app.copy_to_clipboard(text)
        otherwise = "y copies when it is done" if self._comparing else "PyTorch has no line that says this"
        self._place("copied" if text else otherwise)

    def action_back(self) -> None:
        """Stops comparing, else closes."""
        if self._comparing:
            self.workers.cancel_group(self, "compare")
            self._comparing = self._keys = False
            self._say(comparing_lines.stopped_words(self._done, prod(self._shape), self._different))
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        """Closes, whatever runs."""
        self.workers.cancel_group(self, "compare")
        self.dismiss(None)
