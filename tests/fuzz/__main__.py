"""``python -m tests.fuzz``: breaks files by the million and reads them under an alarm.

Every case has to end in a listing that makes sense or in an error meant for people, within the time and
memory that any small file may take, and without anything being done but reading. Exit status 1 if one does
not.
"""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.cases import CORPUS
from tests.fuzz.run import run


def main() -> int:
    """Runs what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--pickles", type=int, default=20_000, help="pickles, headers and archives in memory")
    parser.add_argument("--files", type=int, default=1_000, help="whole files and folders")
    parser.add_argument("--seed", type=int, default=1, help="other cases with each")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--corpus", default=CORPUS, help="folder of cases that are read first")
    parser.add_argument("--keep", default=CORPUS, help="folder for the cases that fail")
    options = parser.parse_args()
    result = run(
        options.pickles, options.files, options.seed, options.jobs, corpus=options.corpus, keep=options.keep
    )
    print(result.summary())
    for failure in result.failures:
        print(f"\n{failure['signature']}\n{failure['origin']}, kept as {failure['path']}\n{failure['words']}")
    for words in result.crashes:
        print(words)
    if result.failed:
        print(f"\nAgain: python -m tests.fuzz --pickles 0 --files 0 --corpus {options.keep}")
    return int(bool(result.failed))


if __name__ == "__main__":
    sys.exit(main())
