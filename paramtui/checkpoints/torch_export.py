"""Reads the tensors of an exported program: what ``torch.export.save`` writes since PyTorch 2.8.

Such an archive has no main pickle. ``data/weights/<model>_weights_config.json`` says for each name
which record holds its storage, and its dtype, sizes, strides and offset; the layout is that of
``torch/export/pt2_archive`` and the numbers those of ``torch/_export/serde/schema.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from paramtui.checkpoints.safetensors import parse_strict
from paramtui.checkpoints.source import CheckpointSource, Run
from paramtui.checkpoints.zip_directory import RecordRun, ZipDirectory
from paramtui.checkpoints.zip_pickles import names_of, pickles_beside
from paramtui.core.dtypes import ITEMSIZE, storage_nbytes
from paramtui.core.gc_pause import paused_gc
from paramtui.core.geometry import MAX_DIMS, MAX_SIZE, Extra
from paramtui.core.listing import ITEM, ROOT, Listing, Location, Value
from paramtui.core.text import safe_text
from paramtui.core.warned import Warned

if TYPE_CHECKING:
    from paramtui.checkpoints.files import RandomFile

MAX_CONFIG: Final = 100_000_000
_PICKLE: Final = "a pickle of its own, not shown"
# Folders whose records torch.export.load unpickles, but for configurations and what `_is_raw` is for.
_PICKLED: Final = ("/data/weights/", "/data/constants/", "/data/sample_inputs/")
_STRIDED: Final = 7
_DTYPES: Final = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}


def config_names(directory: ZipDirectory) -> list[str]:
    """The records that name tensors."""
    return [
        name
        for name in directory.names
        if name.endswith(("_weights_config.json", "_constants_config.json")) and "/data/" in name
    ]


def open_archive(directory: ZipDirectory, file: RandomFile, target: str) -> CheckpointSource:
    """Lists the weights and constants of an exported program; its graph is not shown.

    Raises:
        FormatError: A record that names them is no strict JSON.
    """
    listing = Listing(target, "torch-export")
    words = "an exported program (torch.export): its graph is neither shown nor run"
    listing.warnings.append(Warned(words, "not-shown"))
    runs: list[Run] = []
    locations: dict[str, int] = {}
    pickled: set[str] = set()
    configs = config_names(directory)
    for config in configs:
        where = f"{file.path}, {safe_text(config)}"
        fields = parse_strict(directory.text(config, MAX_CONFIG), where, at=0, duplicates=True)
        entries = fields.get("config")
        if not isinstance(entries, dict):
            words = f"{safe_text(config)}: has no map from names to tensors"
            listing.warnings.append(Warned(words, "odd-header", config))
            continue
        folder = config.rpartition("/")[0]
        for name, entry in entries.items():
            node = listing.add_node(ROOT, name, ITEM)
            try:
                if not _add(listing, runs, locations, directory, node, folder, entry):
                    pickled.add(f"{folder}/{entry['path_name']}")
                    listing.values.append(Value(node, "torch.Tensor", _PICKLE))
            except (KeyError, TypeError, ValueError, AttributeError):
                listing.values.append(Value(node, "torch.Tensor", "an entry unlike torch.export's"))
    unread = sum(value.value == _PICKLE for value in listing.values)
    if unread:
        words = f"{unread:,} tensors are pickles of their own, whose numbers are not shown"
        listing.warnings.append(Warned(words, "not-shown"))
    raw = {name for name in locations if name not in pickled and _is_raw(name)}
    beside = [name for name in directory.names if name not in raw]
    pickled.update(name for name in beside if name not in configs and any(map(name.__contains__, _PICKLED)))
    source = CheckpointSource(listing, runs)
    with paused_gc():
        source.pickles = pickles_beside(directory, beside, pickled)
        listing.globals = sorted(names_of(source.pickles))
    return source


def _is_raw(name: str) -> bool:
    """Whether ``torch.export.load`` takes a record for the bytes of numbers, if its configuration says so."""
    # It unpickles those of other names, and all weights where a file is named as the model.
    kind, _, number = name.rpartition("/")[2].partition("_")
    return kind in ("weight", "tensor") and number.isdecimal()


def _add(
    listing: Listing,
    runs: list[Run],
    locations: dict[str, int],
    directory: ZipDirectory,
    node: int,
    folder: str,
    entry: dict[str, Any],
) -> bool:
    """Lists a tensor; returns whether it is one of numbers, and no pickle."""
    meta = entry["tensor_meta"]
    if entry["use_pickle"] or meta is None or meta["layout"] != _STRIDED:
        return False
    dtype = _DTYPES[meta["dtype"]]
    shape = tuple(_integer(size) for size in meta["sizes"])
    stride = tuple(_integer(step) for step in meta["strides"])
    offset = _integer(meta["storage_offset"])
    if len(shape) != len(stride) or len(shape) > MAX_DIMS:
        raise ValueError
    record = f"{folder}/{entry['path_name']}"
    count = 1
    last = offset
    for size, step in zip(shape, stride, strict=True):
        count *= size
        last += (size - 1) * step
    if count > MAX_SIZE:
        raise ValueError
    extra: Extra | None = None
    location = -1
    index = directory.index.get(record)
    if index is None:
        extra = Extra(Warned(f"its record '{safe_text(record)}' is not in the file", "missing-storage"))
    else:
        # Tensors that share a storage name the same record.
        location = locations.get(record, -1)
        if location < 0:
            run = RecordRun(directory, index, big_endian=False)
            listing.locations.append(Location(record, run.nbytes))
            runs.append(run)
            location = locations[record] = len(runs) - 1
        needed = (last + 1) * ITEMSIZE[dtype] if count else 0
        if needed > runs[location].nbytes:
            words = f"it reaches to byte {needed:,} of a record of {runs[location].nbytes:,} bytes"
            extra = Extra(Warned(words, "out-of-bounds"))
    listing.add_tensor(
        node,
        "parameter" if entry["is_param"] else "buffer",
        location,
        offset * ITEMSIZE[dtype],
        dtype,
        shape,
        stride,
        offset,
        storage_nbytes(dtype, count),
        bool(meta["requires_grad"]),
        extra,
    )
    return True


def _integer(field: dict[str, Any]) -> int:
    """A size that is known; a symbolic one has no number."""
    number = field["as_int"]
    if type(number) is not int or not 0 <= number <= MAX_SIZE:
        raise ValueError
    return number
