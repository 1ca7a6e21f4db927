"""Checkpoints from Python, without torch: names, shapes, and windows of numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from paramtui.core.indexing import apply_index, parse_index
from paramtui.core.lookup import tensor_id
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from types import EllipsisType

    import numpy as np
    import numpy.typing as npt

    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.listing import Listing


class Checkpoint:
    """An opened checkpoint.

    >>> checkpoint = open_checkpoint("model.safetensors")
    >>> checkpoint.listing.names[:2], checkpoint.listing.shape[:2]
    >>> checkpoint.read("layers.0.weight", (0, slice(None, 3)))

    Attributes:
        listing: Everything it holds, in columns by tensor id; see `paramtui.core.listing.Listing`.
    """

    def __init__(self, source: CheckpointSource) -> None:
        self._source = source
        self.listing: Listing = source.listing

    def read(
        self,
        tensor: int | str | list[str | int],
        index: str | tuple[int | slice | EllipsisType, ...] = (),
    ) -> npt.NDArray[Any]:
        """Numbers of a tensor or a slice of it; only their bytes are read.

        Args:
            tensor: Its id, its dotted name, or its key path.
            index: Integers, slices and ``...``, as a tuple or as text (``"0, :3"``).

        Returns:
            A NumPy array. Types that NumPy lacks are widened without loss: bfloat16 and 8-bit floats
            to float32, complex32 to complex64; quantised tensors are dequantised to float32,
            sparse ones made dense. ``float4_e2m1fn_x2`` gets one more dimension of two.

        Raises:
            NameLookupError: No tensor, or several, have that name.
            IndexSyntaxError: The index does not fit the shape.
            ValuesError: The numbers are damaged, not stored, or ragged (see `read_parts`).
        """
        found = tensor if isinstance(tensor, int) else tensor_id(self.listing, tensor)
        shape = tuple(-1 if size is None else size for size in self.listing.shape[found])
        if -1 in shape:
            raise ValuesError("a ragged tensor has no rectangular array", hint="use read_parts")
        selection = apply_index(parse_index(index) if isinstance(index, str) else index, shape)
        window = self._source.read_window(found, selection.picks)
        if window.values is None:
            raise ValuesError("a ragged tensor has no rectangular array", hint="use read_parts")
        return window.values.reshape(selection.shape + window.values.shape[len(shape) :])

    def read_parts(self, tensor: int | str | list[str | int]) -> list[npt.NDArray[np.generic]]:
        """The components of a nested (ragged) tensor, one array each.

        Raises:
            NameLookupError: No tensor, or several, have that name.
            ValuesError: The tensor is not ragged, or damaged.
        """
        found = tensor if isinstance(tensor, int) else tensor_id(self.listing, tensor)
        shape = self.listing.shape[found]
        window = self._source.read_window(found, [range(size or 0) for size in shape])
        if window.values is not None:
            raise ValuesError("the tensor is not ragged", hint="use read")
        return window.parts


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Opens a checkpoint file, an index of shards, or a directory that holds a checkpoint.

    Nothing in the file is executed, and neither torch nor more than the headers is loaded.

    Raises:
        TargetError: It is missing, not readable, or neither a file nor a directory.
        FormatError: It is of no known format, or damaged.
    """
    from paramtui.checkpoints import registry

    return Checkpoint(registry.open_checkpoint(os.fspath(path)))
