"""The application: opens targets beside the event loop and gives the terminal back on the way out."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import App
from textual.filter import Monochrome

from paramtui.core.output_log import OutputLog
from paramtui.tui.actions import ACTIONS, Keys, bindings, known_keys
from paramtui.tui.ending import EndingMixin
from paramtui.tui.home import Home
from paramtui.tui.key_order import KeyOrderMixin
from paramtui.tui.screens.browse import BrowseScreen
from paramtui.tui.screens.dialog import Question
from paramtui.tui.settings import Settings
from paramtui.tui.targets import TargetsMixin
from paramtui.tui.terminal import ascii_only
from paramtui.tui.widgets.distribution_pane import DistributionPane
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.binding import BindingType
    from textual.command import Provider
    from textual.dom import DOMNode
    from textual.filter import LineFilter
    from textual.screen import Screen

    from paramtui.core.source import Opener
    from paramtui.tui.actions import Action

FAILED = 2
# Nodes of a listing whose tree is built without leaving the screen's thread.
SMALL = 6000
OWN_ACTIONS: Final = frozenset(action.method for action in ACTIONS if action.place == "app")
# A person's words for Textual's themes.
THEMES: Final = {"dark": "textual-dark", "light": "textual-light", "ansi": "ansi-dark"}


class _Threads(ThreadPoolExecutor):
    """Threads that nobody waits for on the way out: a slow disk must not keep a person from leaving."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Lets go of all threads at once."""
        super().shutdown(wait=False, cancel_futures=True)


def _palette() -> type[Provider]:
    from paramtui.tui.palette import EverythingProvider

    return EverythingProvider


class ParamtuiApp(KeyOrderMixin, TargetsMixin, EndingMixin, App[None]):
    """Browses targets, one at a time.

    Args:
        target: What to open first; None for the start screen.
        opener: Opens targets.
        at: Name of the row to begin on.
        index: Where to begin in that tensor.
        settings: A person's own ones.
        home: What else could be opened.
        guest: The process is somebody else's: its signals, garbage and end are left alone.
        own_loop: The event loop is the app's own; of one that is not, nothing is changed.
    """

    CSS_PATH = "app.tcss"
    TITLE = "paramtui"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}
    # Nothing here is text that the mouse could select; dragging would only repaint.
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")

    def __init__(
        self,
        target: str | None,
        opener: Opener,
        *,
        at: str | None = None,
        index: str | None = None,
        settings: Settings | None = None,
        home: Home | None = None,
        guest: bool = False,
        own_loop: bool = True,
    ) -> None:
        super().__init__()
        self._first = (target, at, index)
        self._opener = opener
        self._home = home or Home()
        self._guest = guest
        self._own_loop = own_loop
        self.output = OutputLog()
        self._target = target or ""
        self._settings = settings or Settings()
        self._problems = list(self._settings.problems)
        self._theme_word = self._settings.theme
        keymap: dict[str, str] = {}
        if self._settings.keys:
            from paramtui.tui.keymap import validate_keymap

            keymap, problems = validate_keymap(self._settings.keys, known_keys())
            self._problems += problems
        self._keymap_wanted = keymap
        self.keys = Keys(keymap)
        self._browser: BrowseScreen | None = None
        self._plain: LineFilter | None = None
        self._colourless: LineFilter | None = None
        if self.no_color:
            from paramtui.tui.no_colour import NoColour

            self._colourless = NoColour()
        if ascii_only(self):
            from paramtui.tui.plain_letters import PlainLetters

            self._plain = PlainLetters()
        if "SSH_CONNECTION" in os.environ or not self._settings.animation:
            # Each frame of an animation is kilobytes on the line.
            self.animation_level = "none"

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's but for shades of grey, and one that writes ASCII where the terminal shows no more."""
        filters = [
            self._colourless if self._colourless is not None and isinstance(each, Monochrome) else each
            for each in super().get_line_filters()
        ]
        return [*filters, self._plain] if self._plain is not None else filters

    def get_default_screen(self) -> Screen[None]:
        """The browser."""
        self._browser = BrowseScreen(self._first[0] or "", self.keys, self._settings)
        return self._browser

    @property
    def browser(self) -> BrowseScreen:
        """The screen at the bottom; known still when all screens are gone."""
        assert self._browser is not None  # noqa: S101  made by get_default_screen
        return self._browser

    def on_mount(self) -> None:
        """Starts opening; the screen is there before."""
        loop = asyncio.get_running_loop()
        if self._own_loop:
            loop.set_default_executor(_Threads())
        self.watch_for_the_end()
        if self._theme_word != "dark":
            self.theme = self._theme_name()
        if self._keymap_wanted:
            self.set_keymap(self._keymap_wanted)
        if self._problems:
            self.notify("\n".join(self._problems), title="Settings", severity="warning", markup=False)
        target, at, index = self._first
        if self._guest:
            self.begin_capture_print(self)
        if target is None:
            self._settle()
            self.call_later(self.action_open_other)
        else:
            self._open(target, at, index)

    async def on_unmount(self) -> None:
        """Gives the signals back."""
        if self._watch is not None:
            self._watch.stop()
        await self.let_go()
        self.give_signals_back()

    # A live model

    def on_print(self, event: events.Print) -> None:
        """What code of this very process prints while the screen is drawn."""
        self.output.write(event.text)

    async def show_output(self) -> None:
        """Shows what the model's code has printed."""
        from paramtui.tui.screens.output import OutputScreen

        if isinstance(self.screen, BrowseScreen):
            await self.push_screen(OutputScreen(self.output))

    @property
    def mouse_wanted(self) -> bool:
        """Whether the mouse is the screen's rather than the terminal's."""
        return self._settings.mouse

    @property
    def opening(self) -> bool:
        """Whether a target is being opened."""
        return self._watch is not None

    def stop_opening(self) -> None:
        """Waits no longer for a target."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
            self.workers.cancel_group(self, "open")
            self.browser.stopped("ctrl+r tries again, " if self._stage else "")
            self.changes_stay()

    async def action_open_other(self) -> None:
        """Offers other targets."""
        from paramtui.tui.screens.open import OpenScreen

        if self._guest:
            self.browser.say("this screen shows the model of the program that called it")
        elif isinstance(self.screen, BrowseScreen):
            await self.push_screen(OpenScreen(self._home), self._chosen)

    async def _chosen(self, target: str | None) -> None:
        if target is not None:
            await self.open_target(target)
        elif self.browser.blank:
            await self.action_quit_now()

    # Whatever has a key

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key of the app counts: over other screens and while one types only that for leaving."""
        browsing = isinstance(self.screen, BrowseScreen) and not self.browser.asking
        return browsing or action in ("quit_now", "suspend_process") or action not in OWN_ACTIONS

    def action_command_palette(self) -> None:
        """Asks for a name or an action."""
        from textual.command import CommandPalette

        if isinstance(self.screen, BrowseScreen):
            self.push_screen(CommandPalette(placeholder="a name to jump to, or what to do"))

    async def do(self, action: Action) -> None:
        """Does what an action of the table does."""
        browser = self.browser
        nodes: dict[str, DOMNode] = {
            "tree": browser.query_one(TreePane),
            "values": browser.query_one("#values", ValuesPane),
            "distribution": browser.query_one(DistributionPane),
            "screen": browser,
            "app": self,
        }
        await self.run_action(action.method, nodes[action.place])

    def _theme_name(self) -> str:
        # Without colours the ANSI themes are black on black.
        return THEMES["dark" if self.no_color and self._theme_word == "ansi" else self._theme_word]

    def action_next_theme(self) -> None:
        """Takes the next of the themes."""
        words = list(THEMES)
        self._theme_word = words[(words.index(self._theme_word) + 1) % len(words)]
        self.theme = self._theme_name()
        self.browser.say(f"{self._theme_word} theme")

    async def action_help(self) -> None:
        """Shows the keys."""
        from paramtui.tui.screens.help import HelpScreen

        if isinstance(self.screen, BrowseScreen):
            await self.push_screen(HelpScreen(self.browser.place, self.keys))

    async def action_leave(self) -> None:
        """Goes back where there is something to go back to, else quits."""
        if self.browser is not self.screen or not self.browser.leave():
            await self.action_quit_now()

    async def action_quit_now(self) -> None:
        """Quits; the exit status says whether the target could be opened."""
        if self._asking_to_leave:
            # Asked for again: what a person wants is to be out, with nothing lost.
            from paramtui.tui.editing.questions import KEEP
            from paramtui.tui.screens.ask import AskScreen

            if isinstance(self.screen, AskScreen):
                self.screen.answer(KEEP)
            return
        await self.leave_then("quits", lambda: self.exit(return_code=FAILED if self._failed else 0))

    def _handle_exception(self, error: Exception) -> None:
        """Leaves after an error of the program's own with a few words; Textual's way is a wall of text."""
        if self.is_headless:
            super()._handle_exception(error)
            return
        self._return_code = FAILED
        if self._exception is None:
            from rich.text import Text

            from paramtui.core.crash import told

            self._exception = error
            self._exception_event.set()
            # What a worker has failed by is inside of what is raised for it.
            cause = getattr(error, "error", error)
            desk = self._browser.desk if self._browser is not None else None
            kept = "\nchanges that were not saved are offered when it is opened again"
            words = told(cause, sys.argv[1:]) + (kept if desk is not None and desk.unsaved else "")
            self.panic(Text(words))

    # Keys

    @property
    def hears(self) -> bool:
        """Whether there is a browser, and nothing is about to be done: a dialog closed, a change made."""
        if self._browser is None or not self._browser.mounted.is_set():
            return False
        screen = self.screen if self.screen_stack else None
        if isinstance(screen, Question) and screen.answered:
            return False
        desk = self._browser.desk
        return not self.soon_open and (desk is None or not desk.soon_done)

    async def takes_key(self, event: events.Key | events.Paste) -> bool:
        """Whether a key begins a line on a cell."""
        screen = self.screen if self.screen_stack else None
        return isinstance(screen, BrowseScreen) and await screen.begins_line(event)
