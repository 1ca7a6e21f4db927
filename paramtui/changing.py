"""The commands that change a target and save it: ``init`` and ``replay``."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from paramtui.commands import init
from paramtui.core.text import safe_text
from paramtui.errors import SavingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from paramtui.core.source import Editor, Saved

DIFFERENT = 1


def run_init(options: argparse.Namespace, opened: Callable[[], Editor]) -> int:
    """``paramtui init``: initialises, saves, and says what was done; gives the exit status.

    Args:
        options: Of the command line.
        opened: Opens the target.
    """
    _check_output(options)
    wanted = init.Wanted(
        options.initializer,
        options.biases,
        options.block,
        options.only,
        options.type,
        options.part,
        options.seed,
        options.skip,
    )
    editor = opened()

    async def work() -> str:
        made = await init.initialise(editor, wanted)
        saved = await _save(editor, options)
        if options.json:
            return init.json_of(editor, made, saved, options.seed)
        return init.text_of(editor, made, saved)

    try:
        sys.stdout.write(asyncio.run(work()))
    finally:
        editor.close()
    return 0


def run_replay(options: argparse.Namespace, opened: Callable[[], Editor]) -> int:
    """``paramtui replay``: makes the changes of a journal again and saves; gives the exit status.

    It is `DIFFERENT` where a change gave other bits than when the journal was written.
    """
    from paramtui.core.journal import read_journal

    _check_output(options)
    recovery = read_journal(options.journal)
    editor = opened()

    async def work() -> tuple[init.Replayed, Saved]:
        replayed = await init.replay(editor, recovery.changes)
        notes = init.environment_notes(recovery, await editor.catalogue()) if replayed.different else []
        for words in (*replayed.different, *notes):
            sys.stderr.write(f"paramtui: warning: {safe_text(words, 1000)}\n")
        return replayed, await _save(editor, options)

    try:
        replayed, saved = asyncio.run(work())
    finally:
        editor.close()
    render = init.replayed_json if options.json else init.replayed_text
    sys.stdout.write(render(replayed, saved))
    return DIFFERENT if replayed.different else 0


def _check_output(options: argparse.Namespace) -> None:
    """What cannot be saved in the end is said before anything is computed."""
    path = options.output
    if os.path.lexists(path) and not os.path.isdir(path) and not options.force:  # noqa: PTH112
        raise SavingError("exists already", where=path, hint="choose another name, or --force to replace it")
    # A directory for several files may be written with a slash behind it.
    folder = os.path.dirname(path.rstrip("/")) or "."  # noqa: PTH120
    if not os.path.isdir(folder):  # noqa: PTH112
        raise SavingError("is in a directory that does not exist", where=path)


async def _save(editor: Editor, options: argparse.Namespace) -> Saved:
    shown = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if shown and total:
            sys.stderr.write(f"\rsaving {100 * done // total:3d} %" + ("\n" if done == total else ""))
            sys.stderr.flush()

    return await editor.save(options.output, over=options.force, progress=progress)
