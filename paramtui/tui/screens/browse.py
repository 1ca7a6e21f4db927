"""The browser: the tree on the left, the place it stands on to the right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static

from paramtui.tui.actions import bindings
from paramtui.tui.opened import prepare
from paramtui.tui.screens.changing import ChangingMixin
from paramtui.tui.screens.finding import FindingMixin
from paramtui.tui.screens.folding import FoldingMixin, carry_folds
from paramtui.tui.screens.freshness import FreshnessMixin
from paramtui.tui.screens.marking import MarkingMixin
from paramtui.tui.screens.picturing import PicturingMixin
from paramtui.tui.screens.places import PlacesMixin
from paramtui.tui.screens.running import RunningMixin
from paramtui.tui.screens.scanning import ScanningMixin
from paramtui.tui.screens.trusting import TrustingMixin
from paramtui.tui.screens.tying import TyingMixin
from paramtui.tui.screens.waiting import WaitingMixin
from paramtui.tui.widgets.distribution_pane import DistributionPane
from paramtui.tui.widgets.gradient_pane import GradientPane
from paramtui.tui.widgets.lines import KeyLine, TitleLine
from paramtui.tui.widgets.said import Said
from paramtui.tui.widgets.tab_line import TabLine
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import Collection

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.tui.actions import Keys
    from paramtui.tui.app import ParamtuiApp
    from paramtui.tui.opened import Opened
    from paramtui.tui.settings import Settings

# Under this many columns the tree and the values take turns; under this many rows the panels do.
NARROW = 100
SHORT = 30
SMALLEST = (20, 5)
# Seconds after which what is looked for in advance no longer hinders the first paint.
EXPLORE = 0.3


class BrowseScreen(
    FindingMixin,
    PlacesMixin,
    MarkingMixin,
    PicturingMixin,
    TyingMixin,
    TrustingMixin,
    FoldingMixin,
    FreshnessMixin,
    ScanningMixin,
    ChangingMixin,
    RunningMixin,
    WaitingMixin,
    Screen[None],
):
    """Opens empty with a note; `open` or `fail` follows."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("screen")

    def __init__(self, target: str, keys: Keys, settings: Settings) -> None:
        super().__init__()
        self._target = target
        self._keys = keys
        self._settings = settings
        self._opened: Opened | None = None
        self._values_fill = False
        self._panel = "values"
        self.forget_places()
        self.mounted = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Title, note, tree and values, keys."""
        yield TitleLine(self._target)
        yield Static(Text(self.opening_words()), id="note", markup=False)
        with Horizontal(id="panes"):
            yield TreePane()
            with Vertical(id="place"):
                yield TabLine()
                yield ValuesPane()
                yield GradientPane()
                yield DistributionPane()
        yield KeyLine(self._keys)
        yield Static("too small", id="too-small", markup=False)

    def on_mount(self) -> None:
        """Takes a person's settings."""
        self.watch_files()
        settings = self._settings
        for pane in self.panes:
            pane.prefer(precision=settings.precision, scientific=settings.scientific, heat=settings.heatmap)
        self.mounted.set()

    @property
    def panes(self) -> list[ValuesPane]:
        """Values and gradient."""
        return [self.query_one("#values", ValuesPane), self.query_one(GradientPane)]

    @property
    def opened(self) -> Opened | None:
        """What is shown, once it is there."""
        return self._opened

    def open(self, opened: Opened, at: str | None = None, index: str | None = None) -> None:
        """Shows a target, from its first row or from one that is named, and there from an index.

        Of the one that is on screen already those blocks stay open that are.
        """
        if self._opened is not None and self._opened.listing.target == opened.listing.target:
            opened.view.expand_as(self._opened.view)
        if self.asking:
            self.close_prompt()
        self.drop_work()
        self.drop_scan()
        self._opened = opened
        self.forget_places()
        self._target = opened.listing.target
        # Each change of classes styles the whole screen anew.
        self.add_class("-open", *(["-gradients"] if opened.has_gradients else ()))
        self.remove_class("-failed", *(() if opened.has_gradients else ["-gradients"]))
        self.query_one(TitleLine).open(opened)
        listing = opened.listing
        tree = self.query_one(TreePane)
        self._open_panes(opened)
        with self.prevent(TreePane.Moved, TreePane.Jumped):
            tree.open(opened)
            self.set_focus(tree)
            if at is not None:
                self.go_to_name(at)
        self._show_row(tree.row)
        if index is not None:
            self.go_to_index(index)
        self.show_keys()
        self.set_timer(EXPLORE, self.explore_ties)
        self.set_timer(EXPLORE, self.explore_folds)
        self.set_timer(EXPLORE, self.recall_figures)
        weights = listing.live.weights if listing.live is not None else None
        if weights is not None:
            advice = f"; W loads {weights.proposal}, which fits better" if weights.proposal else ""
            self.say(weights.words + advice)

    def _open_panes(self, opened: Opened) -> None:
        self.query_one(DistributionPane).open(opened)
        for pane in self.panes:
            pane.open(opened)

    def _show_row(self, row: int) -> None:
        self.query_one(DistributionPane).show_row(row)
        for pane in self.panes:
            pane.show_row(row)

    async def replace_listing(self, changed: Collection[int] = ()) -> None:
        """Shows the same target after its names or facts have changed; what was open stays open.

        Args:
            changed: Tensors whose numbers are not what they were, by their ids now.
        """
        before = self._opened
        if before is None:
            return
        opened = await asyncio.to_thread(prepare, before.source)
        tree = self.query_one(TreePane)
        row, names = tree.row, before.tree.names()
        opened.view.expand_as(before.view)
        await carry_folds(before, opened)
        opened.ties_shown = before.ties_shown
        opened.figure_shown, opened.figure_order = before.figure_shown, before.figure_order
        if opened.ties_shown:
            await asyncio.to_thread(lambda: opened.tie_rows)
        marked = opened.tree.find(names[before.marked]) if before.marked >= 0 else []
        opened.marked = marked[0] if marked else -1
        self._opened = opened
        self.carry_figures(before, opened, set(changed))
        self.query_one(TitleLine).open(opened)
        self._open_panes(opened)
        found = opened.tree.find(names[row]) if row >= 0 else []
        with self.prevent(TreePane.Moved, TreePane.Jumped):
            tree.open(opened)
            if found:
                tree.go_to_row(found[0])
        self._show_row(tree.row)

    def say(self, words: str) -> None:
        """A sentence in place of the keys, until the next key."""
        self.query_one(KeyLine).say(words)

    @on(Said)
    def _said(self, event: Said) -> None:
        self.say(event.words)

    @property
    def said(self) -> str:
        """The sentence in place of the keys; empty for none."""
        return self.query_one(KeyLine).said

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key of the screen counts: while a line is typed, none does; on a cell, / divides."""
        return not (self.asking or (action == "find" and self.on_cells))

    def on_key(self) -> None:
        """What was said has been read."""
        self.query_one(KeyLine).say("")

    # Sizes

    def on_resize(self, event: events.Resize) -> None:
        """Two panes where there is room, one at a time where not."""
        width, height = event.size
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "-tiny")
        self.set_class(width < NARROW, "-narrow")
        self.set_class(width < NARROW or height < SHORT, "-tabs")
        self.query_one(TitleLine).refresh()
        self._arrange()

    @property
    def narrow(self) -> bool:
        """Whether the tree and the values take turns."""
        return self.has_class("-narrow")

    def _arrange(self) -> None:
        self.set_class(self._values_fill, "-values")
        for panel in ("gradient", "distribution"):
            self.set_class(self._panel == panel, f"-{panel}")
        self.query_one(TabLine).show_panel(self._panel)
        self.show_keys()

    def on_descendant_focus(self) -> None:
        """The keys are those of the pane in focus."""
        if isinstance(self.focused, ValuesPane | TreePane | DistributionPane):
            self._values_fill = not isinstance(self.focused, TreePane)
            if self._values_fill:
                self._panel = self.focused.id or self._panel
            self._arrange()

    @property
    def place(self) -> str:
        """The place in the table of actions that has the focus."""
        if isinstance(self.focused, DistributionPane):
            return "distribution"
        return "values" if isinstance(self.focused, ValuesPane) else "tree"

    def show_keys(self) -> None:
        """Shows the keys that count here."""
        line = self.query_one(KeyLine)
        if self._opened is not None:
            can = {
                "model": self._opened.model,
                "edit": self._opened.editor,
                "ties": self._opened.ties or None,
            }
            line.show_keys(
                self.place,
                "screen",
                "app",
                full=self._can_leave,
                can=frozenset(word for word, source in can.items() if source is not None),
                cells=self.on_cells,
            )
        else:
            line.show_keys("app")

    # Between the panes

    @on(TreePane.Moved)
    def _moved(self, event: TreePane.Moved) -> None:
        self._show_row(event.row)

    @on(TreePane.Jumped)
    def _jumped(self, event: TreePane.Jumped) -> None:
        # While a name is typed the cursor runs ahead; where it ends up is what was visited.
        if not self.asking:
            self.visited(event.before, event.row)

    @on(TreePane.Chosen)
    def _chosen(self) -> None:
        self.to_values()

    @on(ValuesPane.Left)
    def _left(self) -> None:
        self.to_tree()

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        self.action_panel(event.panel)

    def to_values(self) -> None:
        """Gives the keys to the values."""
        self.visited(self.query_one(TreePane).row)
        # A hidden widget cannot take the focus: it is shown first.
        self._values_fill = True
        if self.has_class("-tabs"):
            self._panel = "values"
        self._arrange()
        self.set_focus(self.query_one("#values"))

    def to_tree(self) -> None:
        """Gives the keys to the tree."""
        self.query_one("#values", ValuesPane).leave_cells()
        self._values_fill = False
        self._panel = "values"
        self._arrange()
        tree = self.query_one(TreePane)
        self.set_focus(tree)
        # From the page about the file, back to that of the row.
        self._show_row(tree.row)

    @property
    def _can_leave(self) -> bool:
        return (self.narrow and self._values_fill) or self.place == "distribution"

    def leave(self) -> bool:
        """Goes back from values that fill the screen, or the distribution; False if nothing is left."""
        if self._can_leave:
            self.to_tree()
            return True
        return False

    def action_other_pane(self) -> None:
        """Moves from the tree to the values, the gradient where there is one, the distribution, and back."""
        if self._opened is None:
            return
        self.say("")
        if self.place == "tree":
            self.to_values()
        elif self.has_class("-gradients") and self.focused is self.query_one("#values"):
            self.action_panel("gradient")
        elif self.place == "values":
            self.action_panel("distribution")
        else:
            self.to_tree()

    def action_panel(self, panel: str) -> None:
        """Moves to one of the panels, which is shown alone where they take turns."""
        if self._opened is None:
            return
        if panel == "values" and not self.has_class("-tabs"):
            self.to_values()
            return
        if self.has_class("-tabs"):
            self._panel = panel
        self._values_fill = True
        self._arrange()
        self.set_focus(self.query_one(f"#{panel}"))

    @property
    def blank(self) -> bool:
        """Whether nothing was opened yet, nor failed to open."""
        return self._opened is None and not self._target

    def action_stop(self) -> None:
        """Stops what runs, else waits no longer for a target."""
        if not (self.stop_scan() or self.stop_running()):
            app: ParamtuiApp = self.app  # type: ignore[assignment]
            app.stop_opening()

    async def action_output(self) -> None:
        """Shows what the model's code has printed."""
        app: ParamtuiApp = self.app  # type: ignore[assignment]
        await app.show_output()

    def action_about(self) -> None:
        """Shows what is known about the file as a whole."""
        if self._opened is not None:
            self._show_row(-1)
            self.to_values()
