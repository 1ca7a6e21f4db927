"""Which files ``torch.load`` refuses by default (``weights_only=True``).

After ``torch/_weights_only_unpickler.py`` of PyTorch 2.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.listing import Listing, Shard

# Longer integers are written as LONG4, which the restricted unpickler does not know.
_MAX_LOADED_BITS: Final = 255 * 8 - 1
# The last two of torch's are allowed as soon as it is imported.
_ALLOWED: Final = (
    r"_codecs\.encode|builtins\.(bytearray|complex|set)|collections\.(Counter|OrderedDict)|torch\.("
    r"(cuda\.)?(sparse\.)?(BFloat16|Bool|Byte|Char|(Complex)?(Double|Float)|Half|Int|Long|Short)(Storage|Tensor)"
    r"|Q(Int32|Int8|UInt2x4|UInt4x2|UInt8)Storage|storage\.(Typed|Untyped)Storage|Size|Tensor|device|bool"
    r"|b?float\d+(_\w+)?|(bits|complex|q?u?int)\d+(x\d)?|per_(channel|tensor)_\w+|nn\.parameter\.Parameter"
    r"|serialization\._get_layout|_tensor\._rebuild_from_type_v2|_utils\._rebuild_(device_tensor_from_cpu_tensor"
    r"|device_tensor_from_numpy|meta_tensor_no_storage|nested_tensor|parameter(_with_state)?|qtensor"
    r"|sparse_tensor|tensor(_v2|_v3)?|wrapper_subclass)|nested\._internal\.nested_tensor\."
    r"(_rebuild_njt|NestedTensor)|distributed\._mesh_layout\._(Flat|Mesh)Layout)"
)


def refused_by_default(listing: Listing, shard: Shard, end: int) -> bool:
    """Whether ``torch.load`` needs ``weights_only=False`` for a file of torch.save.

    Args:
        listing: What the file holds, perhaps among others.
        shard: The file.
        end: Node after its last one.
    """
    return not _allowed(shard.globals) or _unknown_opcodes(listing, shard, end)


def _allowed(names: Iterable[str]) -> bool:
    """Whether ``torch.load`` takes all these globals by default."""
    import re  # only the first line of a file needs it

    return all(map(re.compile(_ALLOWED).fullmatch, names))


def _unknown_opcodes(listing: Listing, shard: Shard, end: int) -> bool:
    """Whether a pickle has opcodes that the restricted unpickler does not know."""
    protocol = shard.protocol
    # Protocol 1 writes the marks of tensors and of the older format as text.
    if protocol >= 4 or (protocol == 1 and (len(listing) > 0 or shard.format == "torch-legacy")):
        return True
    for node, _, value in listing.values:
        if shard.first_node <= node < end:
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, bool):
                    unknown = protocol == 1
                elif isinstance(item, int):
                    unknown = item.bit_length() > _MAX_LOADED_BITS
                else:
                    unknown = isinstance(item, bytes) and protocol == 3
                if unknown:
                    return True
    return False
