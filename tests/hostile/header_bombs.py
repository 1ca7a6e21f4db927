"""Headers of safetensors, indices of shards and configurations that lie or multiply."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def safetensors(header: str | bytes, data: bytes = bytes(16), *, claimed: int | None = None) -> bytes:
    raw = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return (len(raw) if claimed is None else claimed).to_bytes(8, "little") + raw + data


def entry(shape: str = "[4]", offsets: str = "[0,16]", dtype: str = "F32") -> str:
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}'


def header(entries: Iterable[str]) -> str:
    return "{" + ",".join(entries) + "}"


def _index(pairs: Iterable[tuple[str, str]]) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": dict(pairs)}, separators=(",", ":")).encode()


def _small(label: str = "w", nbytes: int = 16) -> bytes:
    return safetensors(header([f'"{label}":' + entry(f"[{nbytes // 4}]", f"[0,{nbytes}]")]), bytes(nbytes))


HEADERS: dict[str, Callable[[], bytes]] = {
    "16,000 tensors": lambda: safetensors(header(f'"{index}":' + entry() for index in range(16_000))),
    "20,000 empty tensors": lambda: safetensors(
        header(f'"{index:x}":' + entry("[0]", "[0,0]", "U8") for index in range(17_000))
    ),
    "scalars of two bytes": lambda: safetensors(
        header(
            f'"{index:x}":' + entry("[]", f"[{2 * index},{2 * index + 2}]", "BF16") for index in range(14_000)
        ),
        b"".join(index.to_bytes(2, "little") for index in range(14_000)),
    ),
    "names of 63 blocks": lambda: safetensors(
        header(f'"{index:x}.' + "a." * 62 + 'a":' + entry("[0]", "[0,0]", "U8") for index in range(5_300))
    ),
    "tensors of unknown dtypes": lambda: safetensors(
        header(f'"{index:x}":' + entry("[]", "[0,0]", f"X{index}") for index in range(14_000))
    ),
    "tensors outside the data": lambda: safetensors(
        header(f'"{index:x}":' + entry("[4]", "[90,99]") for index in range(16_000))
    ),
    "tensors with holes": lambda: safetensors(
        header(f'"{index:x}":' + entry("[1]", f"[{8 * index},{8 * index + 4}]") for index in range(14_000)),
        bytes(130_000),
    ),
    "entries of nothing": lambda: safetensors(header(f'"{index:x}":0' for index in range(100_000))),
    "entries of lists": lambda: safetensors(header(f'"{index:x}":[[[]]]' for index in range(70_000))),
    "a name of 900 kB": lambda: safetensors(header(['"' + "n" * 900_000 + '":' + entry()])),
    "names of 9 kB": lambda: safetensors(
        header('"' + "n" * 9000 + f'{index}":' + entry() for index in range(100))
    ),
    "names of 900 dots": lambda: safetensors(
        header('"' + "a." * 450 + f'{index}":' + entry() for index in range(1000))
    ),
    "names of dots that share nothing": lambda: safetensors(
        header(f'"{index}.' + "a." * 450 + 'a":' + entry() for index in range(1000))
    ),
    "a name of 900,000 dots": lambda: safetensors(header(['"' + "." * 900_000 + '":' + entry()])),
    "a name of 450,000 blocks": lambda: safetensors(header(['"' + "a." * 450_000 + 'a":' + entry()])),
    "names of digits": lambda: safetensors(
        header(f'"{"1a" * 4000}{index}":' + entry() for index in range(110))
    ),
    "names of control characters": lambda: safetensors(
        header(f'"{chr(0x202E) * 3000}{index}":' + entry() for index in range(100))
    ),
    "a name of escapes": lambda: safetensors(header(['"' + "\\u0000" * 150_000 + '":' + entry()])),
    "300,000 sizes": lambda: safetensors(header(['"w":' + entry("[" + ",".join(["1"] * 400_000) + "]")])),
    "300,000 sizes of nine": lambda: safetensors(
        header(['"w":' + entry("[" + ",".join(["9"] * 400_000) + "]")])
    ),
    "300 shapes of 1,000 sizes": lambda: safetensors(
        header(
            f'"{index}":' + entry("[" + ",".join(["9"] * 999 + [str(index)]) + "]") for index in range(400)
        )
    ),
    "many shapes of 100 sizes": lambda: safetensors(
        header(
            f'"{index}":' + entry("[" + ",".join(["9"] * 99 + [str(index)]) + "]") for index in range(3500)
        )
    ),
    "a size of 4,000 digits": lambda: safetensors(header(['"w":' + entry("[" + "9" * 4000 + "]")])),
    "200 sizes of 4,000 digits": lambda: safetensors(
        header(['"w":' + entry("[" + ",".join(["9" * 4000] * 200) + "]")])
    ),
    "a size of 900,000 digits": lambda: safetensors(header(['"w":' + entry("[" + "9" * 900_000 + "]")])),
    "offsets of 4,000 digits": lambda: safetensors(
        header(f'"{index}":' + entry("[1]", "[0," + "9" * 4000 + "]") for index in range(200))
    ),
    "negative sizes": lambda: safetensors(header(['"w":' + entry("[-1]")])),
    "fractions as sizes": lambda: safetensors(header(['"w":' + entry("[4.0]")])),
    "truth values as sizes": lambda: safetensors(header(['"w":' + entry("[true]")])),
    "deep JSON": lambda: safetensors("[" * 900_000),
    "deep JSON of objects": lambda: safetensors('{"a":' * 180_000),
    "deep JSON in an entry": lambda: safetensors(
        header(['"w":{"dtype":' + "[" * 900 + "]" * 900 + ',"shape":[],"data_offsets":[0,4]}'])
    ),
    "many deep entries": lambda: safetensors(
        header(f'"{index}":' + "[" * 500 + "]" * 500 for index in range(900))
    ),
    "one key many times": lambda: safetensors(header(['"w":' + entry()] * 16_000)),
    "metadata many times": lambda: safetensors(header(['"__metadata__":{"a":"b"}'] * 30_000)),
    "metadata of 900 kB": lambda: safetensors(header(['"__metadata__":{"a":"' + "n" * 900_000 + '"}'])),
    "60,000 texts of metadata": lambda: safetensors(
        header(['"__metadata__":{' + ",".join(f'"{index:x}":""' for index in range(90_000)) + "}"])
    ),
    "metadata that ties names": lambda: safetensors(
        header(
            [
                '"__metadata__":{' + ",".join(f'"{index:x}":"w"' for index in range(80_000)) + "}",
                '"w":' + entry(),
            ]
        )
    ),
    "metadata that ties names in a row": lambda: safetensors(
        header(
            [
                '"__metadata__":{' + ",".join(f'"{index}":"{index + 1}"' for index in range(50_000)) + "}",
                '"0":' + entry(),
            ]
        )
    ),
    "metadata that ties names in a ring": lambda: safetensors(
        header(['"__metadata__":{"a":"b","b":"a","w":"w"}', '"w":' + entry()])
    ),
    "a header of 2^63 bytes": lambda: safetensors("{}", claimed=2**63 | 0x7B),
    "a header of 100,000,001 bytes": lambda: safetensors("{}", claimed=100_000_001),
    "a header of spaces": lambda: safetensors("{" + " " * 900_000 + "}"),
    "a header of no UTF-8": lambda: safetensors(b"{" + b"\xff" * 900_000 + b"}"),
    "a header of NaN": lambda: safetensors(header(['"w":NaN'])),
    "a header of a million numbers": lambda: safetensors(header(['"w":[' + "1," * 440_000 + "1]"])),
    "a header of fractions": lambda: safetensors(header(['"w":[' + "1.5," * 220_000 + "1]"])),
}

INDEX = "model.safetensors.index.json"

FOLDERS: dict[str, Callable[[], dict[str, bytes]]] = {
    "an index of 60,000 shards": lambda: {INDEX: _index((f"{i:x}", f"{i:x}.bin") for i in range(52_000))},
    "an index of 40,000 shards of safetensors": lambda: {
        INDEX: _index((f"{i:x}", f"{i:x}.safetensors") for i in range(36_000))
    },
    "an index of 60,000 names in one shard": lambda: {
        INDEX: _index((f"{i:x}", "s.safetensors") for i in range(40_000)),
        "s.safetensors": _small(),
    },
    "an index that names itself": lambda: {INDEX: _index([("w", INDEX)])},
    "an index that names another index": lambda: {
        INDEX: _index([("w", "b.json")]),
        "b.json": _index([("w", INDEX)]),
    },
    "an index that names a directory": lambda: {INDEX: _index([("w", "folder")]), "folder/x": b""},
    "an index that names a FIFO": lambda: {INDEX: _index([("w", "fifo")])},
    "an index that names its parent": lambda: {INDEX: _index([("w", "../../etc/passwd")])},
    "an index that names a long path": lambda: {INDEX: _index([("w", "a/" * 400_000)])},
    "an index that names one file in many ways": lambda: {
        INDEX: _index((f"{i:x}", "./" * i + "s.safetensors") for i in range(700)),
        "s.safetensors": _small(),
    },
    "an index that names one full file in many ways": lambda: {
        INDEX: _index((f"{i:x}", "./" * i + "s.safetensors") for i in range(450)),
        "s.safetensors": safetensors(header(f'"{index:x}":' + entry("[]", "[0,4]") for index in range(8000))),
    },
    "an index that names one pickle in many ways": lambda: {
        INDEX: _index((f"{i:x}", "./" * i + "s.bin") for i in range(450)),
        "s.bin": _pickled(),
    },
    "an index of deep JSON": lambda: {INDEX: b'{"weight_map":' + b"[" * 900_000},
    "an index whose size is a long number": lambda: {
        INDEX: b'{"metadata":{"total_size":' + b"9" * 4000 + b'},"weight_map":{"w":"s.safetensors"}}',
        "s.safetensors": _small(),
    },
    "an index whose size is infinite": lambda: {
        INDEX: b'{"metadata":{"total_size":1e999},"weight_map":{"w":"s.safetensors"}}',
        "s.safetensors": _small(),
    },
    "a map of long names": lambda: {
        INDEX: _index((f"{i}" + "n" * 9000, "s.safetensors") for i in range(100)),
        "s.safetensors": _small(),
    },
    "a map of control characters": lambda: {
        INDEX: _index([("\x1b\u202e" * 10_000, "\x1b\u202e" * 10_000)]),
    },
    "a configuration of deep JSON": lambda: {"s.safetensors": _small(), "config.json": b"[" * 900_000},
    "a configuration of many architectures": lambda: {
        "s.safetensors": _small("model.embed_tokens.weight"),
        "config.json": json.dumps(
            {"architectures": ["XForCausalLM"] * 60_000, "tie_word_embeddings": True}
        ).encode(),
    },
    "a configuration of a long model type": lambda: {
        "s.safetensors": _small("model.embed_tokens.weight"),
        "config.json": json.dumps(
            {"architectures": ["XForCausalLM"], "model_type": "\x1b" * 150_000, "tie_word_embeddings": True}
        ).encode(),
    },
    "a configuration that ties a long name": lambda: {
        "s.safetensors": _small("p." * 400_000 + "model.embed_tokens.weight"),
        "config.json": json.dumps({"architectures": ["XForCausalLM"], "tie_word_embeddings": True}).encode(),
    },
    "a configuration of 900,000 digits": lambda: {
        "s.safetensors": _small(),
        "config.json": b'{"model_type":' + b"9" * 900_000 + b"}",
    },
    "a folder of many files": lambda: {
        f"model-{i:05d}-of-99999.safetensors": _small(f"w{i}") for i in range(300)
    },
    "a folder of many pickles": lambda: {f"{i}.pt": b"" for i in range(1000)},
}


def _pickled() -> bytes:
    from tests.hostile.opcodes import NONE, STOP, archive, dict_of, text

    return archive(dict_of(*(text(f"{i:x}") + NONE for i in range(50_000))) + STOP)
