"""Findings as a SARIF 2.1.0 log (OASIS, Static Analysis Results Interchange Format), for code scanning."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from paramtui.core.health import RULES
from paramtui.core.model_target import model_target
from paramtui.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paramtui.core.health import Finding
    from paramtui.core.listing import Listing

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def check_sarif(listing: Listing, found: Sequence[Finding]) -> Iterator[str]:
    """The log, in pieces: one run, all rules of the program, a result for each finding."""
    rules = [
        {
            "id": rule,
            "shortDescription": {"text": f"{words[0].upper()}{words[1:]}."},
            "defaultConfiguration": {"level": severity},
        }
        for rule, (severity, words) in RULES.items()
    ]
    driver = {"name": "paramtui", "version": __version__, "rules": rules}
    yield f'{{"$schema": {json.dumps(SCHEMA)}, "version": "2.1.0", "runs": [{{\n'
    yield f' "tool": {{"driver": {json.dumps(driver)}}},\n "results": ['
    places = {rule: place for place, rule in enumerate(RULES)}
    files = _Files(listing)
    separator = "\n  "
    for finding in found:
        result = {
            "ruleId": finding.rule,
            "ruleIndex": places[finding.rule],
            "level": finding.severity,
            "message": {"text": finding.message},
            "locations": [_location(finding, files)],
        }
        yield separator + json.dumps(result)
        separator = ",\n  "
    yield "]}]}\n"


def _location(finding: Finding, files: _Files) -> dict[str, object]:
    location: dict[str, object] = {}
    path = files.of(finding)
    if path:
        location["physicalLocation"] = {"artifactLocation": {"uri": uri(path)}}
    if not finding.is_file or not path:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.where or "(tensor)", "kind": "member"}]
    return location


class _Files:
    """Which file a finding is about."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        # A module that is named with dots has no path that is known here.
        model = model_target(listing.target) if listing.live is not None else None
        self._target = listing.target if listing.live is None else model.file if model is not None else ""
        self._first = [shard.first_node for shard in listing.shards]

    def of(self, finding: Finding) -> str:
        """Its path; empty where there is none."""
        listing = self._listing
        if finding.is_file:
            if finding.where == listing.target or os.path.exists(finding.where):  # noqa: PTH110
                return finding.where if listing.live is None else self._target
            # The parts of a checkpoint in several files are named within its directory.
            folder = listing.target if os.path.isdir(listing.target) else os.path.dirname(listing.target)  # noqa: PTH112, PTH120
            return os.path.join(folder, finding.where)  # noqa: PTH118
        if finding.tensor >= 0 and self._first:
            shard = listing.shards[max(bisect_right(self._first, listing.node[finding.tensor]) - 1, 0)]
            return shard.path or self._target
        return self._target


def uri(path: str) -> str:
    """A path as a URI: with ``file://`` where it is absolute, else relative to where the log is read."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        # An index can name a shard with half a character, which no file has.
        raw = path.encode("utf-8", "backslashreplace")
    text = quote(raw, safe="/")
    return f"file://{text}" if path.startswith("/") else text
