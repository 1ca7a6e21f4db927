"""What tests of the dialog for initialising share: a small file, a form on it, and somebody at the dialog."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import torch
from textual import events
from textual.app import App
from textual.widgets import OptionList, Static

from paramtui.core.catalogue import Catalogue
from paramtui.core.edits import Initialise
from paramtui.tui.initialise_form import Form, Remembered
from paramtui.tui.initialise_lines import code_lines, target_lines
from paramtui.tui.opened import prepare
from paramtui.tui.screens.initialise import InitialiseScreen
from tests.tui.fake_editor import GAINS, INITIALIZERS, FakeEditor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from paramtui.core.edits import Edit
    from paramtui.tui.initialise_outlook import Outlook
    from tests.conftest import Save

SMALL, WIDE, HUGE, TINY = (80, 24), (120, 40), (200, 60), (60, 20)
NOTHING: Any = object()


def small_file(save: Save) -> Path:
    """Two layers, an embedding that shares its memory, a buffer, and what cannot be initialised."""
    torch.manual_seed(0)
    tied = torch.randn(10, 8)
    state = {
        "0.weight": torch.randn(8, 4),
        "0.bias": torch.randn(8),
        "1.weight": torch.ones(8),
        "1.bias": torch.zeros(8),
        "1.running_mean": torch.zeros(8),
        "embed.weight": tied,
        "head.weight": tied,
        "head.locked": torch.randn(3),
        "steps": torch.arange(3),
    }
    return save({"model": state})


class Made:
    """A form on a row of a file, and its editor."""

    def __init__(self, path: Path, name: str = "model", remembered: Remembered | None = None) -> None:
        self.editor = FakeEditor(path)
        self.opened = prepare(self.editor)
        (row,) = self.opened.tree.find(name)
        self.form = Form(self.opened, self.editor, row, remembered)
        self.form.take_catalogue(Catalogue(INITIALIZERS, dict(GAINS), (), {}))

    def choose(self, name: str, **texts: str) -> None:
        self.form.chosen = next(each for each in INITIALIZERS if each.name == name)
        self.form.texts("weights", self.form.chosen).update(texts)

    async def outlook(self) -> Outlook:
        """What it amounts to when all has been tried."""
        outlook = self.form.outlooks.of(self.form.fill())
        if outlook.asked:
            self.form.outlooks.learn(outlook.asked, await self.editor.trial(outlook.asked))
            outlook = self.form.outlooks.of(self.form.fill())
        assert not outlook.asked
        return outlook

    async def steps(self) -> dict[str, str]:
        """The calls of the edit, by the names of tensors."""
        edit = (await self.outlook()).edit
        assert isinstance(edit, Initialise)
        return {step.tensor: step.call.text for step in edit.steps}

    async def lines(self, width: int = 100) -> list[str]:
        outlook = await self.outlook()
        return [line.plain for line in target_lines(self.opened, outlook, self.form.known_std, width)]

    async def code(self) -> list[str]:
        return code_lines(self.opened, await self.outlook())


class Person:
    """Somebody at the dialog."""

    def __init__(
        self, app: App[None], pilot: Pilot[None], editor: FakeEditor, dialog: InitialiseScreen
    ) -> None:
        self.app, self.pilot, self.editor, self.dialog = app, pilot, editor, dialog
        self.result: Edit | None = NOTHING

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        """Pastes, which is typing in one go."""
        self.app.post_message(events.Paste(text))
        await self.settle()

    async def settle(self) -> None:
        """Waits until all that can be known is shown."""
        await self.pilot.pause()
        dialog = self.dialog
        if self.editor.gate.is_set() and self.result is NOTHING:
            await self.until(
                lambda: (
                    self.result is not NOTHING
                    or (dialog.outlook is not None and not dialog.outlook.asked and not dialog.busy)
                )
            )
        await self.pilot.pause()

    def lines(self) -> list[str]:
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        return "\n".join(self.lines())

    def said(self, query: str) -> str:
        return str(self.dialog.query_one(query, Static).content)

    def chosen(self) -> str:
        """The highlighted line of the list."""
        chooser = self.dialog.query_one(OptionList)
        assert chooser.highlighted is not None
        return str(chooser.get_option_at_index(chooser.highlighted).prompt).split()[0]

    async def tab_to(self, id_: str) -> None:
        for _ in range(30):
            if self.dialog.focused is not None and self.dialog.focused.id == id_:
                return
            await self.pilot.press("tab")
        raise AssertionError(id_)


@asynccontextmanager
async def at_dialog(
    path: Path,
    name: str = "model",
    *,
    size: tuple[int, int] = SMALL,
    remembered: Remembered | None = None,
    prepare_editor: Callable[[FakeEditor], None] = lambda _: None,
) -> AsyncIterator[Person]:
    app: App[None] = App()
    async with app.run_test(size=size) as pilot:
        editor = FakeEditor(path)
        prepare_editor(editor)
        opened = prepare(editor)
        (row,) = opened.tree.find(name)
        dialog = InitialiseScreen(opened, editor, row, remembered)
        person = Person(app, pilot, editor, dialog)

        def done(result: Edit | None) -> None:
            person.result = result

        await app.push_screen(dialog, done)
        if editor.catalogue_gate.is_set() and editor.catalogue_failure is None:
            await person.until(lambda: dialog.form.catalogue is not None)
        await person.settle()
        yield person


def steps(edit: Edit | None) -> dict[str, str]:
    assert isinstance(edit, Initialise)
    return {step.tensor: step.call.text for step in edit.steps}
