"""Looks at all tensors of a target at one key, keeps what was found, and goes to what is remarkable."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from textual import work

from paramtui.core.dtypes import DTYPES
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError, ValuesError
from paramtui.tui.opened import ability, norm_text
from paramtui.tui.pages import counted, row_title
from paramtui.tui.widgets.distribution_pane import DistributionPane
from paramtui.tui.widgets.lines import TitleLine
from paramtui.tui.widgets.page_view import PageView
from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from textual.screen import Screen

    from paramtui.core.statistics import Statistics
    from paramtui.core.tree import Tree
    from paramtui.tui.opened import Opened

    _Base = Screen[None]
else:
    _Base = object

# Seconds between two looks at what has come.
TICK: Final = 0.2
# Cells of the title for how far it is, and at least for the name of the target before it.
ROOM: Final = 56
NAME_ROOM: Final = 40
# Figures that are taken at once.
PIECE: Final = 2000


class _Scan:
    """One look at all tensors; what comes from other threads waits here."""

    def __init__(self, opened: Opened, tensors: list[int]) -> None:
        from paramtui.tui.editing.progress import Progress

        self.opened = opened
        self.tensors = tensors
        self.progress = Progress(end="the last ones…")
        self.came: list[tuple[int, Statistics | ValuesError]] = []
        # Numbers that were changed meanwhile: what comes of them may be of before.
        self.changed: set[int] = set()

    def found(self, tensor: int, result: Statistics | ValuesError) -> None:
        """From any thread."""
        self.came.append((tensor, result))

    def take(self) -> bool:
        """Moves what has come into the store; False for nothing."""
        came, self.came = self.came, []
        for tensor, result in came:
            if self.changed.isdisjoint(self.opened.figures.names(tensor)):
                self.opened.figures.add(tensor, result)
        return bool(came)


class ScanningMixin(_Base):
    """Needs `opened` and `say` of the screen that it is mixed into."""

    _scan: _Scan | None = None
    _identity: str = ""
    # Of which tree how many rows are marked.
    _marked: tuple[Tree | None, int] = None, 0
    # By what was gone to a row last, and to which.
    _ranked: tuple[str, int] = "", -1
    # Rows in order, by what they are ranked and of which revision of the figures.
    _ranks: tuple[str, int, list[int]] = "", -1, []

    if TYPE_CHECKING:

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

        say: Callable[[str], None]

    @property
    def scanning(self) -> bool:
        """Whether all tensors are being looked at."""
        return self._scan is not None

    def action_scan(self) -> None:
        """Looks at all tensors that are not known yet."""
        opened = self.opened
        if opened is None:
            return
        if ability(opened.source, "scan") is None:
            self.say("this source has no statistics")
        elif self._scan is not None:
            self.say("all tensors are being looked at already: esc stops")
        else:
            unknown = opened.figures.unknown()
            if unknown:
                self._scan = _Scan(opened, unknown)
                self._look(self._scan)
            else:
                self.say(summary(opened))

    @work(group="scan", exclusive=True)
    async def _look(self, scan: _Scan) -> None:
        look = ability(scan.opened.source, "scan")
        if look is None:
            return
        ticker = self.set_interval(TICK, lambda: self._tick(scan))
        words = ""
        try:
            await look(scan.tensors, scan.found, progress=scan.progress.told)
        except ParamtuiError as error:
            words = str(error)
        finally:
            ticker.stop()
            self._tick(scan)
            if self._scan is scan:
                self._scan = None
            for tree in self.query(TreePane):
                tree.figures_known()
            for title in self.query(TitleLine):
                title.running("")
        if self.opened is scan.opened and self.query(TreePane):
            self.say(words or summary(scan.opened))
            await asyncio.to_thread(self._store, scan.opened)

    def _tick(self, scan: _Scan) -> None:
        if self.opened is not scan.opened or not self.query(TreePane):
            return
        if scan.take():
            self.figures_changed()
        if self._scan is scan and not getattr(self, "busy", ""):
            room = min(ROOM, self.size.width - NAME_ROOM)
            self.query_one(TitleLine).running(f"{scan.progress.line(room)}  esc stops")

    def figures_changed(self) -> None:
        """Draws what depends on figures, where that has changed: keys are waiting meanwhile."""
        opened, tree = self.opened, self.query_one(TreePane)
        if opened is None:
            return
        if self._marked != (opened.tree, len(opened.figures.bad_rows)):
            self._marked = opened.tree, len(opened.figures.bad_rows)
            tree.marks_changed()
        row = tree.row
        if row >= 0 and opened.tree.is_block(row):
            self.query_one(DistributionPane).figures_changed()
            for pane in self.query(PageView):
                pane.row_changed(row)

    def stop_scan(self) -> bool:
        """Stops looking; what was found stays. False if nothing runs."""
        scan = self._scan
        if scan is None:
            return False
        self._scan = None
        self.workers.cancel_group(self, "scan")
        self._tick(scan)
        self.query_one(TreePane).figures_known()
        self.query_one(TitleLine).running("")
        left = len(scan.opened.figures.unknown())
        self.say(f"stopped: {counted(left, 'tensor')} not looked at yet, I goes on")
        self._keep(scan.opened)
        return True

    def drop_scan(self) -> None:
        """Knows nothing any more: the target is gone."""
        self._identity, self._ranked, self._ranks = "", ("", -1), ("", -1, [])
        if self._scan is not None:
            self._scan = None
            self.workers.cancel_group(self, "scan")
            self.query_one(TitleLine).running("")

    def carry_figures(self, before: Opened, opened: Opened, changed: Collection[int]) -> None:
        """Knows of another listing of the same target what stays true; what was looked at goes on.

        Args:
            before: As it was.
            opened: As it is now.
            changed: Tensors of the new one whose numbers are not what they were.
        """
        scan, identity = self._scan, self._identity
        if scan is not None:
            scan.take()
        self.drop_scan()
        self._identity = identity
        old, new = before.listing, opened.listing
        known = {
            old.names[tensor]: (found, old.dtype[tensor], old.shape[tensor])
            for tensor in range(len(old))
            if (found := before.figures.of(tensor)) is not None
        }
        for tensor, name in enumerate(new.names if known else ()):
            found, *kind = known.get(name, (None,))
            if found is not None and kind == [new.dtype[tensor], new.shape[tensor]] and tensor not in changed:
                opened.figures.add(tensor, found)
        if scan is not None:
            self.action_scan()

    def forget_figures(self, tensors: Collection[int]) -> None:
        """Knows nothing of some tensors any more: they have changed."""
        opened = self.opened
        if opened is not None and tensors:
            if self._scan is not None:
                self._scan.changed.update(tensors)
            opened.figures.forget(tensors)

    # What was found before

    @work(group="figures", exclusive=True)
    async def recall_figures(self) -> None:
        """Takes what was found of the same files at another time."""
        opened = self.opened
        if opened is None or opened.listing.live is not None:
            return
        from paramtui.core import figure_cache

        def recalled() -> tuple[str, dict[int, Statistics]]:
            identity = _identity_of(opened)
            return identity, figure_cache.load(identity, len(opened.listing)) if identity else {}

        identity, known = await asyncio.to_thread(recalled)
        if self.opened is not opened or not self.query(TreePane):
            return
        self._identity = identity
        changed = opened.editor.history.changed if opened.editor is not None else ()
        for place, (tensor, found) in enumerate(known.items()):
            if place % PIECE == PIECE - 1:
                # Keys are answered between.
                await asyncio.sleep(0)
            if tensor not in changed and opened.figures.of(tensor) is None:
                opened.figures.add(tensor, found)
        if known and self.opened is opened and self.query(TreePane):
            self.figures_changed()
            self.query_one(TreePane).figures_known()

    @work(group="keep")
    async def _keep(self, opened: Opened) -> None:
        await asyncio.to_thread(self._store, opened)

    def _store(self, opened: Opened) -> None:
        if opened.listing.live is not None:
            return
        from paramtui.core import figure_cache

        # A file that has changed is not read, so that what was found is of what lies there.
        identity = self._identity or _identity_of(opened)
        if not identity:
            return
        changed = set(opened.editor.history.changed) if opened.editor is not None else set()
        known = {
            tensor: found
            for tensor in range(len(opened.listing))
            if tensor not in changed and (found := opened.figures.of(tensor)) is not None
        }
        figure_cache.store(identity, known, opened.listing)

    # What is remarkable

    def action_next_bad(self) -> None:
        """Goes to the next tensor with NaN or infinite numbers."""
        opened = self.opened
        if opened is None:
            return
        rows = opened.figures.bad_rows
        if not rows:
            self._nothing(opened, "no NaN and no infinity is known")
            return
        tree = self.query_one(TreePane)
        at = bisect_right(rows, tree.row) % len(rows)
        row = rows[at]
        tree.go_to_row(row)
        found = opened.figures.of(opened.tree.tensor[row])
        if found is not None:
            self.say(f"NaN {found.nan:,}  Inf {found.inf:,} of {found.numel:,}   {at + 1} of {len(rows):,}")

    def action_next_largest(self) -> None:
        """Goes to the tensor with the largest magnitude, then to the next one down."""
        self._next(
            "largest",
            # Counters and ids are large and no weights.
            lambda found, dtype: (
                None if found.abs_max is None or DTYPES[dtype].family != "float" else (-float(found.abs_max),)
            ),
            lambda found: f"largest magnitude {norm_text(float(found.abs_max or 0))}",
        )

    def action_next_deadest(self) -> None:
        """Goes to the tensor with the largest share of zeros, then least spread, then most elements; on."""
        self._next(
            "deadest",
            lambda found, _: (
                (-found.zero / found.numel, found.std or 0.0, -float(found.numel)) if found.numel else None
            ),
            lambda found: (
                f"zeros {100 * found.zero / (found.numel or 1):.3g} %, std {norm_text(found.std or 0)}"
            ),
        )

    def _next(
        self,
        what: str,
        key: Callable[[Statistics, str], tuple[float, ...] | None],
        words: Callable[[Statistics], str],
    ) -> None:
        opened = self.opened
        if opened is None:
            return
        rows = self._in_rank(opened, what, key)
        if not rows:
            self._nothing(opened, "no figures are known")
            return
        tree = self.query_one(TreePane)
        # The first key goes to the first of all, wherever the cursor is.
        at = (rows.index(tree.row) + 1) % len(rows) if self._ranked == (what, tree.row) else 0
        self._ranked = what, rows[at]
        tree.go_to_row(rows[at])
        found = opened.figures.of(opened.tree.tensor[rows[at]])
        if found is not None:
            self.say(f"{words(found)}   {at + 1:,} of {len(rows):,}{_unknown_words(opened)}")

    def _in_rank(
        self, opened: Opened, what: str, key: Callable[[Statistics, str], tuple[float, ...] | None]
    ) -> list[int]:
        """Rows of what is known, in order; worked out anew once more is known."""
        revision = opened.figures.revision
        if self._ranks[:2] != (what, revision):
            ranked = []
            for row in opened.figures.known_rows():
                found = opened.figures.of(opened.tree.tensor[row])
                rank = (
                    key(found, opened.listing.dtype[opened.tree.tensor[row]]) if found is not None else None
                )
                if rank is not None:
                    ranked.append((rank, row))
            ranked.sort()
            self._ranks = what, revision, [row for _, row in ranked]
        return self._ranks[2]

    def _nothing(self, opened: Opened, words: str) -> None:
        self.say(f"{words}{_unknown_words(opened) or ': all tensors were looked at'}")


def _identity_of(opened: Opened) -> str:
    """What the cache knows the files by, if they are what was opened."""
    from paramtui.core.figure_cache import identity_of

    identity = identity_of(opened.listing)
    # In this order: what is changed between is noticed.
    outdated = ability(opened.source, "outdated")
    return "" if outdated is not None and outdated() else identity


def _unknown_words(opened: Opened) -> str:
    left = len(opened.figures.unknown())
    return f"; {left:,} not looked at yet: I looks at all" if left else ""


def summary(opened: Opened) -> str:
    """What a look at all tensors has come to, in a sentence."""
    figures = opened.figures
    rows = figures.known_rows()
    known = [found for row in rows if (found := figures.of(opened.tree.tensor[row])) is not None]
    bad = sorted(set(rows).intersection(figures.bad_rows))
    parts = []
    if bad:
        first = safe_text(row_title(opened, bad[0]), 60)
        parts.append(f"{len(bad):,} with NaN or Inf (! goes there: {first})")
    zero = sum(0 < found.numel == found.zero for found in known)
    if zero:
        parts.append(f"{zero:,} all zero")
    unreadable = figures.unreadable()
    if unreadable:
        parts.append(f"{unreadable:,} not readable")
    return f"{counted(len(known), 'tensor')} looked at: {', '.join(parts) or 'all numbers finite'}"
