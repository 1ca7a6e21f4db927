"""Lines to type into draw no character that a terminal would obey, and keep it."""

from __future__ import annotations

from textual.app import App, ComposeResult

from paramtui.tui.widgets.typed_line import TypedLine

VALUE = "a\x1b]0;x\x07\nb\t\u202ec\x9bd"


class Lines(App[None]):
    def compose(self) -> ComposeResult:
        yield TypedLine(VALUE, select_on_focus=False)


async def test_what_a_terminal_obeys_is_drawn_as_question_marks_and_kept() -> None:
    app = Lines()
    async with app.run_test(size=(40, 5)) as pilot:
        line = app.query_one(TypedLine)
        assert line.render_line(0).text.startswith("a?]0;x??b??c?d ")
        assert line.value == VALUE
        # The cursor stands where it acts: typing after the first b comes after it.
        line.cursor_position = VALUE.index("b") + 1
        await pilot.press("Q")
        assert line.value == VALUE.replace("b", "bQ")
        assert line.render_line(0).text.startswith("a?]0;x??bQ??c?d ")
        assert line._cursor_offset == len("a?]0;x??bQ")
