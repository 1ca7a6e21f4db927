"""What is asked around changes: without room to undo, on leaving, and about what was left behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.text import Text

from paramtui.core.edits import edit_text
from paramtui.core.text import bytes_text, safe_text
from paramtui.tui.pages import counted
from paramtui.tui.screens.ask import AskScreen, Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.edits import Edit
    from paramtui.core.journal import Head, Recovery
    from paramtui.errors import NoRoomError

YES: Final = "yes"
NO: Final = "no"
SAVE: Final = "save"
KEEP: Final = "keep"
DISCARD: Final = "discard"
MAX_CHANGES: Final = 5


def room_question(error: NoRoomError) -> AskScreen:
    """Whether to make a change that cannot be taken back."""
    room = f"It needs {bytes_text(error.needed)}, and {bytes_text(error.free)} are free."
    words = [
        Text("There is no room to keep what this overwrites."),
        Text(room if error.needed else error.what),
    ]
    if error.hint:
        words.append(Text(safe_text(error.hint, 300)))
    return AskScreen(
        "No room for undo",
        words,
        [
            Choice(("enter",), "applies without undo: nothing before it can be taken back either", YES),
            Choice(("escape", "n", "q"), "does not apply it", NO),
        ],
        unasked=True,
    )


def leaving_question(changes: int, *, kept: bool, problem: str, then: str, outdated: str = "") -> AskScreen:
    """What to do with changes that are not saved.

    Args:
        changes: How many count.
        kept: Whether they will be offered again if nothing is saved.
        problem: Why they would not be, where that is known.
        then: What follows: ``quits``, or ``opens the other target``.
        outdated: What has become of the file, of which no copy with the changes can be made any more.
    """
    words = [
        Text(f"{counted(changes, 'change')} not saved yet." if changes else "What is there is not saved.")
    ]
    save = Choice(("s",), f"saves, then {then}", SAVE)
    discard = Choice(("d",), f"discards them and {then}", DISCARD)
    back = Choice(("escape", "n"), "goes on here", NO)
    saves = [save]
    if outdated:
        words.append(Text(f"{safe_text(outdated, 200)} since it was opened: they cannot be saved.", "bold"))
        saves = []
    if kept:
        words.append(
            Text("They are in a journal, and can be made again when this is opened next time.", "dim")
        )
        return AskScreen(
            "Unsaved changes",
            words,
            [Choice(("enter", "k"), f"keeps them for next time and {then}", KEEP, 2), *saves, discard, back],
        )
    words.append(Text(safe_text(problem, 300) or "Nothing keeps them for next time.", "dim"))
    first = [each._replace(keys=("enter", "s"), shown=2) for each in saves]
    return AskScreen("Unsaved changes", words, [*first, discard, back])


def recovery_question(recovery: Recovery, head: Head, number: int, count: int) -> AskScreen:
    """Whether to make again the changes that a journal holds."""
    changes = recovery.changes
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(recovery.when))
    words = [
        Text(f"{counted(len(changes), 'change')} of {when}, not saved, left behind:"),
        *change_lines([each.edit for each in changes]),
    ]
    if recovery.head.identity != head.identity:
        words += [
            Text(""),
            Text("The file has changed since: the same changes give other numbers now.", "bold"),
        ]
    which = f" ({number} of {count})" if count > 1 else ""
    return AskScreen(
        f"Changes that were not saved{which}",
        words,
        [
            Choice(("enter",), "makes them again; u takes them back one by one", YES),
            Choice(("d",), "discards them", DISCARD),
            Choice(("escape", "q"), "keeps them for later", KEEP),
        ],
        unasked=True,
    )


def change_lines(edits: Sequence[Edit], limit: int = MAX_CHANGES) -> list[Text]:
    """The first few of some changes in words."""
    lines = [Text(f"  {edit_text(edit)}", no_wrap=True, overflow="ellipsis") for edit in edits[:limit]]
    if len(edits) > limit:
        lines.append(Text(f"  and {len(edits) - limit:,} more"))
    return lines


def leftovers_question(found: Sequence[tuple[str, int]]) -> AskScreen:
    """Whether to remove the files that an unfinished save has left."""
    words = [
        Text(f"  {bytes_text(nbytes):>8}  {safe_text(path, 300)}", overflow="fold") for path, nbytes in found
    ]
    return AskScreen(
        "Left by a save that did not finish",
        words,
        [
            Choice(("enter", "y"), "removes them" if len(found) > 1 else "removes it", YES),
            Choice(("escape", "n", "q"), "leaves them" if len(found) > 1 else "leaves it", NO),
        ],
        unasked=True,
    )


def differing(numbers: Sequence[int]) -> str:
    """Which changes gave other numbers than before."""
    which = ", ".join(f"{number:,}" for number in numbers[:MAX_CHANGES])
    more = ", …" if len(numbers) > MAX_CHANGES else ""
    return (
        f"change {which}{more} gave other numbers than before: the file, torch or the machine is not the same"
    )
