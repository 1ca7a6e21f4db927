"""Opens the picture of the whole tensor under the cursor, and goes to a place in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.tui.opened import ability
from paramtui.tui.screens.working import WorkMixin
from paramtui.tui.widgets.gradient_pane import GradientPane
from paramtui.tui.widgets.tree_pane import TreePane

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramtui.tui.comparing_sides import Destination, Side
    from paramtui.tui.opened import Opened
    from paramtui.tui.screens.picture import Subject

NO_PICTURES: Final = "this source makes no pictures of whole tensors"


class PicturingMixin(WorkMixin):
    """Needs `jump_keeping`, `action_panel` and `go_to_index` of the screen that it is mixed into."""

    if TYPE_CHECKING:
        jump_keeping: Callable[[int], None]
        action_panel: Callable[[str], None]
        go_to_index: Callable[[str], None]

    async def action_picture(self) -> None:
        """Shows the whole tensor under the cursor; from the gradient panel, what stands there."""
        opened, row = self.opened, self.query_one(TreePane).row
        if opened is None or row < 0 or not self.ready():
            return
        if ability(opened.source, "overview") is None:
            self.say(NO_PICTURES)
            return
        panel = "gradient" if isinstance(self.focused, GradientPane) else "values"
        subject, words = _subject(opened, row, panel)
        if subject is None:
            self.say(words)
            return
        from paramtui.tui.screens.picture import PictureScreen

        def there(destination: Destination | None) -> None:
            self._show_place(destination, panel)

        await self.app.push_screen(PictureScreen(opened, subject), there)

    def _show_place(self, destination: Destination | None, panel: str) -> None:
        if destination is None or self.opened is None:
            return
        if self.query_one(TreePane).row != destination.row:
            self.jump_keeping(destination.row)
        self.action_panel(panel)
        self.go_to_index(destination.place)


def _subject(opened: Opened, row: int, panel: str) -> tuple[Subject | None, str]:
    """What a picture is made of at a row; None, and why not."""
    from paramtui.core.countable import picture_refusal
    from paramtui.tui.comparing_sides import side_of, stored_row
    from paramtui.tui.pages import row_title
    from paramtui.tui.screens.picture import Subject

    title, side = row_title(opened, row), side_of(opened, row)
    if side is None:
        return None, f"{title} has no numbers: there is no picture of it"
    if side.tensor < 0:
        return None, f"{title} is a block: go to one of its tensors, V shows it whole"
    subject: Subject | None = Subject(title, side.tensor, stored_row(opened, side))
    words = ""
    if panel == "gradient":
        subject, words = _beside(opened, side)
    if subject is None:
        return None, words
    reason = picture_refusal(opened.listing, subject.tensor)
    if not reason and 0 in opened.listing.shape[subject.tensor]:
        reason = "a size is 0: there are no numbers"
    return (None, f"{title}: {reason}") if reason else (subject, "")


def _beside(opened: Opened, side: Side) -> tuple[Subject | None, str]:
    """What stands in the gradient panel of a tensor; None, and why nothing does."""
    from paramtui.core.text import safe_text
    from paramtui.tui.gradient_pages import moment_choices, why_none
    from paramtui.tui.screens.picture import Subject

    if opened.model is not None:
        words = why_none(opened, side.tensor)
        title = f"gradient of {side.name}"
        return (None, words) if words else (Subject(title, side.tensor, side.row, gradient=True), "")
    choices = moment_choices(opened, side.tensor)
    if not choices:
        return None, f"no gradient and no optimizer state of {side.name} is known"
    _, name, moment = choices[opened.moment % len(choices)]
    return Subject(f"{safe_text(name, 40)} of {side.name}", moment, side.row), ""
