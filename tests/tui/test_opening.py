"""Start screen, other targets, waiting for them, settings, themes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.errors import OpeningStoppedError
from paramtui.tui.app import ParamtuiApp
from paramtui.tui.home import Home, Offer, Section
from paramtui.tui.screens.open import OpenScreen
from paramtui.tui.settings import Settings
from tests.tui.screens import Looker, looking_at, open_file

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from paramtui.core.source import Reader, Watch
    from tests.conftest import Save


def home(*offers: Offer, opened: list[str] | None = None) -> Home:
    sections = (
        Section("Opened lately", lambda: (), "nothing yet"),
        Section("Samples", lambda: offers, "none"),
    )
    return Home(sections, (opened if opened is not None else []).append)


def listed(app: ParamtuiApp) -> list[str]:
    screen = app.screen
    assert isinstance(screen, OpenScreen)
    return [offer.label for offer in screen._shown.values()]


async def until(pilot: Pilot[None], condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await pilot.pause()


async def test_without_a_target_the_start_screen_offers_some_and_opens_one(save: Save) -> None:
    path = save({"w": torch.ones(2)})
    opened: list[str] = []
    offers = home(Offer("/none", "other", "teaches"), Offer(str(path), "mine", "teaches"), opened=opened)
    app = ParamtuiApp(None, open_file, home=offers)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, OpenScreen) and listed(app) == ["other", "mine"])
        looker = Looker(app, pilot)
        await until(
            pilot, lambda: all(words in "\n".join(looker.screen()) for words in ("nothing yet", "teaches"))
        )
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.browser.has_class("-open"))
        await until(pilot, lambda: opened == [str(path)])


async def test_leaving_the_start_screen_ends_the_program() -> None:
    app = ParamtuiApp(None, open_file, home=home())
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, OpenScreen))
        await pilot.press("q")
        await until(pilot, lambda: app.return_code is not None)
    assert app.return_code == 0


async def test_typing_narrows_the_offers_and_a_path_is_opened(save: Save) -> None:
    path = save({"w": torch.ones(2)})
    app = ParamtuiApp(None, open_file, home=home(Offer("/a", "perceptron"), Offer("/b", "transformer")))
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, OpenScreen) and len(listed(app)) == 2)
        await pilot.press("slash", *"percep")
        await until(pilot, lambda: listed(app) == ["perceptron"])
        await pilot.press("escape")
        await until(pilot, lambda: len(listed(app)) == 2)
        line: Any = app.screen.query_one("#open-line")
        await pilot.press("slash")
        line.value = str(path)
        await pilot.press("enter")
        await until(pilot, lambda: app.browser.has_class("-open"))


async def test_a_path_is_completed_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "well.pt").touch()
    from paramtui.tui.screens.open import _completed

    assert _completed(f"{tmp_path}/wei") == f"{tmp_path}/weights/"
    assert _completed(f"{tmp_path}/wel") == f"{tmp_path}/well.pt"
    assert _completed(f"{tmp_path}/x") is None


async def test_another_target_is_opened_without_leaving(save: Save) -> None:
    first, second = save({"a": torch.ones(1)}), save({"b": torch.ones(1)})
    async with looking_at(first, home=home(Offer(str(second), "second"))) as looker:
        await looker.pilot.press("o")
        await looker.until(lambda: isinstance(looker.app.screen, OpenScreen) and listed(looker.app))
        await looker.pilot.press("enter")
        await looker.until(lambda: looker.at().split()[1] == "b")
        assert second.name in looker.title()


async def test_a_target_that_fails_leaves_what_was_shown(save: Save) -> None:
    async with looking_at(save({"a": torch.ones(1)}), home=home(Offer("/not/there.pt", "gone"))) as looker:
        await looker.pilot.press("o")
        await looker.until(lambda: isinstance(looker.app.screen, OpenScreen) and listed(looker.app))
        await looker.pilot.press("enter")
        await looker.until(lambda: "no such file" in looker.footer().lower())
        assert "a" in looker.at()
        await looker.pilot.press("q")
    assert looker.app.return_code == 0


async def test_the_first_rows_are_painted_before_the_shards_are_read_and_progress_is_told(
    tmp_path: Path,
) -> None:
    weight_map: dict[str, str] = {}
    for number in range(3):
        name = f"model-{number}.safetensors"
        save_file(
            {f"block{number}.weight": torch.zeros(2), f"block{number}.bias": torch.zeros(2)}, tmp_path / name
        )
        weight_map |= {f"block{number}.weight": name, f"block{number}.bias": name}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow:
        """Waits at the first shard."""

        def __init__(self, watch: Watch) -> None:
            self.watch = watch

        def outline(self, names: Any) -> None:
            self.watch.outline(names)

        def told(self, kind: str, words: str) -> None:
            self.watch.told(kind, words)

        def progress(self, done: int, total: int, noun: str) -> None:
            self.watch._told = -10.0  # type: ignore[attr-defined]
            self.watch.progress(done, total, noun)
            if done == 1:
                asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()

    async def opener(target: str, watch: Watch) -> Reader:
        return await asyncio.to_thread(open_checkpoint, target, Slow(watch))

    app = ParamtuiApp(str(index), opener)
    async with app.run_test(size=(80, 24)) as pilot:
        looker = Looker(app, pilot)
        await looker.until(lambda: "shard 2 of 3" in looker.title())
        text = "\n".join(looker.screen())
        for number in range(3):
            assert f"▸ block{number}  2 tensors" in text
        gate.set()
        await looker.until(lambda: app.browser.has_class("-open"))
        assert "6 tensors" in looker.title()


async def test_waiting_for_a_target_can_be_stopped(save: Save) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless(watch: Watch) -> None:
        loop.call_soon_threadsafe(started.set)
        try:
            while True:
                watch.progress(0, 9, "shard")
        except OpeningStoppedError:
            loop.call_soon_threadsafe(stopped.set)
            raise

    async def opener(target: str, watch: Watch) -> Reader:
        await asyncio.to_thread(endless, watch)
        raise AssertionError

    app = ParamtuiApp("slow.pt", opener)
    async with app.run_test(size=(80, 24)) as pilot:
        looker = Looker(app, pilot)
        await started.wait()
        await pilot.press("escape")
        await asyncio.wait_for(stopped.wait(), 20)
        await looker.until(lambda: "stopped" in "".join(looker.screen()))


async def test_a_mistake_in_the_settings_is_shown_and_does_not_stop_anything(save: Save) -> None:
    settings = Settings(problems=("config.toml: [theme] is wrong",), keys={"tree.down": "q"})
    async with looking_at(save({"a": torch.ones(1)}), settings=settings) as looker:
        (toast,) = looker.app._notifications
        assert "[theme] is wrong" in toast.message
        assert "q is the key of app.leave" in toast.message
        assert looker.at()


async def test_a_person_s_own_keys_work_and_are_the_ones_shown(save: Save) -> None:
    settings = Settings(keys={"tree.down": "Q", "screen.find": "f4"})
    async with looking_at(save({"a": torch.ones(1), "b": torch.ones(1)}), settings=settings) as looker:
        await looker.press("Q")
        assert looker.at().split()[1] == "b"
        await looker.press("k", "down")
        assert looker.at().split()[1] == "a"
        assert "f4 find" in looker.footer().lower()
        await looker.press("f4")
        assert looker.app.browser.asking


@pytest.mark.parametrize("theme", ["dark", "light", "ansi"])
@pytest.mark.parametrize("colour", [True, False])
async def test_every_theme_can_be_read_with_and_without_colour(
    save: Save, theme: str, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    async with looking_at(save({"a": torch.ones(2)}), settings=Settings(theme=theme)) as looker:
        assert looker.app.current_theme.dark == (theme != "light")
        await looker.press("v", "f", "question_mark")
        for line in looker.app.screen._compositor.render_strips():
            for text, style, _ in line:
                if text.strip() and style and style.color and style.bgcolor and not style.reverse:
                    ink, paper = style.color, style.bgcolor
                    assert ink != paper or ink.is_default, (text, style)


async def test_f2_goes_through_the_themes(save: Save) -> None:
    async with looking_at(save({"a": torch.ones(2)})) as looker:
        seen = [looker.app.theme]
        for _ in range(3):
            await looker.press("f2")
            seen.append(looker.app.theme)
        assert seen == ["textual-dark", "textual-light", "ansi-dark", "textual-dark"]


async def test_over_ssh_nothing_is_animated(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "1.2.3.4 5 6.7.8.9 22")
    async with looking_at(save({"a": torch.ones(2)})) as looker:
        assert looker.app.animation_level == "none"
    monkeypatch.delenv("SSH_CONNECTION")
    async with looking_at(save({"a": torch.ones(2)}), settings=Settings(animation=False)) as looker:
        assert looker.app.animation_level == "none"
