"""Changes of JSON documents: values, keys, nesting, and what only the text can say."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from tests.fuzz.bytes_mutators import EXTREMES, packed

if TYPE_CHECKING:
    from random import Random

_VALUES: Final[tuple[Any, ...]] = (
    *EXTREMES, None, True, False, 0.0, 1.5, -0.0, 1e300, float("nan"), float("inf"), "", "0", [], {},
    [0, 4], [2, 1], [1] * 70, [True], [2.0], [[1]], "F32", "BF16", "F4", "F6_E2M3", "X9", "float32", "../x",
    "/etc/passwd", "a/../../b", ".", "..", "config.json", "\x00", "\x1b[2J", "\u202e", "\ud800", "[/nope]",
    "x" * 300, "model-00001-of-00002.safetensors", {"a": {"b": []}}, 10**400, "intent", "done", "undone",
    "saved", "head", "initialise", "set", "tie", "untie",
)  # fmt: skip
_KEYS: Final = (
    "", "__metadata__", "weight_map", "metadata", "total_size", "dtype", "shape", "data_offsets",
    "tie_word_embeddings", "model_type", "architectures", "text_config", "decoder", "journal", "changes",
    "record", "edit", "tensor", "value", "a.b", "\x1b", "\u202e", "x" * 300, "as_int", "config",
    "lm_head.weight", "options", "environment", "target",
)  # fmt: skip
_RAW: Final = (
    "NaN", "Infinity", "[" * 2000, '{"a":' * 2000, "1" * 5000, "1e999", "\\", '"\\ud800"', "'",
    "\x00", "\ufeff", "-", "{", "]",
)  # fmt: skip


def _value(rng: Random) -> Any:
    """One of the values, not to be changed for those who take it next."""
    return deepcopy(rng.choice(_VALUES))


def _places(found: Any) -> list[tuple[Any, Any]]:
    """Every value of a document, as what holds it and its key there."""
    places: list[tuple[Any, Any]] = []
    rest = [found]
    while rest:
        holder = rest.pop()
        if isinstance(holder, dict | list):
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            places += [(holder, key) for key in keys]
            rest += [holder[key] for key in keys]
    return places


def _change(rng: Random, found: Any) -> Any:
    places = _places(found)
    if not places or rng.random() < 0.01:
        return _value(rng)
    holder, key = rng.choice(places)
    what = rng.randrange(8)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[rng.choice(_KEYS)] = holder.pop(key)
    elif what == 2 and isinstance(holder, dict):
        holder[rng.choice(_KEYS)] = _value(rng)
    elif what == 3 and isinstance(holder, list):
        holder.insert(key, _value(rng))
    elif what == 4:
        there, other = rng.choice(places)
        # Copied, since a document that holds itself cannot be written.
        holder[key] = json.loads(
            json.dumps(there.get(other) if isinstance(there, dict) else there[other:][:1])
        )
    elif what == 5 and isinstance(holder[key], int):
        holder[key] += rng.choice((-1, 1, 8, -8))
    else:
        holder[key] = _value(rng)
    return found


def _change_text(rng: Random, text: str) -> str:
    marks = [found.end() for found in re.finditer(r"[{\[,:]", text)] or [0]
    at = rng.choice(marks)
    if rng.random() < 0.5:
        # A key, or an entry, comes twice.
        end = rng.choice(marks)
        return text[:at] + text[min(at, end) : max(at, end)] + text[at:]
    return text[:at] + rng.choice(_RAW) + text[at:]


def changed_json(rng: Random, content: bytes, other: bytes) -> bytes:  # noqa: ARG001  as the other mutators
    """A few changes of a document, or of each line that is one."""
    lines = content.split(b"\n") if content.count(b"\n{") else [content]
    at = rng.randrange(len(lines))
    try:
        found = json.loads(lines[at])
    except ValueError:
        return content[:-1]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = _change(rng, found)
    text = json.dumps(found, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.15:
        text = _change_text(rng, text)
    lines[at] = text.encode("utf-8", "surrogatepass")
    if len(lines) > 1 and rng.random() < 0.2:
        rng.shuffle(lines)
    return b"\n".join(lines)


def changed_header(rng: Random, content: bytes, other: bytes) -> bytes:
    """A safetensors file with another header, whose length is told rightly or wrongly."""
    length = int.from_bytes(content[:8], "little")
    header = changed_json(rng, content[8 : 8 + length], other)
    told = len(header) if rng.random() < 0.9 else rng.choice((*EXTREMES, len(header) - 1, len(header) + 1))
    data = content[8 + length :]
    if rng.random() < 0.05:
        data = data[: rng.randrange(len(data) + 1)]
    return packed(told, 8) + header + data
