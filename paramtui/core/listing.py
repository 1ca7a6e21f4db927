"""What a source holds, in columns: one list per property, one entry per tensor.

A tensor's **id** is its place in the columns. Its dotted name is a label that several tensors can
have; its key path is exact. Paths are kept as nodes with parent pointers, so that a nest of any
depth costs one node a level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from paramtui.core.text import key_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from paramtui.core.live import LiveFacts
    from paramtui.core.sharing import Sharing

Key: TypeAlias = object
"""One step of a path: mostly text or an integer; whatever a dict of the file has as a key."""
Shape: TypeAlias = tuple[int | None, ...]
"""Sizes by dimension; None for the ragged dimension of a nested tensor."""

# How a node is reached from its parent.
ITEM = 0  # parent[key]
ATTRIBUTE = 1  # parent.key
SUBMODULE = 2  # parent.get_submodule(key)
PARAMETER = 3  # parent.get_parameter(key)
BUFFER = 4  # parent.get_buffer(key)
ARGUMENT = 5  # an argument of the call that makes the parent: not reachable

ROOT = 0

GHOST = "ghost"
"""Type name of a value that stands for a tensor which a live model does not have."""

# Layouts of what has no numbers of its own: they lie in the tensors below it, or do not exist yet.
UNCOUNTED = ("wrapper", "uninitialized")


class Geometry(NamedTuple):
    """Where the elements of a strided tensor lie.

    Attributes:
        location: Index of the run of bytes that holds them, see `Listing.locations`; -1 for none.
        begin: Byte in that run where element [0, ..., 0] starts.
        dtype: Element type.
        shape: Sizes.
        stride: Steps between neighbours, in elements.
    """

    location: int
    begin: int
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Quantizer(NamedTuple):
    """How stored integers stand for numbers: ``(stored - zero_point) * scale``.

    `axis` is None for one scale and zero point; otherwise they are given along that dimension,
    as numbers or as 1-d tensors of the file.
    """

    scheme: str
    scales: Geometry | tuple[float, ...]
    zero_points: Geometry | tuple[float, ...]
    axis: int | None


class Extra:
    """What only unusual tensors have.

    Attributes:
        class_name: The tensor's Python class, where it is not ``torch.Tensor``.
        layout: ``sparse_coo``, ``sparse_csr``, ..., ``nested``, ``jagged``, ``meta`` or
            ``wrapper`` (a subclass whose numbers lie in the tensors listed below it).
        parts: Components of a layout that is not strided, by their PyTorch names.
        options: Plain facts about the layout, such as the ragged dimension.
        quantizer: Of a quantised tensor.
        conj: Elements are to be conjugated (a lazy conjugate view).
        neg: Elements are to be negated (a lazy negative view).
        problem: Why the values cannot be read, in words for a person.
    """

    # No dataclass: importing dataclasses takes 7 ms of every start.
    __slots__ = ("class_name", "conj", "layout", "neg", "options", "parts", "problem", "quantizer")

    def __init__(self, problem: str | None = None) -> None:
        self.class_name: str | None = None
        self.layout: str | None = None
        self.parts: dict[str, Geometry] = {}
        self.options: dict[str, int] = {}
        self.quantizer: Quantizer | None = None
        self.conj = False
        self.neg = False
        self.problem = problem


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


class Totals(NamedTuple):
    """Sums over tensors; `unique_*` count shared memory once."""

    tensors: int
    elements: int
    unique_elements: int
    nbytes: int
    unique_nbytes: int


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
        locations: Runs of bytes by index.
        shards: The files of a checkpoint in several, in the order of their nodes; empty for one file.
        globals: Names of classes and functions that the file's pickles mention; none was touched.
        protocol: Of the pickle that holds the object, where there is one.
        warnings: What a person should know about the file as a whole.
        reasons: Abilities that this source lacks, and why, in words for a person.
        disjoint: The format promises that no two tensors overlap, and the reader checked it.
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
        self.locations: list[Location] = []
        self.shards: list[Shard] = []
        self.globals: list[str] = []
        self.protocol = 2
        self.warnings: list[str] = []
        self.reasons: dict[str, str] = {}
        self.disjoint = False
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
            return Totals(len(chosen), elements, elements, nbytes, nbytes)
        unique_elements, unique_nbytes = distinct(self, None if tensors is None else chosen)
        return Totals(len(chosen), elements, unique_elements, nbytes, unique_nbytes)


def contiguous_stride(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides of a row-major tensor of `shape`, as PyTorch gives them (sizes 0 count as 1)."""
    stride: list[int] = []
    step = 1
    for size in reversed(shape):
        stride.append(step)
        step *= size or 1
    stride.reverse()
    return tuple(stride)
