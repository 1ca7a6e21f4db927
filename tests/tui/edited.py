"""What the tests of changes share: an app on a checkpoint that can be changed, and fast fingers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from textual.events import Key
from textual.keys import _character_to_key

from paramtui.opening import TargetOpener
from tests.tui.screens import WIDE, Looker, looking_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from paramtui.core.source import Reader, Watch


@asynccontextmanager
async def editing(
    path: Path, size: tuple[int, int] = WIDE, *, wrap: Callable[[Any], Reader] | None = None, **options: Any
) -> AsyncIterator[Looker]:
    """The app on a checkpoint that can be changed; `wrap` may put something between."""
    opener = TargetOpener()

    async def opened(target: str, watch: Watch) -> Reader:
        source = await opener(target, watch)
        return wrap(source) if wrap is not None else source

    async with looking_at(path, size, opener=opened, **options) as looker:
        yield looker


async def burst(looker: Looker, *keys: str) -> None:
    """Presses keys so fast that all are there before the first has been dealt with."""
    for key in keys:
        typed_key = Key(_character_to_key(key), key) if len(key) == 1 else Key(key, None)
        looker.app.post_message(typed_key)
    await looker.pilot.pause()


async def typed(looker: Looker, text: str) -> None:
    """Types letters, until the line has taken them."""
    await burst(looker, *text)
    prompt = "#prompt-line"
    await looker.until(lambda: looker.app.screen.query(prompt))
    await looker.until(lambda: looker.app.screen.query_one(prompt).value == text)  # type: ignore[attr-defined]
    await looker.pilot.pause()


async def done(looker: Looker, changes: int) -> None:
    """Waits until so many changes count and the screen shows it."""
    words = "clean" if not changes else f"{changes} change{'s' if changes > 1 else ''}"
    await looker.until(lambda: words in looker.title() and not looker.app.browser.busy)
    await looker.settle()


def said(looker: Looker) -> str:
    """The sentence in place of the keys."""
    return looker.app.browser.said


def line_notes(looker: Looker) -> list[str]:
    """What stands below the line that is typed."""
    return [line.strip() for line in looker.screen()[-2:]]
