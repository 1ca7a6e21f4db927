"""What is wrong with a checkpoint or model: rules over its listing, each with a name that lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.describe import MAX_NAMED, slack_words, tensors_in
from paramtui.core.families import Families
from paramtui.core.geometry import UNSTORED
from paramtui.core.listing import Listing
from paramtui.core.text import joined, key_text, safe_text, shape_text
from paramtui.core.ties import wasteful
from paramtui.core.trust import EXTENSION, RUNS, UNUSUAL, Uses
from paramtui.core.warned import Warned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from paramtui.core.damage import Damage
    from paramtui.core.families import Odd
    from paramtui.core.statistics import Statistics
    from paramtui.errors import ValuesError

ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"
# What stands for the format of a file that cannot be opened.
UNREADABLE: Final = "unreadable"
SEVERITIES: Final = (ERROR, WARNING, NOTE)


class Rule(NamedTuple):
    """A rule.

    Attributes:
        severity: That of its findings, where they say no other.
        words: What it finds, in a few words.
    """

    severity: str
    words: str


RULES: Final = {
    "runs-code": Rule(ERROR, "a pickle names what runs code when it is loaded"),
    "truncated-data": Rule(ERROR, "bytes that should be there are not: the file is cut"),
    "missing-storage": Rule(ERROR, "the storage of a tensor is not in the file"),
    "out-of-bounds": Rule(ERROR, "a tensor reaches past the bytes that it lies in"),
    "malformed-tensor": Rule(ERROR, "what describes a tensor makes no sense"),
    "overlapping-data": Rule(ERROR, "tensors overlap where the format forbids it"),
    "missing-shard": Rule(ERROR, "a file of the checkpoint is missing"),
    "unreadable-file": Rule(ERROR, "a file cannot be read, or is none of a checkpoint"),
    "missing-tensor": Rule(ERROR, "the index names a tensor that no file holds"),
    "damaged-data": Rule(ERROR, "bytes are not those that were written: their checksum says so"),
    "unreadable-tensor": Rule(ERROR, "the numbers of a tensor cannot be read"),
    "nan": Rule(ERROR, "a tensor has numbers that are NaN"),
    "unusual-global": Rule(WARNING, "a pickle names what checkpoints usually do not"),
    "unreadable-pickle": Rule(WARNING, "a pickle beside the object cannot be read"),
    "hole": Rule(WARNING, "bytes between tensors belong to none"),
    "trailing-bytes": Rule(WARNING, "bytes behind the last tensor belong to none"),
    "leading-bytes": Rule(WARNING, "bytes stand before the archive"),
    "byte-order": Rule(WARNING, "the byte order is not said"),
    "odd-header": Rule(WARNING, "a header says something else than such files do"),
    "unsupported-dtype": Rule(WARNING, "PyTorch has no such dtype"),
    "not-in-index": Rule(WARNING, "a file holds a tensor that the index does not name"),
    "wrong-shard": Rule(WARNING, "a tensor lies in another file than the index says"),
    "index-size": Rule(WARNING, "the files hold another number of bytes than the index says"),
    "missing-layer": Rule(WARNING, "a number is missing in a row of blocks that are built alike"),
    "odd-dtype": Rule(WARNING, "a tensor is of another dtype than its like in other blocks"),
    "odd-shape": Rule(WARNING, "a tensor is of another shape than its like in other blocks"),
    "duplicate-name": Rule(WARNING, "several tensors have one name"),
    "contradicted-tie": Rule(
        WARNING, "what is said to be one tensor is stored as several, or the other way round"
    ),
    "config": Rule(WARNING, "the config.json beside it cannot be understood"),
    "unused-storage": Rule(WARNING, "a view keeps a much larger storage in the file"),
    "inf": Rule(WARNING, "a tensor has infinite numbers"),
    "all-zero": Rule(WARNING, "all numbers of a tensor are zero"),
    "reader-warning": Rule(WARNING, "something else that the reader warns of"),
    "not-shown": Rule(NOTE, "the file holds more than is listed"),
    "odd-tensor": Rule(NOTE, "something about a tensor that a person should know"),
    "constant": Rule(NOTE, "all numbers of a tensor are the same"),
}


class Finding(NamedTuple):
    """What a rule found.

    Attributes:
        rule: One of `RULES`.
        severity: One of `SEVERITIES`.
        where: Name of a tensor or block, or of a file.
        message: A sentence for a person, without a full stop.
        tensor: Id of the tensor, or of one beside the place; -1 for none.
        is_file: Whether `where` names a file.
    """

    rule: str
    severity: str
    where: str
    message: str
    tensor: int = -1
    is_file: bool = False


def check(
    listing: Listing,
    uses: Uses = Uses(),  # noqa: B008  holds nothing that changes
    figures: Mapping[int, Statistics | ValuesError] | None = None,
    damages: Sequence[Damage] = (),
) -> list[Finding]:
    """All findings: errors first, then in the order of the rules.

    Args:
        listing: Of a checkpoint or model.
        uses: What its pickles refer to.
        figures: Of the tensors whose numbers were read, or why they could not be.
        damages: What disagrees with its checksum.
    """
    found = [*trust(listing, uses), *warned(listing), *problems(listing), *declared(listing)]
    found += [*names(listing), *slack(listing), *families(listing), *notes(listing)]
    found += [*damaged(listing, damages), *values(listing, figures or {})]
    place = {rule: at for at, rule in enumerate(RULES)}
    found.sort(key=lambda finding: (SEVERITIES.index(finding.severity), place[finding.rule]))
    return found


def _finding(rule: str, where: str, message: str, tensor: int = -1, severity: str = "") -> Finding:
    return Finding(rule, severity or RULES[rule].severity, where, message, tensor)


def _of_file(rule: str, where: str, message: str) -> Finding:
    return _finding(rule, where, message)._replace(is_file=True)


def place_name(path: Sequence[object]) -> str:
    """A place in a pickle as a dotted name."""
    return ".".join(map(key_text, path)) or "(the object)"


def trust(listing: Listing, uses: Uses) -> Iterator[Finding]:
    """Globals that run code, and unusual ones."""
    for use in uses.found:
        if use.verdict not in (RUNS, UNUSUAL):
            continue
        name = safe_text(use.name)
        if use.verdict == RUNS:
            rule, words = "runs-code", f"{name} runs code if the file is loaded by pickle"
        elif use.name.startswith(EXTENSION):
            rule = "unusual-global"
            words = f"{name}: what this number stands for is registered by the program that loads the file"
        else:
            rule = "unusual-global"
            module = safe_text(use.name.rpartition(".")[0])
            words = f"{name} is not usual in checkpoints: loading by pickle imports {module} and calls it"
        if use.times > 1:
            words += f"; {use.times:,} places"
        elif not use.times:
            words += "; what it makes is thrown away"
        if use.paths:
            yield _finding(rule, place_name(use.paths[0]), words)
        else:
            yield _of_file(rule, listing.target, words)
    for words in uses.unread:
        yield _of_file("unreadable-pickle", listing.target, safe_text(words, 500))


def warned(listing: Listing) -> Iterator[Finding]:
    """What the reader warned of."""
    for words in listing.warnings:
        rule = words.rule if isinstance(words, Warned) else "reader-warning"
        if rule == "contradicted-tie":
            continue  # `declared` tells of which tensor
        where = words.where if isinstance(words, Warned) else ""
        known = listing.ids_named(where) if where else []
        if known:
            yield _finding(rule, where, str(words), known[0])
        elif rule == "missing-tensor":
            yield _finding(rule, where, str(words))
        else:
            yield _of_file(rule, where or listing.target, str(words))


def problems(listing: Listing) -> Iterator[Finding]:
    """Tensors whose numbers cannot be read."""
    for tensor, extra in sorted(listing.extras.items()):
        if extra.problem and extra.layout not in UNSTORED:
            rule = extra.problem.rule if isinstance(extra.problem, Warned) else "unreadable-tensor"
            yield _finding(rule, listing.names[tensor], str(extra.problem), tensor)


def unreadable(target: str, message: str, uses: Uses) -> list[Finding]:
    """All findings about a file that cannot be opened: why, and what its pickles would run all the same."""
    found = [*trust(Listing(target, UNREADABLE), uses), _of_file("unreadable-file", target, message)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def declared(listing: Listing) -> Iterator[Finding]:
    """Ties that a header or a configuration declares, and the file contradicts."""
    for tie in listing.declared:
        if tie.problem:
            yield _finding("contradicted-tie", listing.names[tie.tensor], tie.problem, tie.tensor)


def names(listing: Listing) -> Iterator[Finding]:
    """Names that several tensors have."""
    if len(set(listing.names)) < len(listing):
        for name in dict.fromkeys(listing.names):
            tensors = listing.ids_named(name)
            if len(tensors) > 1:
                words = f"{len(tensors):,} tensors have this name; key paths tell them apart"
                yield _finding("duplicate-name", name, words, tensors[1])


def slack(listing: Listing) -> Iterator[Finding]:
    """Views that keep larger storages."""
    found = wasteful(listing)
    at = tensors_in(listing, [entry.location for entry in found])
    for entry in found:
        tensors = at[entry.location]
        words = slack_words(listing, entry, tensors)
        if tensors:
            yield _finding("unused-storage", listing.names[tensors[0]], words, tensors[0])
        else:
            yield _of_file("unused-storage", listing.target, words)


def families(listing: Listing) -> Iterator[Finding]:
    """Numbers that a family of blocks lacks, and tensors unlike those of the other blocks."""
    found = Families(listing)
    for gap in found.gaps():
        blocks = [f"{gap.family}.{number}" if gap.family else str(number) for number in gap.missing]
        shown = [safe_text(name) for name in blocks[:MAX_NAMED]]
        if len(blocks) > MAX_NAMED:
            shown.append(f"{len(blocks) - MAX_NAMED:,} more")
        are = "are" if len(blocks) > 1 else "is"
        words = f"{joined(shown)} {are} missing between {gap.first:,} and {gap.last:,}"
        yield _finding("missing-layer", blocks[0], words, gap.beside)
    dtypes, shapes = listing.dtype, listing.shape
    for odd in found.odd_ones(lambda tensor: dtypes[tensor], lambda tensor: dtypes[tensor], strict=True):
        yield _odd(listing, "odd-dtype", WARNING, odd)
    for odd in found.odd_ones(
        lambda tensor: shapes[tensor], lambda tensor: shape_text(shapes[tensor]), strict=False
    ):
        severity = WARNING if odd.inside else NOTE
        yield _odd(listing, "odd-shape", severity, odd)


def _odd(listing: Listing, rule: str, severity: str, odd: Odd) -> Finding:
    words = f"{safe_text(odd.is_)}, but {safe_text(odd.usual)} in {odd.blocks:,} other blocks"
    if len(odd.tensors) == 1:
        where = listing.names[odd.tensors[0]]
    else:
        where, words = odd.block, f"{len(odd.tensors):,} tensors are {words}"
    return _finding(rule, where, words, odd.tensors[0], severity)


def notes(listing: Listing) -> Iterator[Finding]:
    """What a person should know of tensors of a live model."""
    if listing.live is not None:
        for tensor, words in sorted(listing.live.notes.items()):
            yield _finding("odd-tensor", listing.names[tensor], safe_text(words, 400), tensor)


# Numbers


def damaged(listing: Listing, damages: Sequence[Damage]) -> Iterator[Finding]:
    """What disagrees with its checksum, by the tensors that lie in it."""
    at = tensors_in(listing, [damage.location for damage in damages])
    for path, location, words in damages:
        tensors = at[location] if location >= 0 else []
        if not tensors:
            yield _of_file("damaged-data", path, words)
            continue
        more = len(tensors) - 1
        if more:
            words += f"; {more:,} more {'tensors lie' if more > 1 else 'tensor lies'} in it"  # noqa: PLW2901
        yield _finding("damaged-data", listing.names[tensors[0]], words, tensors[0])


def values(listing: Listing, figures: Mapping[int, Statistics | ValuesError]) -> Iterator[Finding]:
    """NaN, infinities, tensors that are all zero or of one number, and what could not be read."""
    from paramtui.core.statistics import Statistics

    for tensor in sorted(figures):
        found = figures[tensor]
        name = listing.names[tensor]
        if not isinstance(found, Statistics):
            if not listing.problem(tensor):
                yield _finding("unreadable-tensor", name, safe_text(str(found), 400), tensor)
            continue
        count = f"{found.numel:,}"
        if found.nan:
            yield _finding("nan", name, f"{found.nan:,} of {count} numbers are NaN", tensor)
        if found.inf:
            yield _finding("inf", name, f"{found.inf:,} of {count} numbers are infinite", tensor)
        # A single number that counts steps is zero at first. Of a sample nothing is said about all.
        if found.numel < 2 or found.nan or found.inf or found.sampled:
            continue
        if found.zero == found.numel:
            # Biases and states of an optimizer begin as zero.
            usual = len(listing.shape[tensor]) < 2 or listing.kind[tensor] == "optimizer"
            words = f"all {count} numbers are zero"
            yield _finding("all-zero", name, words, tensor, NOTE if usual else WARNING)
        elif found.min == found.max and not listing.dtype[tensor].startswith("complex"):
            yield _finding("constant", name, f"all {count} numbers are {found.min}", tensor)


# Sums


def counted(found: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each severity."""
    counts = dict.fromkeys(SEVERITIES, 0)
    for finding in found:
        counts[finding.severity] += 1
    return counts


def summary(found: Sequence[Finding]) -> str:
    """``1 error, 2 warnings``; ``nothing found`` for none."""
    words = [
        f"{count:,} {severity}{'' if count == 1 else 's'}"
        for severity, count in counted(found).items()
        if count
    ]
    return ", ".join(words) or "nothing found"


def failed(found: Iterable[Finding]) -> bool:
    """Whether there is more than notes."""
    return any(finding.severity != NOTE for finding in found)
