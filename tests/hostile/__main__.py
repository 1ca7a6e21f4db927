"""Tries every bomb and prints what it cost: ``python -m tests.hostile [--only GROUP] [--json]``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.hostile.bombs import GROUPS, bombs
from tests.hostile.measuring import Measurer, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDS = (("ls",), ("ls", "--json"), ("check",), ("check", "--values"), ("stats",), ("show",))


class Tried(NamedTuple):
    """One command on one bomb."""

    group: str
    bomb: str
    command: str
    run: Run


def tried(
    groups: Sequence[str], only: str = "", *, in_turn: bool = False, share: tuple[int, int] = (0, 1)
) -> Iterator[Tried]:
    """Runs the commands on the bombs of some groups, all or one for each in turn."""
    turn = cycle([(command,) for command in COMMANDS]) if in_turn else repeat(COMMANDS)
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        measurer = Measurer(folder)
        for group in groups:
            for bomb in islice(bombs(group), share[0], None, share[1]):
                if only not in bomb.name:
                    continue
                target = bomb.lay(folder / "bomb")
                for command in next(turn):
                    yield Tried(group, bomb.name, " ".join(command), measurer.run([*command, str(target)]))
                shutil.rmtree(folder / "bomb")
        measurer.close()


def line(found: Tried) -> str:
    """One row of the table."""
    run = found.run
    return (
        f"{found.group:<9} {found.bomb[:48]:<48} {found.command:<10} {run.status:>4} {run.busy:>7.2f} s"
        f" {run.mib:>7.0f} MiB {run.written:>12,} bytes"
    )


def main(words: Sequence[str]) -> int:
    """Prints the tables; returns 1 if a bound was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group, or several")
    parser.add_argument("--match", default="", help="bombs with this in their names")
    parser.add_argument("--json", action="store_true", help="one line of JSON a run, for programs")
    parser.add_argument("--share", default="0/1", help="1/3: the second third of the bombs")
    parser.add_argument("--in-turn", action="store_true", help="one command for each bomb, in turn")
    parser.add_argument("--worst", type=int, default=12, help="rows of the tables")
    options = parser.parse_args(words)
    found: list[Tried] = []
    place, _, parts = options.share.partition("/")
    share = int(place), int(parts)
    for one in tried(options.only or GROUPS, options.match, in_turn=options.in_turn, share=share):
        if options.json:
            print(json.dumps([one.group, one.bomb, one.command, *one.run]), flush=True)
        found.append(one)
    if options.json:
        return 0
    print("slowest")
    for one in sorted(found, key=lambda one: -one.run.busy)[: options.worst]:
        print(line(one))
    print("largest")
    for one in sorted(found, key=lambda one: -one.run.mib)[: options.worst]:
        print(line(one))
    print("longest output")
    for one in sorted(found, key=lambda one: -one.run.written)[: options.worst]:
        print(line(one))
    broken = [(one, words) for one in found if (words := one.run.broken())]
    for one, words in broken:
        print(words, line(one), one.run.said[-300:])
    names = {(one.group, one.bomb) for one in found}
    print(
        f"hostile files: {len(names):,} tried in {len(found):,} runs;"
        f" slowest {max(one.run.busy for one in found):.2f} s,"
        f" largest {max(one.run.mib for one in found):.0f} MiB,"
        f" longest output {max(one.run.written for one in found) / 1e6:.1f} MB"
    )
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
