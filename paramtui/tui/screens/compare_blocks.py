"""Two blocks side by side: each tensor of one with that of the same name in the other."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from paramtui.core.block_comparing import compare_pairs, sum_up
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError
from paramtui.tui.comparing_lines import types_text
from paramtui.tui.comparing_sides import Destination, tensor_side
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.widgets.pair_list import PairHeading, PairList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.block_comparing import Pair
    from paramtui.tui.comparing_sides import Side
    from paramtui.tui.opened import Opened

KEYS: Final = "enter opens a pair   n N next that differs   ? keys   esc closes"
ALL_KEYS: Final = (
    "↑ ↓ pgup pgdn home end move   n N go to the next and the previous that differs   enter compares the pair"
    " in full, or goes to what only one block has   esc stops, then closes   q closes"
)
PATIENCE: Final = 0.3
# Lines around the list: frame, names, sums (two where they are long), heading.
AROUND: Final = 7
# Lines that say more of the pair under the cursor, at most, and a share of the screen.
MAX_DETAIL: Final = 5
DETAIL_SHARE: Final = 4


class CompareBlocksScreen(Dialog[Destination | None]):
    """Gives the place to go to; None for none.

    Args:
        opened: Holds both.
        one, other: The blocks.
        pairs: Their tensors; at least one.
    """

    CSS = """
    CompareBlocksScreen { align: center middle; background: $background 60%; }
    #compare-blocks { width: 98%; height: auto; max-height: 100%; padding: 0 1;
                      border: round $accent; background: $background; overflow: hidden; }
    #compare-blocks Static { height: auto; }
    #blocks-names { text-wrap: nowrap; text-overflow: ellipsis; }
    #blocks-sums { text-style: bold; }
    #blocks-detail { color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "back", "back", show=False),
        Binding("q,equals_sign", "close", "close", show=False),
        Binding("enter", "open", "open a pair", show=False),
        Binding("question_mark,f1", "keys", "keys", show=False),
        Binding("n", "different(1)", "next that differs", show=False),
        Binding("N", "different(-1)", "previous that differs", show=False),
        Binding("up,k", "move(-1)", "up", show=False, priority=True),
        Binding("down,j", "move(1)", "down", show=False, priority=True),
        Binding("pageup", "page(-1)", "page up", show=False, priority=True),
        Binding("pagedown,space", "page(1)", "page down", show=False, priority=True),
        Binding("home", "move(-1000000000)", "first", show=False, priority=True),
        Binding("end,G", "move(1000000000)", "last", show=False, priority=True),
    ]

    def __init__(self, opened: Opened, one: Side, other: Side, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self._opened = opened
        self._sides = one, other
        self._pairs = pairs
        self._counts: Counter[str] = Counter()
        self._comparing = True
        self._part = (0, 0)

    def compose(self) -> ComposeResult:
        """Names, what there is in all, the pairs, and more of the one under the cursor."""
        one, other = self._sides
        with Vertical(id="compare-blocks") as box:
            box.border_title = Text(f"{one.name} = {other.name}?")
            box.border_subtitle = Text(KEYS)
            names = f"the first:  {one.name}\nthe second: {other.name}"
            yield Static(Text(names), id="blocks-names", markup=False)
            yield Static("", id="blocks-sums", markup=False)
            listed = PairList(self._pairs, [types_text(self._opened.listing, pair) for pair in self._pairs])
            yield PairHeading(listed)
            yield listed
            yield Static("", id="blocks-detail", markup=False)

    def on_mount(self) -> None:
        """Begins."""
        self.on_resize()
        self._compare()

    def on_resize(self) -> None:
        """The list takes the room that there is beside the words about a pair."""
        height = self.app.size.height
        detail = min(max(height // DETAIL_SHARE, 1), MAX_DETAIL)
        self.query_one("#blocks-detail").styles.max_height = detail
        self.query_one(PairList).styles.max_height = max(height - AROUND - detail, 2)

    @property
    def settled(self) -> bool:
        """Whether nothing is being compared."""
        return not self._comparing

    @work(group="compare", exclusive=True)
    async def _compare(self) -> None:
        listed = self.query_one(PairList)
        ticker = self.set_interval(PATIENCE, self._tell)
        try:
            async with aclosing(compare_pairs(self._opened.source, self._pairs, self._progress)) as outcomes:
                async for outcome in outcomes:
                    self._part = (0, 0)
                    self._counts[outcome.verdict] += 1
                    listed.add(outcome)
        except ParamtuiError as error:
            self._say(f"{error}   {self._sums()}")
        else:
            self._say(self._sums())
        finally:
            self._comparing = False
            ticker.stop()

    def _progress(self, done: int, total: int) -> None:
        self._part = done, total

    def _sums(self) -> str:
        return sum_up(self._counts, len(self._pairs))

    def _tell(self) -> None:
        if not self._comparing:
            return
        place, (done, total) = len(self.query_one(PairList).outcomes), self._part
        share = f", {100 * done // total} % of it" if total else ""
        self._say(
            f"comparing {min(place + 1, len(self._pairs)):,} of {len(self._pairs):,}{share}   esc stops"
        )

    def _say(self, words: str) -> None:
        self.query_one("#blocks-sums", Static).update(Text(safe_text(words, 1000)))

    @on(PairList.Moved)
    def _moved(self) -> None:
        """Says in sentences what came of the pair under the cursor."""
        outcome = self.query_one(PairList).outcome
        words = ""
        if outcome is not None:
            found = outcome.comparison
            words = found.words if found is not None else outcome.reason or outcome.verdict
        self.query_one("#blocks-detail", Static).update(Text(safe_text(words, 1000)))

    # Keys

    def action_move(self, lines: int) -> None:
        """Moves by pairs."""
        self.query_one(PairList).move(lines)

    def action_page(self, pages: int) -> None:
        """Moves by screenfuls."""
        self.query_one(PairList).page(pages)

    def action_different(self, step: int) -> None:
        """Goes to the next or previous pair that differs."""
        if not self.query_one(PairList).next_different(step):
            words = "nothing differs so far" if self._comparing else "nothing differs"
            self.query_one("#blocks-detail", Static).update(Text(words))

    def action_keys(self) -> None:
        """Says what the keys do, until the cursor moves."""
        self.query_one("#blocks-detail", Static).update(Text(ALL_KEYS))

    async def action_open(self) -> None:
        """Compares the pair under the cursor in full, or says why it cannot be."""
        listed = self.query_one(PairList)
        pair, outcome = listed.pair, listed.outcome
        if not pair.whole:
            # Only one block has it: there is nothing to put beside it.
            tensor = max(pair.one, pair.other)
            self.dismiss(Destination(tensor_side(self._opened, tensor).row, ""))
        elif outcome is None or outcome.comparison is not None:
            from paramtui.tui.screens.compare import CompareScreen

            sides = [tensor_side(self._opened, tensor) for tensor in (pair.one, pair.other)]
            await self.app.push_screen(CompareScreen(self._opened, *sides), self._compared)

    def _compared(self, found: Destination | None) -> None:
        if found is not None:
            self.action_close(found)

    def action_back(self) -> None:
        """Stops comparing, else closes."""
        if self._comparing:
            self.workers.cancel_group(self, "compare")
            self._comparing = False
            done = len(self.query_one(PairList).outcomes)
            self._say(f"stopped after {done:,} of {len(self._pairs):,}   {self._sums()}")
        else:
            self.dismiss(None)

    def action_close(self, found: Destination | None = None) -> None:
        """Closes, whatever runs."""
        self.workers.cancel_group(self, "compare")
        self.dismiss(found)
