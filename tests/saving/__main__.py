"""Every fault and every kill that saving is looked at with: ``python -m tests.saving`` prints one line.

``python -m tests.saving kills`` does the kills alone, and prints them as JSON. They fork, which a process
with threads had better not.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.saving import faults, journals, killing
from tests.saving.writers import WRITERS

BY_CHANCE = 200


def kills(seed: int = 7) -> Counter[str]:
    """All kills."""
    seen: Counter[str] = Counter()
    for maker in WRITERS:
        seen += killing.kill_at_every_call(maker)
    seen += journals.kill_at_every_call()
    with tempfile.TemporaryDirectory() as folder:
        found = killing.kill_by_chance(Path(folder), BY_CHANCE, seed)
    assert not found["torn"] and not found["lost"] and not found["left after removal"], found
    return seen + found


def main() -> None:
    """Does everything; whatever is not as it should be ends it with an error."""
    begin = time.monotonic()
    seen: Counter[str] = Counter()
    for maker in WRITERS:
        seen += faults.run_all(maker)
    seen += journals.run_all()
    killed = kills()
    files = sum(seen[what] + killed[what] for what in ("old", "new", "whole"))
    print(
        f"saving in {len(WRITERS)} ways, and journals: {seen['faults']:,} faults, {killed['kills']:,} kills;"
        f" {files:,} files looked at, {seen['torn'] + killed['torn']} torn;"
        f" {seen['left and named']:,} temporary files that could not be removed, all named;"
        f" {killed['left and named']:,} left by kills, all found and removed;"
        f" {time.monotonic() - begin:.0f} s"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["kills"]:
        print(json.dumps(kills()))
    else:
        main()
