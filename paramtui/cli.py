"""The command line: parses arguments, then imports what the command needs and hands over."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from paramtui.errors import ParamtuiError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import NoReturn

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.tui.home import Home

COMMANDS = ("ls", "show")
# Commands that are laid down and not built yet: named, so that none is taken for a target.
PLANNED = ("stats", "shared", "grad", "init", "replay", "check")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0 fine, 1 findings, 2 could not."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows \\u2026 rather than failing half-way.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        return _run(words)
    except ParamtuiError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader of the pipe (head, a pager) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        return _fail("there is not enough memory for this")


def run() -> None:
    """The installed command: `main`, then the end of the process."""
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = status or 0
    # Freeing a million objects one by one would take longer than reading them did.
    os._exit(status)


def _fail(message: str) -> int:
    from paramtui.core.text import safe_text

    sys.stdout.flush()
    print(f"paramtui: {safe_text(message, 1000)}", file=sys.stderr)
    return 2


def _run(words: list[str]) -> int:
    if words and words[0] in PLANNED:
        return _fail(f"the command {words[0]} is not available yet")
    command = words[0] if words and words[0] in COMMANDS else None
    options = _parser(command).parse_args(_bracketed(words[1:] if command else words))
    if command == "ls":
        return _ls(options)
    if command == "show":
        return _show(options)
    return _browse(options)


def _bracketed(words: list[str]) -> list[str]:
    """An index that begins with a minus sign is no option: -1,:3 becomes [-1,:3]."""
    return [
        f"[{word}]" if word[:1] == "-" and word[1:2].isdecimal() and not word[1:].isdecimal() else word
        for word in words
    ]


def _parser(command: str | None) -> argparse.ArgumentParser:
    import argparse

    class OneLineParser(argparse.ArgumentParser):
        """Says what is wrong in one line, as every other error."""

        def error(self, message: str) -> NoReturn:
            raise UsageError(message, hint=f"{self.prog} --help shows what it takes")

    if command is None:
        from paramtui.version import __version__

        parser: argparse.ArgumentParser = OneLineParser(
            prog="paramtui",
            description="Opens a PyTorch checkpoint as a tree of blocks and shows its numbers.",
            epilog="commands: paramtui ls TARGET, paramtui show TARGET [NAME [INDEX]];"
            " each has --help. A file named like a command is ./ls.",
        )
        parser.add_argument(
            "target", nargs="?", help="checkpoint file or directory; without it a start screen"
        )
        parser.add_argument("--at", metavar="NAME", help="begin at this tensor or block (name, or key path)")
        parser.add_argument("--index", metavar="INDEX", help="and there at this index, as in Python: 0,100")
        parser.add_argument("--version", action="version", version=f"paramtui {__version__}")
        return parser
    parser = OneLineParser(prog=f"paramtui {command}")
    parser.add_argument("target", metavar="TARGET", help="checkpoint file, index of shards, or directory")
    if command == "ls":
        parser.description = "Lists a checkpoint as a tree with totals, or one line a tensor."
        parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="globs over full dotted names")
        parser.add_argument("--flat", action="store_true", help="one line a tensor instead of the tree")
        parser.add_argument("--depth", type=_depth, metavar="N", help="levels of the tree to show")
        parser.add_argument(
            "--sort",
            choices=("stored", "name", "size", "shape", "dtype"),
            default="stored",
            help="order of siblings, or of the flat list (default: as stored, 2 before 10)",
        )
    else:
        parser.description = "Shows the numbers of one tensor or slice, reading only their bytes."
        parser.add_argument("name", metavar="NAME", nargs="?", help="dotted name, or key path as JSON")
        parser.add_argument("index", metavar="INDEX", nargs="?", default="", help="as in Python: 0,:3")
    parser.add_argument("--json", action="store_true", help="strict JSON for programs")
    return parser


def _depth(text: str) -> int:
    from argparse import ArgumentTypeError

    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < 1:
        raise ArgumentTypeError("a number of levels is wanted, 1 or more")
    return int(text)


def _open(target: str) -> CheckpointSource:
    from paramtui.checkpoints.registry import open_checkpoint

    return open_checkpoint(target)


def _write(pieces: Iterable[str]) -> None:
    """Writes text in blocks: a call for each of 100,000 lines would take longer than making them."""
    block: list[str] = []
    for piece in pieces:
        block.append(piece)
        if len(block) == 1000:
            sys.stdout.write("".join(block))
            block.clear()
    sys.stdout.write("".join(block))
    sys.stdout.flush()


def _ls(options: argparse.Namespace) -> int:
    import gc

    from paramtui.commands import ls

    gc.disable()  # a short life of many objects and no cycles
    listing = _open(options.target).listing
    selection = ls.Selection(listing, options.patterns)
    if selection.narrowed and not selection.tensors and not selection.values:
        from paramtui.core.text import safe_text

        print(f"paramtui: no name matches {safe_text(' '.join(options.patterns))}", file=sys.stderr)
    if options.json:
        _write(ls.ls_json(listing, selection))
    elif options.flat:
        _write(ls.ls_flat(listing, selection, options.sort))
    else:
        _write(ls.ls_tree(listing, selection, options.sort, options.depth))
    return 0


def _show(options: argparse.Namespace) -> int:
    from paramtui.commands import show
    from paramtui.errors import NameLookupError

    source = _open(options.target)
    listing = source.listing
    try:
        tensor = show.choose(listing, options.name)
    except NameLookupError:
        value = show.find_value(listing, options.name) if options.name is not None else None
        if value is None:
            raise
        _write([show.show_value(listing, value, as_json=options.json)])
        return 0
    render = show.show_json if options.json else show.show_text
    _write(render(listing, source.read_window, tensor, options.index))
    return 0


def _browse(options: argparse.Namespace) -> int:
    # Textual draws on stderr, which is free to be a terminal where stdout is a pipe.
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        return _fail("the screen needs a terminal; paramtui ls TARGET writes to a pipe")
    import gc

    # Until the first target is there nothing becomes garbage; the app then goes on collecting.
    gc.disable()
    from paramtui.opening import TargetOpener
    from paramtui.tui.app import ParamtuiApp
    from paramtui.tui.settings import load_settings

    opener = TargetOpener(options.target)
    settings = load_settings()
    app = ParamtuiApp(
        options.target, opener, at=options.at, index=options.index, settings=settings, home=_home()
    )
    app.run(mouse=settings.mouse)
    return app.return_code or 0


def _home() -> Home:
    """What the start screen offers; each part is looked for when it is wanted."""
    from paramtui.tui.home import Home, Offer, Section

    def samples() -> list[Offer]:
        from paramtui.errors import TargetError
        from paramtui.samples import sample_checkpoints

        try:
            return [Offer(str(sample.path), sample.name, sample.teaches) for sample in sample_checkpoints()]
        except TargetError:
            return []

    def recent() -> list[Offer]:
        from paramtui.recent import recent_targets

        # As a shell writes it.
        home = os.path.join(os.path.expanduser("~"), "")  # noqa: PTH111, PTH118
        return [
            Offer(target, f"~/{target.removeprefix(home)}" if target.startswith(home) else target)
            for target in recent_targets()
        ]

    def here() -> list[Offer]:
        from paramtui.checkpoints.discover import checkpoints_here
        from paramtui.core.text import bytes_text

        return [Offer(found.path, found.label, bytes_text(found.nbytes)) for found in checkpoints_here(".")]

    def hub() -> list[Offer]:
        from paramtui.checkpoints.discover import hub_checkpoints
        from paramtui.core.text import bytes_text

        return [Offer(found.path, found.label, bytes_text(found.nbytes)) for found in hub_checkpoints()]

    def note(target: str) -> None:
        from paramtui.recent import note_recent

        note_recent(target)

    return Home(
        (
            Section("Opened lately", recent, "nothing yet"),
            Section("In this directory", here, "no checkpoints"),
            Section("Samples that come with paramtui", samples, "missing from this installation"),
            Section("In the Hugging Face cache", hub, "no checkpoints"),
        ),
        note,
    )
