"""What the command line takes, and what its help says."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from paramtui.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

TARGETS = "checkpoint file or directory, file.py, file.py:factory, package.module:factory"


def parsed(command: str | None, words: Sequence[str]) -> argparse.Namespace:
    """What the words of a command say; options may stand before, between and after the other words.

    Args:
        command: None for browsing.
        words: Those after the command.

    Raises:
        UsageError: They say nothing that the command takes.
    """
    parser = parser_of(command)
    options, left = parser.parse_known_intermixed_args(words)
    if left:
        # An option that is not known leaves over what follows it, too.
        unknown = [word for word in left if word.startswith("-")] or left
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def parser_of(command: str | None) -> argparse.ArgumentParser:
    """The parser of a command's words; None for browsing."""

    class OneLineParser(argparse.ArgumentParser):
        """Says what is wrong in one line, as every other error."""

        def error(self, message: str) -> NoReturn:
            raise UsageError(message, hint=f"{self.prog} --help shows what it takes")

    if command is None:
        from paramtui.version import __version__

        parser: argparse.ArgumentParser = OneLineParser(
            prog="paramtui",
            description="Opens a PyTorch model or checkpoint as a tree of blocks and shows its numbers.",
            epilog="commands: paramtui ls TARGET, paramtui show TARGET [NAME [INDEX]],"
            " paramtui stats TARGET, paramtui shared TARGET, paramtui grad TARGET,"
            " paramtui init TARGET INITIALIZER -o OUT, paramtui replay JOURNAL TARGET -o OUT,"
            " paramtui check TARGET;"
            " each has --help. A file named like a command is ./ls.",
        )
        parser.add_argument("target", nargs="?", help=f"{TARGETS}; without it a start screen")
        _add_model_options(parser)
        _add_init_files(parser)
        parser.add_argument("--at", metavar="NAME", help="begin at this tensor or block (name, or key path)")
        parser.add_argument("--index", metavar="INDEX", help="and there at this index, as in Python: 0,100")
        parser.add_argument("--version", action="version", version=f"paramtui {__version__}")
        return parser
    parser = OneLineParser(prog=f"paramtui {command}")
    if command == "replay":
        parser.add_argument("journal", metavar="JOURNAL", help="changes that were written out as JSON")
    parser.add_argument("target", metavar="TARGET", help=TARGETS)
    _add_model_options(parser)
    if command in ("init", "replay"):
        _add_changing(parser, command)
    elif command == "ls":
        parser.description = "Lists a model or checkpoint as a tree with totals, or one line a tensor."
        _add_patterns(parser)
        parser.add_argument("--flat", action="store_true", help="one line a tensor instead of the tree")
        parser.add_argument("--depth", type=_depth, metavar="N", help="levels of the tree to show")
        parser.add_argument(
            "--sort",
            choices=("stored", "name", "size", "shape", "dtype"),
            default="stored",
            help="order of siblings, or of the flat list (default: as stored, 2 before 10)",
        )
    elif command == "stats":
        parser.description = "Shows what the numbers of each tensor are like: spread, extremes, NaN, zeros."
        _add_patterns(parser)
        parser.add_argument(
            "--exact", action="store_true", help="exact quantiles of wide types too; reads them again"
        )
        parser.add_argument(
            "--sort",
            choices=("stored", "name", "std", "abs_max", "mean", "l2", "zero", "nan", "inf"),
            default="stored",
            help="order of the lines: largest figures first (default: as stored)",
        )
    elif command == "shared":
        parser.description = "Lists names that share memory, are declared to be one, or keep storage alive."
        _add_patterns(parser)
        parser.add_argument(
            "--copies", action="store_true", help="read all numbers and list equal copies too"
        )
    elif command == "grad":
        parser.description = "Runs a model forward and backward once; shows every parameter's gradient."
    elif command == "check":
        parser.description = (
            "Says what a checkpoint would run when loaded by pickle, and what is wrong with it."
        )
        parser.add_argument(
            "--values", action="store_true", help="read all numbers: NaN, infinities, all zero, constant"
        )
        forms = parser.add_mutually_exclusive_group()
        forms.add_argument("--sarif", action="store_true", help="SARIF 2.1.0, for code scanning")
        forms.add_argument("--json", action="store_true", help="strict JSON for programs")
        return parser
    else:
        parser.description = "Shows the numbers of one tensor or slice, reading only their bytes."
        parser.add_argument("name", metavar="NAME", nargs="?", help="dotted name, or key path as JSON")
        parser.add_argument("index", metavar="INDEX", nargs="?", default="", help="as in Python: 0,:3")
    parser.add_argument("--json", action="store_true", help="strict JSON for programs")
    return parser


def _add_patterns(parser: argparse.ArgumentParser) -> None:
    # With a default they are not named as missing.
    parser.add_argument(
        "patterns", metavar="PATTERN", nargs="*", default=[], help="globs over full dotted names"
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("for models")
    group.add_argument("--device", default="cpu", metavar="D", help="cpu (default), cuda, cuda:1, meta")
    group.add_argument("--seed", type=_seed, default=0, metavar="N", help="of all random numbers (default 0)")
    group.add_argument("--weights", metavar="CKPT", help="a checkpoint to load into the model")
    group.add_argument(
        "--fix-weights",
        action="store_true",
        help="load the entry of CKPT, or without the prefix, that fits best",
    )
    group.add_argument(
        "--inputs", metavar="SPEC", help="of a backward pass: 2x3x224x224, int64:4x16<1000, file.py:function"
    )


def _add_init_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--init",
        dest="init_files",
        action="append",
        default=[],
        metavar="FILE.py",
        help="custom initialisers: functions of a module or of a tensor; can be given several times",
    )


def _add_changing(parser: argparse.ArgumentParser, command: str) -> None:
    if command == "init":
        parser.description = "Initialises parameters of a model or checkpoint, and saves the result."
        parser.add_argument(
            "initializer",
            metavar="INITIALIZER",
            help="'normal_(std=0.01)', zeros_, reset_parameters, my_init",
        )
        parser.add_argument("--block", default="", metavar="NAME", help="only this block or tensor")
        parser.add_argument("--only", default="", metavar="PATTERN", help="only names that match this glob")
        parser.add_argument(
            "--type", default="", metavar="LAYER", help="only of layers of this class: Linear"
        )
        parser.add_argument("--part", choices=("all", "weights", "biases"), default="all", help="only these")
        parser.add_argument(
            "--biases", metavar="INITIALIZER", help="another one for biases; 'leave' leaves them"
        )
        parser.add_argument(
            "--skip", action="store_true", help="leave tensors that cannot take it as they are"
        )
    else:
        parser.description = "Makes the changes of a journal again, and saves the result."
    _add_init_files(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="where to save: .safetensors, .pt"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) >= 1 << 63:
        raise argparse.ArgumentTypeError("a whole number from 0 is wanted")
    return int(text)


def _depth(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError("a number of levels is wanted, 1 or more")
    return int(text)
