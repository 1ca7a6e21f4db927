"""Tries every bomb and prints what it cost: ``python -m tests.hostile [--only GROUP] [--json]``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.hostile.bombs import GROUPS, bombs
from tests.hostile.measuring import Measurer, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDS = (("ls",), ("ls", "--json"), ("check",), ("show",))
ODD = ("Traceback", "an error of its own", "not enough memory")


class Tried(NamedTuple):
    """One command on one bomb."""

    group: str
    bomb: str
    command: str
    run: Run


def tried(
    groups: Sequence[str], commands: Sequence[tuple[str, ...]] = COMMANDS, only: str = ""
) -> Iterator[Tried]:
    """Runs commands on the bombs of some groups."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        measurer = Measurer(folder)
        for group in groups:
            for bomb in bombs(group):
                if only not in bomb.name:
                    continue
                target = bomb.lay(folder / "bomb")
                for command in commands:
                    yield Tried(group, bomb.name, " ".join(command), measurer.run([*command, str(target)]))
                shutil.rmtree(folder / "bomb")
        measurer.close()


def odd(run: Run) -> bool:
    """Whether a command ended otherwise than it may."""
    return run.status not in (0, 1, 2) or any(words in run.said for words in ODD)


def line(found: Tried) -> str:
    """One row of the table."""
    run = found.run
    return (
        f"{found.group:<9} {found.bomb[:48]:<48} {found.command:<10} {run.status:>4} {run.busy:>7.2f} s"
        f" {run.mib:>7.0f} MiB {run.written:>12,} bytes"
    )


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group, or several")
    parser.add_argument("--match", default="", help="bombs with this in their names")
    parser.add_argument("--json", action="store_true", help="one line of JSON a run, for programs")
    parser.add_argument("--worst", type=int, default=12, help="rows of the tables")
    options = parser.parse_args(words)
    found: list[Tried] = []
    for one in tried(options.only or GROUPS, only=options.match):
        if options.json:
            print(json.dumps([one.group, one.bomb, one.command, *one.run]), flush=True)
        found.append(one)
    if options.json:
        return
    print("slowest")
    for one in sorted(found, key=lambda one: -one.run.busy)[: options.worst]:
        print(line(one))
    print("largest")
    for one in sorted(found, key=lambda one: -one.run.mib)[: options.worst]:
        print(line(one))
    print("longest output")
    for one in sorted(found, key=lambda one: -one.run.written)[: options.worst]:
        print(line(one))
    for one in found:
        if odd(one.run):
            print("odd", line(one), one.run.said[-300:])
    names = {(one.group, one.bomb) for one in found}
    print(
        f"hostile files: {len(names):,} tried in {len(found):,} runs;"
        f" slowest {max(one.run.busy for one in found):.2f} s,"
        f" largest {max(one.run.mib for one in found):.0f} MiB,"
        f" longest output {max(one.run.written for one in found) / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
