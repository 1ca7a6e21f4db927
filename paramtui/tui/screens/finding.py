"""What the browser does with typed text: find, filter, go to, and text it copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramtui.errors import ParamtuiError
from paramtui.tui.opened import expression
from paramtui.tui.pages import row_title
from paramtui.tui.widgets.tree_pane import TreePane
from paramtui.tui.widgets.values_pane import ValuesPane

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen
    from textual.widget import Widget

    from paramtui.core.search import Query
    from paramtui.tui.opened import Opened
    from paramtui.tui.widgets.prompt import Prompt

    _Base = Screen[None]
else:
    _Base = object


class FindingMixin(_Base):
    """Needs `opened` and `say` of the screen that it is mixed into."""

    _prompt: Prompt | None = None
    _origin: tuple[int, bytes] = (-1, b"")
    _last: Query | None = None
    _from: Widget | None = None

    if TYPE_CHECKING:

        @property
        def opened(self) -> Opened | None:
            """What is shown, once it is there."""
            raise NotImplementedError

        @property
        def panes(self) -> list[ValuesPane]:
            """Values and gradient."""
            raise NotImplementedError

        say: Callable[[str], None]
        to_tree: Callable[[], None]
        line_changed: Callable[[str], None]
        line_done: Callable[[str], None]
        visited: Callable[..., None]

    async def _ask(self, purpose: str, label: str, text: str, hint: str) -> None:
        # Imported when it is first needed: an input line costs milliseconds of every start.
        from paramtui.tui.widgets.prompt import Prompt

        await self.open_prompt(Prompt(purpose, label, text, hint))

    async def open_prompt(self, prompt: Prompt) -> bool:
        """Shows a line to type into; False if there is one already, or nothing to ask about."""
        if self.opened is None or self._prompt is not None:
            return False
        self._prompt, self._from = prompt, self.focused
        self.add_class("-asking")
        self.say("")
        # Keys that follow at once wait until the line is there to take them.
        await self.mount(prompt)
        prompt.take_keys()
        return True

    def close_prompt(self) -> None:
        """Ends the line; the keys go back to where they came from."""
        prompt, self._prompt = self._prompt, None
        self.remove_class("-asking")
        if prompt is not None:
            purpose, before = prompt.purpose, self._from
            prompt.remove()
            if purpose == "edit" and before is not None:
                self.set_focus(before)
            else:
                self.set_focus(self.query_one("#values" if purpose == "go to" else "#tree"))

    @property
    def asking(self) -> bool:
        """Whether a line is being typed."""
        return self._prompt is not None

    @property
    def prompt(self) -> Prompt | None:
        """The line that is being typed."""
        return self._prompt

    # Finding names

    async def action_find(self) -> None:
        """Finds a name while it is typed."""
        opened = self.opened
        if opened is None:
            return
        self.to_tree()
        tree = self.query_one(TreePane)
        self._origin = tree.row, opened.view.snapshot()
        await self._ask("find", "find ", "", "text or glob  ↑ ↓ others  enter stays  esc back")

    async def action_filter(self) -> None:
        """Shows only what matches while it is typed."""
        if self.opened is None:
            return
        self.to_tree()
        await self._ask("filter", "show only ", "", "text, or a glob as *.bias  enter keeps  esc ends")

    def action_find_again(self, step: int) -> None:
        """Goes to the next or previous find."""
        if self._last is None:
            self.say("nothing was looked for yet: / finds a name")
            return
        tree = self.query_one(TreePane)
        tree.mark(self._last)
        start = tree.row + 1 if step > 0 else tree.row
        if not tree.find(self._last, step, start):
            self.say("nothing matches")

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        """Follows a line while it is typed."""
        if event.purpose == "edit":
            self.line_changed(event.text)
            return
        from paramtui.core.search import Query

        purpose, text = event.purpose, event.text
        tree, opened, prompt = self.query_one(TreePane), self.opened, self._prompt
        if opened is None or prompt is None or purpose == "go to":
            return
        query = Query.parse(text)
        if purpose == "filter":
            count = tree.filter(query)
            prompt.note(f"{count:,} match" if query else "")
            return
        self._last = query
        tree.mark(query)
        if query is None:
            return
        found = tree.find(query, 1, max(self._origin[0], 0))
        prompt.note(f"{len(opened.finder.rows(query)):,} match" if found else "nothing matches")

    def on_prompt_done(self, event: Prompt.Done) -> None:
        """Ends a line with enter."""
        purpose, text = event.purpose, event.text
        if purpose == "edit":
            self.line_done(text)
            return
        if purpose != "go to":
            tree = self.query_one(TreePane)
            if purpose == "filter" and not text.strip():
                tree.filter(None)
            self.close_prompt()
            if purpose == "find":
                self.visited(self._origin[0], tree.row)
            return
        try:
            self.query_one("#values", ValuesPane).go_to(text)
        except ParamtuiError as error:
            if self._prompt is not None:
                self._prompt.note(str(error))
        else:
            self.close_prompt()

    def on_prompt_stepped(self, event: Prompt.Stepped) -> None:
        """Goes to another find while its name is being typed."""
        if event.purpose == "find" and self._last is not None:
            self.action_find_again(event.step)

    def on_prompt_cancelled(self, event: Prompt.Cancelled) -> None:
        """Ends a line with escape: all is as it was before."""
        purpose = event.purpose
        tree, opened = self.query_one(TreePane), self.opened
        if opened is not None and purpose == "filter":
            tree.filter(None)
        elif opened is not None and purpose == "find":
            row, blocks = self._origin
            tree.mark(None)
            self._last = None
            if tree.flat is None:
                opened.view.restore(blocks)
            tree.keep_on(row)
        self.close_prompt()

    # The index

    async def action_go_to(self) -> None:
        """Asks for an index and goes there."""
        aim = self.query_one("#values", ValuesPane).aim
        if self.opened is None or aim is None:
            self.say("there are no numbers here to go to")
            return
        sizes = ", ".join(map(str, aim.shape))
        await self._ask("go to", "go to [", "", f"as in Python, sizes [{sizes}]  esc back")

    # How the numbers are written

    def action_heat(self) -> None:
        """Shows values as colours, or as numbers again."""
        for pane in self.panes:
            pane.toggle_heat()

    def action_precision(self, digits: int) -> None:
        """Shows more or fewer digits."""
        for pane in self.panes:
            pane.change_precision(digits)

    def action_scientific(self) -> None:
        """Shows floats in powers of ten, or not."""
        for pane in self.panes:
            pane.toggle_scientific()

    # Copying

    def action_copy_expression(self) -> None:
        """Copies the PyTorch expression of the row under the cursor."""
        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None or row < 0:
            return
        text, words = expression(opened, row), ""
        declared = opened.declared(row) if not text else -1
        stored = opened.tree.row_of(declared) if declared >= 0 else None
        if stored is not None:
            text = expression(opened, stored)
            words = f", which {row_title(opened, row)} is declared to be"
        if not text:
            self.say(self._no_expression(opened))
            return
        self._copy(text, words)

    def _no_expression(self, opened: Opened) -> str:
        from paramtui.core.trust import runners

        running = runners(opened.listing.globals)
        if running:
            return f"no line that loads this: it would run {running[0]} (O says where)"
        return "PyTorch has no expression that reaches this"

    def action_copy_command(self) -> None:
        """Copies the command that opens this target at this row."""
        from paramtui.core.lookup import name_of_row
        from paramtui.core.shell import shell_word

        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None:
            return
        live = opened.listing.live
        if live is not None and live.command is None:
            self.say("no command opens a model that a program has given")
            return
        words = ["paramtui", opened.listing.target, *((live.command or []) if live is not None else [])]
        if row > 0:
            words += ["--at", name_of_row(opened.tree, row)]
            aim = self.query_one("#values", ValuesPane).aim
            if aim is not None and aim.moved:
                words += ["--index", aim.index_text(str(aim.top), str(aim.left))]
        self._copy(" ".join(map(shell_word, words)))

    def _copy(self, text: str, words: str = "") -> None:
        # By OSC 52, which reaches the clipboard of the terminal even over SSH.
        self.app.copy_to_clipboard(text)
        self.say(f"copied: {text}{words}")

    # Names

    def go_to_name(self, name: str) -> None:
        """Puts the cursor on the row with a dotted name or key path."""
        from paramtui.core.lookup import rows_named

        opened = self.opened
        if opened is None:
            return
        rows = rows_named(opened.tree, name)
        if not rows:
            self.say(f"nothing is named {name}")
            return
        self.query_one(TreePane).go_to_row(rows[0])
        if len(rows) > 1:
            self.say(f"{len(rows)} rows are named {name}; this is the first")

    def go_to_index(self, text: str) -> None:
        """Goes to an index of the tensor that is shown, or says why not."""
        try:
            self.query_one("#values", ValuesPane).go_to(text)
        except ParamtuiError as error:
            self.say(str(error))
