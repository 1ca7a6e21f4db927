"""One case of a fuzz run: a few files of one kind; kept as a folder of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

CORPUS: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


class Case(NamedTuple):
    """Files, and who reads them.

    Attributes:
        unit: One of `tests.fuzz.units.UNITS`.
        name: What it was made from.
        files: Contents by name; the first one is what is opened.
    """

    unit: str
    name: str
    files: dict[str, bytes]

    @property
    def main(self) -> bytes:
        """The content of what is opened."""
        return next(iter(self.files.values()))

    def with_main(self, content: bytes) -> Case:
        """The same with another content of what is opened."""
        first = next(iter(self.files))
        return self._replace(files={**self.files, first: content})

    @property
    def digest(self) -> str:
        """Tells cases apart."""
        found = hashlib.sha256()
        for name, content in self.files.items():
            found.update(f"{name} {len(content)} ".encode("utf-8", "surrogatepass") + content)
        return found.hexdigest()[:10]


def write_case(folder: str, case: Case) -> str:
    """Writes a case below a folder; returns where."""
    path = os.path.join(folder, f"{case.unit}-{case.name}")
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    for place, (name, content) in enumerate(case.files.items()):
        # The order counts, and listing a folder does not keep it.
        with open(os.path.join(path, f"{place}-{name}"), "wb") as file:
            file.write(content)
    return path


def read_case(path: str) -> Case:
    """The case that `write_case` wrote."""
    unit, _, name = os.path.basename(os.path.normpath(path)).partition("-")
    files: dict[str, bytes] = {}
    for numbered in sorted(os.listdir(path), key=lambda entry: int(entry.partition("-")[0])):
        with open(os.path.join(path, numbered), "rb") as file:
            files[numbered.partition("-")[2]] = file.read()
    return Case(unit, name, files)


def read_cases(folder: str) -> list[Case]:
    """All cases below a folder, in the order of their names; none where there is no such folder."""
    if not os.path.isdir(folder):
        return []
    paths: Iterable[str] = (os.path.join(folder, name) for name in sorted(os.listdir(folder)))
    return [read_case(path) for path in paths if os.path.isdir(path)]
