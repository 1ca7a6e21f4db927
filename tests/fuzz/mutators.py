"""Breaks a case: by what its files are, or as bytes. Equal random numbers give equal cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.fuzz.bytes_mutators import changed_bytes
from tests.fuzz.json_mutators import changed_header, changed_json
from tests.fuzz.pickle_mutators import changed_pickle
from tests.fuzz.zip_mutators import changed_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tests.fuzz.cases import Case

# How many of a hundred cases are broken as bytes.
_BLIND: Final = 0.25


def _by_content(content: bytes) -> Callable[[Random, bytes, bytes], bytes]:
    if content.startswith(b"PK\x03\x04"):
        return changed_archive
    if content[8:9] == b"{":
        return changed_header
    if content[:1] == b"{":
        return changed_json
    return changed_pickle


def _victim(rng: Random, case: Case) -> str:
    """The file that is broken."""
    names = list(case.files)
    if case.unit == "config":
        return "config.json"
    if case.unit == "folder" or (case.unit == "index" and rng.random() < 0.15):
        return rng.choice(names)
    return names[0]


def mutated(rng: Random, seeds: Sequence[Case]) -> Case:
    """One of the seeds, broken."""
    seed = rng.choice(seeds)
    name = _victim(rng, seed)
    content = seed.files[name]
    other = rng.choice(seeds).main
    change = changed_bytes if rng.random() < _BLIND else _by_content(content)
    files = {**seed.files, name: change(rng, content, other)}
    if seed.unit == "folder" and rng.random() < 0.05 and len(files) > 1:
        del files[rng.choice([other for other in files if other != name])]
    return seed._replace(files=files)
