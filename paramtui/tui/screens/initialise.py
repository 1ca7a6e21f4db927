"""Asks how tensors are to be initialised, and shows beforehand what comes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from paramtui.core.edits import Edit
from paramtui.core.text import safe_text
from paramtui.tui.initialise_form import ANY, PARTS, Form, Remembered
from paramtui.tui.initialise_lines import code_lines, heading, in_lines, list_line, target_lines
from paramtui.tui.preview_lines import preview_lines
from paramtui.tui.screens.dialog import Dialog
from paramtui.tui.screens.initialise_work import FEW, TICK, InitialiseWork
from paramtui.tui.terminal import ascii_only
from paramtui.tui.widgets.choice_field import ChoiceField
from paramtui.tui.widgets.line_field import LineField
from paramtui.tui.widgets.option_fields import OptionFields
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from paramtui.core.catalogue import Initializer
    from paramtui.core.source import Editor
    from paramtui.tui.opened import Opened

STARTING = "starting torch..."
KEYS = "enter apply   F5 preview   pgdn more   esc back"
# Rows of the screen for one more row of the list.
LIST_SHARE = 4
NAME_WIDTH = 18
NOT_APART = "not apart from the rest"


class InitialiseScreen(InitialiseWork, Dialog[Edit | None]):
    """Gives an `Initialise` or an `ApplyFunction`, or None.

    Args:
        opened: The target.
        editor: Its source.
        row: Row of the tree under the cursor: a tensor or a block.
        remembered: What the last dialog ended with.

    Attributes:
        remembered: What the next one is to start with.
        form: What is filled in.
    """

    AUTO_FOCUS = "#filter"
    CSS = """
    InitialiseScreen { align: center middle; background: $background 60%; }
    #initialise { width: 104; max-width: 100%; height: 36; max-height: 100%; padding: 0 1;
                  border: round $accent; background: $background; }
    #initialise .fields { height: 1; width: 100%; }
    #initialise .caption { width: auto; height: 1; margin: 0 1 0 0; color: $text-muted; }
    #initialise Input { background: $panel; }
    #where { width: 1fr; }
    #type { width: auto; max-width: 45%; margin: 0 2 0 0; }
    #names { width: 1fr; margin: 0 2 0 0; }
    #filter { width: 1fr; }
    #list { height: 5; margin: 0; background: $background; scrollbar-size-vertical: 1; }
    #list > .option-list--option-highlighted { background: $primary; color: $text; text-style: bold; }
    #seed { width: 22; }
    #biases { width: 1fr; }
    #body { height: 1fr; min-height: 2; scrollbar-size-vertical: 1; margin: 1 0 0 0; }
    .-short #body { margin: 0; }
    .-preview.-short #list { display: none; }
    #body-words { height: auto; }
    #code { height: auto; max-height: 4; text-style: bold; }
    #problem { height: auto; max-height: 4; min-height: 1; color: $text-error; }
    #problem.-note { color: $text-warning; }
    #problem.-waiting { color: $text-muted; }
    .-halfway #body-words, .-halfway #code { text-style: dim; }
    .-refused #problem { text-style: reverse; }
    """
    # Other keys wait their turn behind what is being typed.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+g", "leave", "back", show=False, priority=True),
        # Before the key after it is handed on: several can arrive at once.
        Binding("tab", "app.focus_next", "next field", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "field before", show=False, priority=True),
        Binding("f5,ctrl+e", "preview", "preview", show=False),
        Binding("up", "step(-1)", "previous", show=False),
        Binding("down", "step(1)", "next", show=False),
        Binding("pageup", "scroll(-1)", "scroll up", show=False),
        Binding("pagedown", "scroll(1)", "scroll down", show=False),
        Binding("enter", "apply", "apply", show=False),
    ]

    def __init__(self, opened: Opened, editor: Editor, row: int, remembered: Remembered | None) -> None:
        super().__init__()
        self.remembered = remembered
        self.form = Form(opened, editor, row, remembered)
        self._opened = opened
        self._editor = editor
        self._row = row
        self._filter = ""
        self._listed: list[Initializer] = []
        self._filled: object = None
        self._drawn: object = None
        self._drawn_for: Initializer | None = None

    def compose(self) -> ComposeResult:
        """Where, which tensors, with what, and what comes of it."""
        form = self.form
        with Vertical(id="initialise") as box:
            box.border_subtitle = Text(KEYS)
            with Horizontal(classes="fields"):
                yield ChoiceField("where", [place.words for place in form.places], id="where")
            with Horizontal(classes="fields", id="narrowing"):
                yield ChoiceField("type", [ANY], id="type")
                yield Static("names", classes="caption", markup=False)
                yield LineField(placeholder="*", compact=True, id="names")
                yield ChoiceField("part", PARTS, id="part")
            with Horizontal(classes="fields"):
                yield Static("with", classes="caption", markup=False)
                yield LineField(
                    placeholder="type to narrow the list, up and down choose", compact=True, id="filter"
                )
            chooser = OptionList(id="list", markup=False, compact=True)
            chooser.can_focus = False
            yield chooser
            yield OptionFields(id="options")
            with Horizontal(classes="fields"):
                yield ChoiceField("biases", form.bias_choices(), id="biases")
                yield Static("seed", classes="caption", markup=False)
                yield LineField(form.seed, compact=True, id="seed")
            yield OptionFields(id="bias-options")
            with VerticalScroll(id="body", can_focus=False):
                yield Static("", id="body-words", markup=False)
            yield Static("", id="code", markup=False)
            yield Static("", id="problem", markup=False)

    def on_mount(self) -> None:
        """Asks for the catalogue; until it is there, the rest can be filled in."""
        self._offer_types()
        self.fill_list()
        self.gather()
        self.look()
        self.load_catalogue()
        self.set_interval(TICK, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        """A longer list where there is room."""
        height = event.size.height
        self.set_class(height < 30, "-short")
        self.query_one("#list").styles.height = max(min((height - 12) // LIST_SHARE + 2, 9), 3)
        # Figures are laid out for a width.
        self.call_after_refresh(self._lay_out)

    def _lay_out(self) -> None:
        self.show_options()
        self._drawn = None
        self.fill_list()
        self.draw()

    @property
    def body_width(self) -> int:
        """Cells of a line."""
        return max(self.query_one("#initialise").content_size.width - 1, 20)

    # Between fields and form

    def gather(self) -> None:
        """Takes what the fields hold; shows the fields that this asks for."""
        form = self.form
        form.place = self.query_one("#where", ChoiceField).place
        form.layer = self.query_one("#type", ChoiceField).word or ANY
        form.only = self.query_one("#names", Input).value
        form.part = self.query_one("#part", ChoiceField).word
        form.seed = self.query_one("#seed", Input).value
        if form.catalogue is None:
            return
        options, bias_options = (
            self.query_one("#options", OptionFields),
            self.query_one("#bias-options", OptionFields),
        )
        for fields, role in ((options, "weights"), (bias_options, "biases")):
            if fields.initializer is not None:
                form.texts(role, fields.initializer).update(fields.texts())
        biases = self.query_one("#biases", ChoiceField)
        if form.splits and not biases.disabled:
            form.biases = biases.word
        typed = self.query_one("#filter", Input).value
        if typed != self._filter:
            self._filter = typed
            named = next((each for each in form.matching(typed) if form.is_named(each, typed)), None)
            if named is not None and not (form.chosen and form.is_named(form.chosen, typed)):
                form.chosen = named
            self.fill_list()
        self.show_options()

    def typed_again(self) -> None:
        """Reads what is typed to narrow the list as if it were new."""
        self._filter = ""
        self.gather()

    def show_options(self) -> None:
        """Shows the fields that what is filled in asks for."""
        form = self.form
        if form.catalogue is None:
            return
        biases = self.query_one("#biases", ChoiceField)
        biases.disabled = not form.splits
        biases.hold(form.bias_choices() if form.splits else [NOT_APART], form.biases)
        self.query_one("#narrowing").disabled = form.alone
        apart = form.bias_initialiser() if form.splits else None
        for query, role, found, title in (
            ("#options", "weights", form.chosen, ""),
            ("#bias-options", "biases", apart, "biases:"),
        ):
            texts = form.texts(role, found) if found is not None else {}
            fields = self.query_one(query, OptionFields)
            fields.show(found, texts, form.catalogue.gains, self.body_width, title)
            fields.resolve()

    @work(group="types", exclusive=True)
    async def _offer_types(self) -> None:
        """Finds out which types of layers there are at the row."""
        form, field = self.form, self.query_one("#type", ChoiceField)
        few = self._opened.tree.tensors[form.row] < FEW
        types = form.types() if few else await asyncio.to_thread(form.types)
        field.hold([ANY, *types], field.word)
        self.gather()
        self._renew()

    @on(Input.Changed)
    @on(ChoiceField.Changed)
    def _changed(self, event: Input.Changed | ChoiceField.Changed) -> None:
        event.stop()
        before = self.form.place
        self.gather()
        if self.form.place != before:
            self._offer_types()
        self._renew()

    def _renew(self) -> None:
        """Where the form is another one, what was said and tried is no longer about it."""
        filled = self.form.fill()
        if filled == self._filled:
            return
        self._filled = filled
        self.remove_class("-refused")
        if not self._failed:
            self._said = ""
        if self.busy and not self._stopping:
            self.workers.cancel_group(self, "do")
            self.stop()
        self.look()

    # The list

    def fill_list(self) -> None:
        """Lists the initialisers that match what is typed."""
        form, chooser = self.form, self.query_one("#list", OptionList)
        self._listed = form.matching(self._filter)
        width = max(self.body_width - 2, 20)
        if form.catalogue is None:
            options = [Option(Text("" if self._failed else STARTING), disabled=True)]
        else:
            names = [len(each.name) for each in self._listed]
            wide = min(max([NAME_WIDTH, *names]), width // 2)
            options = [Option(list_line(each, wide, width)) for each in self._listed]
            options += [
                Option(Text(fit(f"! {safe_text(problem, 400)}", width)), disabled=True)
                for problem in form.catalogue.problems
            ]
        with self.prevent(OptionList.OptionHighlighted):
            chooser.clear_options()
            chooser.add_options(options)
            if form.catalogue is not None:
                if form.chosen not in self._listed:
                    form.chosen = self._listed[0] if self._listed else None
                if form.chosen is not None:
                    chooser.highlighted = self._listed.index(form.chosen)

    def choose(self, place: int) -> None:
        """Chooses an initialiser of the list."""
        self.gather()
        if 0 <= place < len(self._listed) and self._listed[place] is not self.form.chosen:
            self.form.chosen = self._listed[place]
            with self.prevent(OptionList.OptionHighlighted):
                self.query_one("#list", OptionList).highlighted = place
            if self.focused is None or self.query_one("#options") in self.focused.ancestors:
                self.query_one("#filter").focus()
            self.show_options()
            self._renew()

    @on(OptionList.OptionHighlighted)
    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionHighlighted | OptionList.OptionSelected) -> None:
        event.stop()
        self.choose(event.option_index)

    # Drawing

    def draw(self) -> None:
        """Shows what the form amounts to."""
        outlook, form = self.outlook, self.form
        if outlook is None:
            return
        self.set_class(self.preview is not None, "-preview")
        width = self.body_width
        place = form.places[form.place]
        title = heading(self._opened, place.row, place.words, outlook, max(width - 2, 10))
        self.query_one("#initialise").border_title = Text(title)
        if self.preview is not None:
            plain = ascii_only(self.app)
            lines = preview_lines(self._opened, form.row, self.preview[1], width, plain=plain)
        else:
            lines = target_lines(self._opened, outlook, form.known_std, width)
        # Most keys change nothing that is drawn.
        words = Text("\n").join(lines)
        code = "\n".join(in_lines(code_lines(self._opened, outlook), width))
        drawn = (words, code, width)
        # While something is half typed, what was shown before stays.
        halfway = outlook.filled is None and form.chosen is not None and form.chosen is self._drawn_for
        self.set_class(halfway, "-halfway")
        if drawn != self._drawn and not halfway:
            self._drawn, self._drawn_for = drawn, form.chosen
            self.query_one("#body-words", Static).update(words)
            self.query_one("#code", Static).update(Text(code))
        self.draw_problem()

    def draw_problem(self) -> None:
        """Shows what is wrong, what should be known, or what is waited for."""
        outlook = self.outlook
        awaited = self.awaited
        problem = self._said or (outlook.problem if outlook is not None else "")
        if self.wanted and self.form.catalogue is None and not self._failed:
            awaited = f"{STARTING}  it is applied then"
        note = outlook.note if outlook is not None else ""
        said = self.query_one("#problem", Static)
        said.set_class(bool(awaited), "-waiting")
        said.set_class(not problem and not awaited, "-note")
        said.update(Text(safe_text(awaited or problem or note, 600)))

    def _tick(self) -> None:
        if self.busy:
            self.draw_problem()

    # Keys

    def action_step(self, step: int) -> None:
        """Chooses in the list; from another field, goes to the one before or after."""
        if self.focused is None or self.focused.id == "filter":
            place = self._listed.index(self.form.chosen) if self.form.chosen in self._listed else 0
            self.choose(max(min(place + step, len(self._listed) - 1), 0))
        elif step > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def action_scroll(self, pages: int) -> None:
        """Scrolls what is said of the tensors."""
        body = self.query_one("#body", VerticalScroll)
        body.scroll_relative(y=pages * max(body.size.height - 1, 1), animate=False)

    def action_apply(self) -> None:
        """Leaves with the edit."""
        if self.form.catalogue is None:
            if self._failed:
                self.load_catalogue()
                self.fill_list()
            else:
                # Typed ahead: it counts as soon as it is known what there is.
                self.wanted = True
            self.draw_problem()
        else:
            self.carry_out(interrupts=self.busy)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_apply()

    def action_preview(self) -> None:
        """Shows what the edit would do."""
        if self.form.catalogue is not None and not self.busy:
            self.try_preview()

    def action_leave(self) -> None:
        """Stops what runs; else leaves with nothing."""
        if self.busy and not self._stopping:
            self.stop()
        else:
            self.dismiss(None)
