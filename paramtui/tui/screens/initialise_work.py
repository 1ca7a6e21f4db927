"""What the dialog for initialising asks an editor: what there is, what it refuses, what would come of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from textual import work

from paramtui.core.edits import ApplyFunction
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError, RunStoppedError
from paramtui.tui.preview_lines import first_picks

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.core.edits import Edit
    from paramtui.core.source import Editor, Preview
    from paramtui.tui.initialise_form import Form, Remembered
    from paramtui.tui.initialise_outlook import Outlook
    from paramtui.tui.opened import Opened
    from paramtui.tui.screens.dialog import Dialog

    _Base = Dialog[Edit | None]
else:
    _Base = object

# Work that takes longer is announced.
PATIENCE: Final = 0.3
TICK: Final = 0.15
# Below so many tensors a form is worked out at once.
FEW: Final = 3000
MAX_TRIALS: Final = 64
_SPINNER: Final = "|/-\\"


class InitialiseWork(_Base):
    """Needs the form, and ways to draw, of the screen that it is mixed into."""

    remembered: Remembered | None
    outlook: Outlook | None = None
    preview: tuple[Edit, Preview] | None = None
    # What is waited for, since when, and whether it was asked to stop.
    _awaited: str = ""
    _since: float = 0.0
    _stopping: bool = False
    # What went wrong last; goes when the form changes.
    _said: str = ""
    _failed: bool = False
    # Enter was pressed before the catalogue was there.
    wanted: bool = False

    if TYPE_CHECKING:
        _opened: Opened
        _editor: Editor
        _row: int
        form: Form
        gather: Callable[[], None]
        draw: Callable[[], None]
        draw_problem: Callable[[], None]
        fill_list: Callable[[], None]
        show_options: Callable[[], None]
        typed_again: Callable[[], None]

        @property
        def body_width(self) -> int:
            """Cells of a line."""
            raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        # An engine answers one question at a time; what is cancelled leaves no other waiting.
        self._trial = asyncio.Lock()

    # The catalogue

    @work(group="catalogue", exclusive=True)
    async def load_catalogue(self) -> None:
        """Asks which initialisers there are."""
        self._failed, self._said = False, ""
        try:
            catalogue = await self._editor.catalogue()
        except ParamtuiError as error:
            self._failed, self._said = True, f"{error}: enter tries again"
            self.wanted = False
            self.fill_list()
            self.draw()
            return
        self.gather()
        self.form.take_catalogue(catalogue)
        self.fill_list()
        self.show_options()
        # The typed text chooses now that there is something to choose from.
        self.typed_again()
        self.look()
        if self.wanted:
            self.wanted = False
            self.carry_out(interrupts=False)

    # What the form amounts to

    @work(group="look", exclusive=True)
    async def look(self) -> None:
        """Works out what the form amounts to, and shows it."""
        await self._look()
        self.try_out()

    async def _look(self) -> None:
        filled = self.form.fill()
        outlooks = self.form.outlooks
        if self._opened.tree.tensors[self.form.row] < FEW:
            outlook = outlooks.of(filled)
        else:
            # While names are typed quickly, only the last one counts.
            await asyncio.sleep(0.03)
            outlook = await asyncio.to_thread(outlooks.of, filled)
        self.outlook = outlook
        if self.preview is not None and outlook.edit != self.preview[0]:
            self.preview = None
        self.draw()

    @work(group="trial")
    async def try_out(self) -> None:
        """Tries what is not known yet on small tensors; the form stays usable."""
        if not self._trial.locked():
            await self._tried()

    async def _tried(self) -> None:
        async with self._trial:
            try:
                while self.outlook is not None and self.outlook.asked:
                    asked = self.outlook.asked[:MAX_TRIALS]
                    self.form.outlooks.learn(asked, await self._editor.trial(asked))
                    await self._look()
            except ParamtuiError as error:
                self._said = str(error)
                self.draw_problem()

    async def _settled(self) -> Edit | None:
        """The edit, after all that speaks against it has been tried; without one, says why."""
        self.gather()
        await self._look()
        if self.outlook is not None and self.outlook.asked:
            self._wait_for(f"trying {self._chosen_name()}")
            try:
                await self._tried()
            finally:
                self._wait_for("")
        if self.outlook is not None and self.outlook.edit is not None and not self.outlook.asked:
            return self.outlook.edit
        self.add_class("-refused")
        return None

    # Doing

    @work(group="do", exclusive=True)
    async def carry_out(self, *, interrupts: bool) -> None:
        """Leaves with the edit, or says why there is none.

        Args:
            interrupts: Stop a preview that still runs.
        """
        if interrupts:
            await self._editor.interrupt()
        edit = await self._settled()
        if edit is not None:
            self.remembered = self.form.remembered()
            self.dismiss(edit)

    @work(group="do", exclusive=True)
    async def try_preview(self) -> None:
        """Shows what the edit would do."""
        edit = await self._settled()
        if edit is None:
            return
        tensor = self._looked_at()
        picks = first_picks(self._opened, tensor, self.body_width) if tensor is not None else ()
        self._said = ""
        self._wait_for(f"previewing {self._chosen_name()}")
        try:
            preview = await self._editor.preview(edit, tensor, picks)
        except RunStoppedError:
            self._said = "the preview was stopped"
        except ParamtuiError as error:
            self._said = str(error)
        else:
            self._took(edit, preview)
        finally:
            self._wait_for("")
        self.draw()

    def _took(self, edit: Edit, preview: Preview) -> None:
        # The form may have been changed meanwhile.
        if self.outlook is not None and self.outlook.edit == edit:
            self.preview = edit, preview
        for tensor, (before, _) in preview.summaries.items():
            if before.std is not None:
                self.form.known_std[tensor] = before.std

    def _chosen_name(self) -> str:
        return safe_text(self.form.chosen.name, 60) if self.form.chosen is not None else ""

    def _looked_at(self) -> int | None:
        """The tensor whose numbers are shown: the one under the cursor, or the first that changes."""
        tree, outlook = self._opened.tree, self.outlook
        if outlook is None:
            return None
        if isinstance(outlook.edit, ApplyFunction):
            tensors = tree.tensors_below(self.form.row)
        else:
            tensors = [target.tensor for target in outlook.plan.targets] if outlook.plan is not None else []
        own = tree.tensor[self._row]
        if own in tensors:
            return own
        shapes = self._opened.listing.shape
        return next((tensor for tensor in tensors if None not in shapes[tensor]), None)

    # Waiting

    @property
    def awaited(self) -> str:
        """What is waited for, with a spinner and seconds; empty while it is not worth telling."""
        waited = time.monotonic() - self._since
        if not self._awaited or waited < PATIENCE:
            return ""
        if self._stopping:
            return f"stopping {self._awaited}...  esc again leaves"
        return f"{_SPINNER[int(waited / TICK) % len(_SPINNER)]} {self._awaited}... {waited:.0f} s  esc stops"

    @property
    def busy(self) -> bool:
        """Whether something is waited for."""
        return bool(self._awaited)

    def _wait_for(self, words: str) -> None:
        self._awaited, self._since, self._stopping = words, time.monotonic(), False
        self.draw_problem()

    @work(group="interrupt", exclusive=True)
    async def stop(self) -> None:
        """Asks what runs to stop."""
        self._stopping = True
        self.draw_problem()
        await self._editor.interrupt()
