"""The command palette: jumps to any tensor, and does anything that has a key."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Provider

from paramtui.core.search import Query
from paramtui.core.text import safe_text
from paramtui.tui.actions import ACTIONS, Action

if TYPE_CHECKING:
    from textual.command import Hits

    from paramtui.tui.app import ParamtuiApp

MAX_HITS = 50
# A palette that lists itself, and moves that are shorter by key.
_LEFT_OUT = ("palette", "up", "down", "left", "right")


def _about(place: int) -> str:
    """What an action does; the first of a pair is described beside the second."""
    while not ACTIONS[place].description:
        place += 1
    return ACTIONS[place].description


class EverythingProvider(Provider):
    """Names of the opened target first, then actions."""

    @property
    def _app(self) -> ParamtuiApp:
        return self.app  # type: ignore[return-value]

    def _actions(self) -> list[tuple[Action, str]]:
        return [
            (action, _about(place)) for place, action in enumerate(ACTIONS) if action.slug not in _LEFT_OUT
        ]

    def _line(self, action: Action) -> Text:
        line = Text(action.slug.replace("-", " ").capitalize())
        line.append(
            f"   {action.place if action.place != 'app' else ''} {self._app.keys.shown(action)}", "dim"
        )
        return line

    async def discover(self) -> Hits:
        """All actions."""
        for action, about in self._actions():
            yield DiscoveryHit(
                self._line(action), partial(self._app.do, action), text=action.slug, help=about
            )

    async def search(self, query: str) -> Hits:
        """Names and actions that match."""
        wanted = Query.parse(query)
        if wanted is None:
            return
        opened = self._app.browser.opened
        if opened is not None:
            for rank, row in enumerate(opened.finder.ranked(wanted, MAX_HITS)):
                name = opened.tree.name(row)
                shown = Text(safe_text(name))
                if shown.plain == name:
                    for first, last in wanted.spans(name):
                        shown.stylize("bold underline", first, last)
                jump = partial(self._app.browser.jump, row)
                yield Hit(1 - rank / 1000, shown, jump, text=safe_text(name))
        words = query.lower().split()
        for action, about in self._actions():
            text = f"{action.slug.replace('-', ' ')} {about}".lower()
            if all(word in text for word in words):
                yield Hit(
                    0.5, self._line(action), partial(self._app.do, action), text=action.slug, help=about
                )
