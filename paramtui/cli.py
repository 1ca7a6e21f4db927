"""The command line: parses arguments, then imports what the command needs and hands over."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, cast

from paramtui.errors import ParamtuiError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.commands.ls import Selection
    from paramtui.core.model_target import ModelOptions
    from paramtui.core.source import Editor
    from paramtui.engine.client import EngineSource
    from paramtui.tui.home import Home

COMMANDS = ("ls", "show", "stats", "shared", "grad", "init", "replay", "check")
# Characters that are written at a time.
BLOCK = 1 << 16
MODELS = "a model is file.py, file.py:factory, or package.module:factory"


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
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO) or error.filename is not None:
            return _crashed(error, words)
        # Nothing more can be written there, not even what is left in the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail(f"the output could not be written: {(error.strerror or str(error)).lower()}")
    except MemoryError:
        return _fail("there is not enough memory for this")
    except Exception as error:  # noqa: BLE001  whatever it is, a person gets two lines and a file
        return _crashed(error, words)


def _crashed(error: Exception, words: list[str]) -> int:
    from paramtui.core.crash import told

    sys.stdout.flush()
    print(told(error, words), file=sys.stderr)
    return 2


def run() -> None:
    """The installed command: `main`, then the end of the process."""
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read it, or the terminal, is gone
        status = status or 0
    # Freeing a million objects one by one would take longer than reading them did.
    os._exit(status)


def _fail(message: str) -> int:
    from paramtui.core.text import safe_text

    sys.stdout.flush()
    print(f"paramtui: {safe_text(message, 1000)}", file=sys.stderr)
    return 2


def _run(words: list[str]) -> int:
    from paramtui.arguments import parsed

    command = words[0] if words and words[0] in COMMANDS else None
    options = parsed(command, _bracketed(words[1:] if command else words))
    options.command = command
    if command == "ls":
        return _ls(options)
    if command == "show":
        return _show(options)
    if command == "stats":
        from paramtui.counting import run_stats

        return run_stats(options, lambda: _open(options), _write, _check_matches)
    if command == "check":
        from paramtui.checking import run_check

        return run_check(options, lambda: _open(options), _write)
    if command == "shared":
        return _shared(options)
    if command == "grad":
        return _grad(options)
    if command in ("init", "replay"):
        return _change(options)
    return _browse(options)


def _bracketed(words: list[str]) -> list[str]:
    """An index that begins with a minus sign is no option: -1,:3 becomes [-1,:3]."""
    return [
        f"[{word}]" if word[:1] == "-" and word[1:2].isdecimal() and not word[1:].isdecimal() else word
        for word in words
    ]


def _model_options(options: argparse.Namespace) -> ModelOptions:
    from paramtui.core.model_target import ModelOptions

    if options.inputs is not None:
        from paramtui.core.input_spec import is_function_reference, parse_inputs

        if is_function_reference(options.inputs) is None:
            parse_inputs(options.inputs)  # what is wrong with it is said before a model is built
    return ModelOptions(
        options.device,
        options.seed,
        options.inputs,
        options.weights,
        bool(options.fix_weights),
        tuple(os.path.abspath(path) for path in getattr(options, "init_files", ())),  # noqa: PTH100
    )


class _Opened:
    """What `_open` gives, let go of afterwards."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._source = _open(options)

    def __enter__(self) -> CheckpointSource | EngineSource:
        return self._source

    def __exit__(self, *_: object) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


def _open(options: argparse.Namespace) -> CheckpointSource | EngineSource:
    """Opens a checkpoint, or builds a model in an engine; what its code prints goes to stderr."""
    from paramtui.core.model_target import model_target

    model = model_target(options.target)
    if model is None:
        from paramtui.checkpoints.registry import open_checkpoint

        if options.weights is not None:
            raise UsageError("--weights loads a checkpoint into a model", hint=MODELS, where=options.target)
        return open_checkpoint(options.target)
    from paramtui.engine.client import EngineSource

    def told(kind: str, words: str) -> None:
        if kind == "output":
            sys.stderr.write(words)
            sys.stderr.flush()

    source = EngineSource(model, _model_options(options), told).wait_open()
    for warning in source.listing.warnings:
        if options.command not in ("ls", "check"):
            _warn(warning)
    return source


def _warn(words: str) -> None:
    from paramtui.core.text import safe_text

    print(f"paramtui: warning: {safe_text(words, 1000)}", file=sys.stderr)


def _write(pieces: Iterable[str]) -> None:
    """Writes text in blocks: a call for each of 100,000 lines would take longer than making them."""
    block: list[str] = []
    length = 0
    for piece in pieces:
        block.append(piece)
        length += len(piece)
        if length >= BLOCK:
            sys.stdout.write("".join(block))
            block.clear()
            length = 0
    sys.stdout.write("".join(block))
    sys.stdout.flush()


def _ls(options: argparse.Namespace) -> int:
    import gc

    from paramtui.commands import ls

    gc.disable()  # a short life of many objects and no cycles
    with _Opened(options) as source:
        listing = source.listing
    selection = ls.Selection(listing, options.patterns)
    _check_matches(selection, options.patterns)
    if options.json:
        _write(ls.ls_json(listing, selection))
    elif options.flat:
        _write(ls.ls_flat(listing, selection, options.sort))
    else:
        _write(ls.ls_tree(listing, selection, options.sort, options.depth))
    return 0


def _check_matches(selection: Selection, patterns: Sequence[str]) -> None:
    """Says on stderr that no name matches."""
    if not selection:
        from paramtui.core.text import safe_text

        print(f"paramtui: no name matches {safe_text(' '.join(patterns))}", file=sys.stderr)


def _shared(options: argparse.Namespace) -> int:
    from paramtui.commands import ls, shared
    from paramtui.counting import told

    with _Opened(options) as source:
        selection = ls.Selection(source.listing, options.patterns)
        _check_matches(selection, options.patterns)
        copies = told(source.copies) if options.copies else None
    render = shared.shared_json if options.json else shared.shared_text
    _write(render(source.listing, selection, copies))
    return 0


def _show(options: argparse.Namespace) -> int:
    from paramtui.commands import show
    from paramtui.errors import NameLookupError

    with _Opened(options) as source:
        listing = source.listing
        value = None
        try:
            tensor = show.choose(listing, options.name)
        except NameLookupError:
            value = show.find_value(listing, options.name) if options.name is not None else None
            if value is None:
                raise
            meant = show.declared_to_be(listing, value)
            if meant is None:
                _write([show.show_value(listing, value, as_json=options.json)])
                return 0
            tensor = meant
        render = show.show_json if options.json else show.show_text
        _write(render(listing, source.read_window, tensor, options.index, value))
    return 0


def _grad(options: argparse.Namespace) -> int:
    from paramtui.commands import grad
    from paramtui.core.model_target import model_target

    if model_target(options.target) is None:
        raise UsageError("gradients need a model", hint=MODELS, where=options.target)
    with _Opened(options) as source:
        outcome = source.do("backward", inputs=None, accumulate=False)  # type: ignore[union-attr]
        render = grad.grad_json if options.json else grad.grad_text
        _write(render(source.listing, outcome.gradients))
    return 0


def _change(options: argparse.Namespace) -> int:
    from paramtui import changing

    def opened() -> Editor:
        from paramtui.core.model_target import model_target

        source = _open(options)
        if model_target(options.target) is not None:
            return cast("Editor", source)
        from paramtui.editable import EditableCheckpoint

        return cast("Editor", EditableCheckpoint(cast("CheckpointSource", source), options.init_files))

    run = changing.run_init if options.command == "init" else changing.run_replay
    return run(options, opened)


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

    opener = TargetOpener(options.target, _checked(options))
    settings = load_settings()
    app = ParamtuiApp(
        options.target, opener, at=options.at, index=options.index, settings=settings, home=_home()
    )
    app.run(mouse=settings.mouse)
    if app.left_behind:
        import contextlib

        from paramtui.tui.pages import counted

        words = counted(app.left_behind, "change")
        with contextlib.suppress(OSError):  # the terminal may be gone
            sys.stderr.write(f"paramtui: {words} not saved, kept in a journal: open it again to go on\n")
    return app.return_code or 0


def _checked(options: argparse.Namespace) -> ModelOptions | None:
    """What was asked for besides a model; nothing where only a checkpoint is opened."""
    usual = (options.weights, options.inputs, options.device, options.seed) == (None, None, "cpu", 0)
    if usual and not options.fix_weights and not options.init_files:
        return None
    from paramtui.core.model_target import model_target

    asked = options.weights is not None or options.inputs is not None
    if asked and options.target is not None and model_target(options.target) is None:
        raise UsageError("--weights and --inputs are for models", hint=MODELS, where=options.target)
    return _model_options(options)


def _home() -> Home:
    """What the start screen offers; each part is looked for when it is wanted."""
    from paramtui.tui.home import Home, Offer, Section

    def samples() -> list[Offer]:
        from paramtui.errors import TargetError
        from paramtui.samples import sample_checkpoints, sample_models

        try:
            found = [*sample_models(), *sample_checkpoints()]
            return [Offer(str(sample.path), sample.name, sample.teaches) for sample in found]
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
