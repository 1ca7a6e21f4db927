"""What a source holds, in columns: one list per property, one entry per tensor.

A tensor's **id** is its place in the columns. Its dotted name is a label that several tensors can
have; its key path is exact. Paths are kept as nodes with parent pointers, so that a nest of any
depth costs one node a level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from paramtui.core.geometry import UNCOUNTED, Geometry
from paramtui.core.text import key_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.core.geometry import Extra, Shape
    from paramtui.core.live import LiveFacts
    from paramtui.core.sharing import Sharing

Key: TypeAlias = object
"""One step of a path: mostly text or an integer; whatever a dict of the file has as a key."""

# How a node is reached from its parent.
ITEM = 0  # parent[key]
ATTRIBUTE = 1  # parent.key
SUBMODULE = 2  # parent.get_submodule(key)
PARAMETER = 3  # parent.get_parameter(key)
BUFFER = 4  # parent.get_buffer(key)
ARGUMENT = 5  # an argument of the call that makes the parent: not reachable

ROOT = 0

GHOST = "ghost"
"""Type name of a value that stands for a tensor which is not there: its text says where it is instead."""


class Value(NamedTuple):
    """A leaf that is no tensor, or the head of an inert object.

    Attributes:
        node: Its node.
        type_name: Python type, with the module for all but built-in ones.
        value: None, bool, int, float, str, complex, a list of those, or a text that describes it.
    """

    node: int
    type_name: str
    value: object


class Location(NamedTuple):
    """A run of bytes that tensors lie in.

    Attributes:
        key: The storage's name within the file, or None where the format has no storages.
        nbytes: Its length.
    """

    key: str | None
    nbytes: int


class Shard(NamedTuple):
    """One file of a checkpoint in several; what it lists are the nodes up to the next one's first.

    Attributes:
        first_node: Its first node.
        path: Where it lies; empty for what is put together from all of them.
        format: Its own format, as in `Listing.format`.
        globals, protocol: As those of `Listing`, of this file alone.
    """

    first_node: int
    path: str
    format: str
    globals: list[str]
    protocol: int = 2


class Declared(NamedTuple):
    """Names that are said to be one tensor, by something else than their memory.

    Attributes:
        tensor: Id of the tensor that holds the numbers.
        ghosts: Places in `Listing.values` of the names that have no numbers of their own.
        stored: Ids of other tensors that are said to be the same, and are listed with numbers of their own.
        by: What says so, for a person: ``config.json``, ``the header``.
        problem: How the file contradicts it, as a sentence without a full stop; empty where it does not.
    """

    tensor: int
    ghosts: tuple[int, ...]
    stored: tuple[int, ...]
    by: str
    problem: str = ""


class Totals(NamedTuple):
    """Sums over tensors.

    Attributes:
        tensors, elements, nbytes: As listed: what has several names is counted several times.
        unique_elements, unique_nbytes: Shared memory is counted once.
        storage_nbytes: Bytes of the distinct storages that they lie in, whether tensors use them or not.
    """

    tensors: int
    elements: int
    unique_elements: int
    nbytes: int
    unique_nbytes: int
    storage_nbytes: int


class Listing:
    """Everything a source says about its tensors and values, without their numbers.

    Attributes:
        target: What the person asked for.
        format: ``safetensors``, ``torch-zip``, ...; see the design's list.
        node_parent, node_key, node_step: The tree of keys; node 0 is the root. Steps are `ITEM`,
            `ATTRIBUTE`, `SUBMODULE`, `PARAMETER`, `BUFFER` or `ARGUMENT`.
        node_class: Class names of containers, where they are not plain dicts and lists.
        node, kind, dtype, shape, stride, offset, nbytes, requires_grad, location, begin: Columns
            by tensor id. Strides and offsets are in elements; `begin` is the byte in the
            location where the first element starts.
        extras: What unusual tensors have, by id.
        values: Leaves that are no tensors, in the order of the file.
        modules: Nodes that are modules, in the order of the file.
        repeated: Those of them that are the same object as one before, in a pickle that holds it once.
        locations: Runs of bytes by index.
        shards: The files of a checkpoint in several, in the order of their nodes; empty for one file.
        globals: Names of classes and functions that the file's pickles mention; none was touched.
        protocol: Of the pickle that holds the object, where there is one.
        warnings: What a person should know about the file as a whole.
        reasons: Abilities that this source lacks, and why, in words for a person.
        disjoint: The format promises that no two tensors overlap, and the reader checked it.
        declared: Names that are said to be one tensor by a header or a configuration.
        live: What is known of a live model besides; None for a checkpoint.
    """

    def __init__(self, target: str, format_name: str) -> None:
        self.target = target
        self.format = format_name
        self.node_parent: list[int] = [-1]
        self.node_key: list[Key] = [None]
        self.node_step = bytearray([ITEM])
        self.node_class: dict[int, str] = {}
        self.node: list[int] = []
        self.kind: list[str] = []
        self.dtype: list[str] = []
        self.shape: list[Shape] = []
        self.stride: list[tuple[int, ...] | None] = []
        self.offset: list[int | None] = []
        self.nbytes: list[int] = []
        self.requires_grad: list[bool] = []
        self.location: list[int] = []
        self.begin: list[int] = []
        self.extras: dict[int, Extra] = {}
        self.values: list[Value] = []
        self.modules: list[int] = []
        self.repeated: set[int] = set()
        self.locations: list[Location] = []
        self.shards: list[Shard] = []
        self.globals: list[str] = []
        self.protocol = 2
        self.warnings: list[str] = []
        self.reasons: dict[str, str] = {}
        self.disjoint = False
        self.declared: list[Declared] = []
        self.live: LiveFacts | None = None
        self._names: list[str] | None = None
        self._by_name: dict[str, list[int]] | None = None
        self._sharing: Sharing | None = None
        self._module_nodes: frozenset[int] | None = None

    def __len__(self) -> int:
        return len(self.node)

    def add_node(self, parent: int, key: Key, step: int) -> int:
        """Adds a node below `parent` and returns its index."""
        self.node_parent.append(parent)
        self.node_key.append(key)
        self.node_step.append(step)
        return len(self.node_parent) - 1

    def add_tensor(  # noqa: PLR0913, PLR0917  called for every tensor: keywords would cost time
        self,
        node: int,
        kind: str,
        location: int,
        begin: int,
        dtype: str,
        shape: Shape,
        stride: tuple[int, ...] | None,
        offset: int | None,
        nbytes: int,
        requires_grad: bool,  # noqa: FBT001
        extra: Extra | None = None,
    ) -> int:
        """Adds a tensor at `node` and returns its id; arguments as the columns of the class."""
        if extra is not None:
            self.extras[len(self.node)] = extra
        self.node.append(node)
        self.kind.append(kind)
        self.dtype.append(dtype)
        self.shape.append(shape)
        self.stride.append(stride)
        self.offset.append(offset)
        self.nbytes.append(nbytes)
        self.requires_grad.append(requires_grad)
        self.location.append(location)
        self.begin.append(begin)
        return len(self.node) - 1

    def geometry(self, tensor: int) -> Geometry:
        """Where the elements of a strided tensor lie."""
        shape = tuple(-1 if size is None else size for size in self.shape[tensor])
        return Geometry(
            self.location[tensor],
            self.begin[tensor],
            self.dtype[tensor],
            shape,
            self.stride[tensor] or (),
        )

    def path(self, node: int) -> list[Key]:
        """The keys from the root down to `node`."""
        keys: list[Key] = []
        while node > ROOT:
            keys.append(self.node_key[node])
            node = self.node_parent[node]
        keys.reverse()
        return keys

    def node_name(self, node: int) -> str:
        """The keys from the root down to `node`, joined with dots; empty for the root."""
        return ".".join([key_text(key) for key in self.path(node)])

    @property
    def names(self) -> list[str]:
        """Dotted names by tensor id."""
        if self._names is None:
            self._names = self._dotted(self.node)
        return self._names

    def _dotted(self, nodes: Sequence[int]) -> list[str]:
        parents = self.node_parent
        keys = self.node_key
        prefixes: dict[int, str] = {ROOT: ""}
        out: list[str] = []
        for node in nodes:
            parent = parents[node]
            if parent < 0:
                out.append("")
                continue
            prefix = prefixes.get(parent)
            if prefix is None:
                prefix = self.node_name(parent) + "."
                # Only neighbours share a prefix; forgetting the rest bounds the memory of deep nests.
                if len(prefixes) > 10_000 or len(prefix) > 10_000:
                    prefixes = {ROOT: ""}
                prefixes[parent] = prefix
            key = keys[node]
            out.append(prefix + (key if type(key) is str else key_text(key)))
        return out

    def ids_named(self, name: str) -> list[int]:
        """Ids of all tensors whose dotted name is `name`."""
        if self._by_name is None:
            by_name: dict[str, list[int]] = {}
            for tensor, found in enumerate(self.names):
                by_name.setdefault(found, []).append(tensor)
            self._by_name = by_name
        return self._by_name.get(name, [])

    def problem(self, tensor: int) -> str | None:
        """Why the values of a tensor cannot be read, or None."""
        extra = self.extras.get(tensor)
        return extra.problem if extra else None

    def storage(self, tensor: int) -> str | None:
        """Name of the storage within the file, or None."""
        location = self.location[tensor]
        return self.locations[location].key if location >= 0 else None

    @property
    def module_nodes(self) -> frozenset[int]:
        """`modules`, to ask whether a node is one."""
        if self._module_nodes is None:
            self._module_nodes = frozenset(self.modules)
        return self._module_nodes

    @property
    def sharing(self) -> Sharing:
        """Which tensors share memory, and how much is distinct."""
        if self._sharing is None:
            from paramtui.core.sharing import find_sharing

            self._sharing = find_sharing(self)
        return self._sharing

    def numel(self, tensor: int) -> int:
        """Number of elements; of a nested tensor what its bytes hold."""
        count = 1
        for size in self.shape[tensor]:
            if size is None:
                extra = self.extras.get(tensor)
                return extra.options.get("numel", 0) if extra else 0
            count *= size
        return count

    def sums(self, tensors: Iterable[int]) -> tuple[int, int]:
        """Elements and bytes of some tensors as listed. Wrappers are counted by what they hold."""
        extras, shapes, sizes = self.extras, self.shape, self.nbytes
        elements = nbytes = 0
        # Shapes repeat: each is multiplied once.
        known: dict[Shape, int] = {}
        for tensor in tensors:
            if tensor in extras:
                if extras[tensor].layout not in UNCOUNTED:
                    elements += self.numel(tensor)
                    nbytes += sizes[tensor]
                continue
            shape = shapes[tensor]
            count = known.get(shape)
            if count is None:
                count = known[shape] = self.numel(tensor)
            elements += count
            nbytes += sizes[tensor]
        return elements, nbytes

    def totals(self, tensors: Iterable[int] | None = None) -> Totals:
        """Sums over `tensors`, by default all."""
        from paramtui.core.sharing import distinct

        chosen = range(len(self.node)) if tensors is None else list(tensors)
        elements, nbytes = self.sums(chosen)
        if self.disjoint and not self.extras:
            return Totals(len(chosen), elements, elements, nbytes, nbytes, nbytes)
        sharing = distinct(self, None if tensors is None else chosen)
        return Totals(
            len(chosen),
            elements,
            sharing.unique_elements,
            nbytes,
            sharing.unique_nbytes,
            sharing.storage_nbytes,
        )
