"""Pickles of tensors that claim, repeat or contain each other beyond all measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile.opcodes import (
    APPENDS,
    BINPERSID,
    BUILD,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    FALSE,
    MARK,
    NEWOBJ,
    NONE,
    POP,
    REDUCE,
    SETITEMS,
    STOP,
    TRUE,
    TUPLE,
    TUPLE1,
    TUPLE2,
    call,
    dict_of,
    fill,
    get,
    integer,
    list_of,
    name,
    put,
    raw_bytes,
    storage,
    tensor,
    text,
    tuple_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

V2, UTILS = "_rebuild_tensor_v2", "torch._utils"


def many(
    each: Callable[[int], bytes], held: dict[int, bytes], limit: int = 1_000_000, keys: str = "{:x}"
) -> bytes:
    """A dict of as many objects as fit; `held` goes into the memo before."""
    data = [part + put(place) + POP for place, part in held.items()]
    data += [EMPTY_DICT, MARK]
    room = limit - sum(map(len, data))
    index = 0
    while room > 0:
        made = text(keys.format(index)) + each(index)
        data.append(made)
        room -= len(made)
        index += 1
    return b"".join(data) + SETITEMS + STOP


def rebuilt(sizes: bytes, strides: bytes, *, held: bytes = get(1), offset: bytes = b"K\x00") -> bytes:
    """A strided tensor, its function in the memo at 0, its storage at 1."""
    return get(0) + MARK + held + offset + sizes + strides + FALSE + NONE + TUPLE + REDUCE


HELD = {0: name(UTILS, V2), 1: storage()}


def one(sizes: list[int], strides: list[int], offset: bytes = b"K\x00", kind: str = "FloatStorage") -> bytes:
    """A single strided tensor."""
    return (
        dict_of(
            text("w"),
            tensor(
                tuple_of(*map(integer, sizes)),
                tuple_of(*map(integer, strides)),
                offset,
                storage(kind=kind),
            ),
        )
        + STOP
    )


def _nested(
    module: str, attribute: str, arguments: Callable[[bytes], bytes], levels: int, first: bytes
) -> bytes:
    data = name(module, attribute) + put(0) + POP + first + put(1)
    step = POP + get(0) + arguments(get(1)) + REDUCE + put(1)
    return data + step * levels + STOP


def _quantized(held: bytes) -> bytes:
    scheme = tuple_of(name("torch", "per_channel_affine"), held, held, integer(0))
    return tuple_of(storage(), integer(0), integer(1) + TUPLE1, integer(1) + TUPLE1, scheme, FALSE, NONE)


def _sparse(held: bytes) -> bytes:
    return name("torch", "sparse_coo") + tuple_of(held, held, integer(1) + TUPLE1) + TUPLE2


def _quantized_by(count: int) -> bytes:
    """Tensors that share one long list of scales."""
    scales = list_of(*[b"K\x01"] * count)
    params = tuple_of(name("torch", "per_channel_affine"), get(5), get(5), integer(0))
    held = {
        0: name(UTILS, "_rebuild_qtensor"),
        1: storage(kind="QInt8Storage"),
        5: scales,
        6: params,
        7: integer(count) + TUPLE1,
        8: integer(1) + TUPLE1,
    }
    return many(
        lambda _: (
            get(0) + MARK + get(1) + integer(0) + get(7) + get(8) + get(6) + FALSE + NONE + TUPLE + REDUCE
        ),
        held,
    )


def _nested_tensors(count: int) -> bytes:
    """Nested tensors that share one long table of sizes."""
    table = rebuilt(tuple_of(integer(count), integer(1)), integer(1) * 2 + TUPLE2, held=get(2))
    held = {
        **HELD,
        2: storage(kind="LongStorage", key="1"),
        3: rebuilt(integer(count) + TUPLE1, integer(1) + TUPLE1),
        4: table,
        5: name(UTILS, "_rebuild_nested_tensor"),
        6: tuple_of(get(3), get(4), get(4), get(4)),
    }
    return many(lambda _: get(5) + get(6) + REDUCE, held)


def _arrays(shape: bytes, length: int, *, latin: bool = False) -> bytes:
    """NumPy arrays that share their bytes."""
    dtype = call("numpy", "dtype", text("f4"), FALSE, TRUE)
    raw = (
        call("_codecs", "encode", text("\xff" * (length // 2)), text("latin1"))
        if latin
        else raw_bytes(bytes(length))
    )
    held = {
        0: name("numpy._core.multiarray", "_reconstruct"),
        1: tuple_of(name("numpy", "ndarray"), integer(0) + TUPLE1, raw_bytes(b"b")),
        2: tuple_of(integer(1), shape, dtype, FALSE, raw),
    }
    return many(lambda _: get(0) + get(1) + REDUCE + get(2) + BUILD, held)


def _scalars(length: int) -> bytes:
    dtype = call("numpy", "dtype", text("f4"), FALSE, TRUE)
    held = {
        0: name("numpy._core.multiarray", "scalar"),
        1: tuple_of(dtype, call("_codecs", "encode", text("\xff" * (length // 2)), text("latin1"))),
    }
    return many(lambda _: get(0) + get(1) + REDUCE, held)


def _states(count: int) -> bytes:
    """Parameters that share one long state."""
    held = {
        **HELD,
        2: rebuilt(integer(1) + TUPLE1, integer(1) + TUPLE1),
        3: dict_of(*(text(f"s{index:x}") + EMPTY_LIST for index in range(count))),
        4: name(UTILS, "_rebuild_parameter_with_state"),
        5: tuple_of(get(2), TRUE, EMPTY_DICT, get(3)),
    }
    return many(lambda _: get(4) + get(5) + REDUCE, held)


def _views(length: int) -> bytes:
    """Views of one storage, each a little further on, so that all are compared with all."""
    strides = tuple_of(*[integer(step) for step in (9973, 101, 3)])
    sizes = tuple_of(*[integer(size) for size in (50, 40, 30)])
    held = {**HELD, 2: sizes, 3: strides}
    return many(lambda index: rebuilt(get(2), get(3), offset=integer(index * 7 % length)), held)


def _storages(key: bytes) -> bytes:
    """Tensors whose storages differ in their keys, or are all of one long key."""
    held = {
        0: name(UTILS, V2),
        1: integer(1) + TUPLE1,
        2: name("torch", "FloatStorage"),
        3: text("storage"),
        4: key,
    }
    return many(
        lambda _: (
            get(0)
            + MARK
            + MARK
            + get(3)
            + get(2)
            + get(4)
            + get(4)
            + integer(1)
            + TUPLE
            + BINPERSID
            + integer(0)
            + get(1)
            + get(1)
            + FALSE
            + NONE
            + TUPLE
            + REDUCE
        ),
        held,
    )


def _keys(_: int = 0) -> bytes:
    held = {0: name(UTILS, V2), 1: integer(1) + TUPLE1, 2: name("torch", "FloatStorage"), 3: text("storage")}
    return many(
        lambda index: (
            get(0)
            + MARK
            + MARK
            + get(3)
            + get(2)
            + text(f"k{index}")
            + get(3)
            + integer(1)
            + TUPLE
            + BINPERSID
            + integer(0)
            + get(1)
            + get(1)
            + FALSE
            + NONE
            + TUPLE
            + REDUCE
        ),
        held,
    )


def _shared_shape(count: int, number: int) -> bytes:
    held = {**HELD, 2: tuple_of(*[integer(number)] * count)}
    return many(lambda _: rebuilt(get(2), get(2)), held)


def _shapes(sizes: bytes, strides: bytes, offset: bytes = b"K\x00") -> bytes:
    held = {**HELD, 2: sizes, 3: strides, 4: offset}
    return many(lambda _: rebuilt(get(2), get(3), offset=get(4)), held)


def _long_name(count: int, label: str, each: bytes) -> bytes:
    data = b"".join(
        part + put(place) + POP for place, part in {**HELD, 2: integer(1) + TUPLE1, 3: text(label)}.items()
    )
    return data + EMPTY_DICT + MARK + (get(3) + each) * count + SETITEMS + STOP


GOOD = rebuilt(get(2), get(2))
BROKEN = get(0) + EMPTY_TUPLE + REDUCE

TENSORS: dict[str, Callable[[], bytes]] = {
    "many tensors of one storage": lambda: many(lambda _: GOOD, {**HELD, 2: integer(1) + TUPLE1}),
    "many tensors of missing storages": _keys,
    "many broken tensors": lambda: many(lambda _: BROKEN, HELD),
    "a dict with one state of many": lambda: many(
        lambda _: EMPTY_DICT + get(0) + BUILD, {0: dict_of(*(text(f"{i:x}") + NONE for i in range(60_000)))}
    ),
    "bytes made of bytes made of bytes": lambda: (
        name("builtins", "bytes")
        + put(0)
        + POP
        + get(0) * 100_000
        + EMPTY_TUPLE
        + (TUPLE1 + REDUCE) * 99_999
        + REDUCE * 0
        + STOP
    ),
    "one tensor many times": lambda: many(lambda _: get(3), {**HELD, 2: integer(1) + TUPLE1, 3: GOOD}),
    "one broken tensor many times": lambda: many(lambda _: get(3), {**HELD, 3: BROKEN}),
    "tensors with one long name": lambda: _long_name(20_000, "n" * 600_000, GOOD),
    "broken tensors with one long name": lambda: _long_name(60_000, "n" * 600_000, BROKEN),
    "tensors with names of control characters": lambda: _long_name(20_000, "\u202e\x1b" * 100_000, GOOD),
    "tensors in lists with one long name": lambda: _long_name(
        20_000, "n" * 500_000, EMPTY_LIST + MARK + GOOD + APPENDS
    ),
    "240,000 sizes": lambda: one([1] * 240_000, [0] * 240_000),
    "240,000 sizes of two": lambda: one([2] * 240_000, [1] * 240_000),
    "240,000 sizes of 255": lambda: one([255] * 240_000, [1] * 240_000),
    "240,000 sizes shared by many": lambda: _shared_shape(240_000, 1),
    "100,000 sizes of 255 shared by many": lambda: _shared_shape(100_000, 255),
    "1,000 sizes shared by many": lambda: _shared_shape(1000, 2),
    "128 sizes shared by many": lambda: _shared_shape(128, 1),
    "128 sizes of two shared by many": lambda: _shared_shape(128, 2),
    "a size of 4 PB by a stride of 0": lambda: one([1 << 50], [0]),
    "many of 4 PB by a stride of 0": lambda: _shapes(integer(1 << 50) + TUPLE1, integer(0) + TUPLE1),
    "sizes that multiply beyond 64 bits": lambda: one([1 << 40] * 8, [0] * 8),
    "128 sizes of 1,000 by strides of 0": lambda: one([1000] * 128, [0] * 128),
    "128 sizes of one": lambda: one([1] * 128, [1] * 128),
    "65 sizes of one": lambda: one([1] * 65, [1] * 65),
    "129 sizes of one": lambda: one([1] * 129, [1] * 129),
    "a tensor of 9 sizes by strides of 0": lambda: one([7] * 9, [0] * 9),
    "a size of 2^63": lambda: one([1 << 63], [1]),
    "a size of 2^4000": lambda: one([1 << 4000], [1]),
    "a stride of 2^63": lambda: one([2], [1 << 63]),
    "an offset of 2^63": lambda: one([1], [1], integer(1 << 63)),
    "an offset of 2^70000": lambda: one([1], [1], integer(1 << 70_000)),
    "one huge size shared by many": lambda: _shapes(integer(1 << 2_000_000) + TUPLE1, integer(1) + TUPLE1),
    "one huge offset shared by many": lambda: _shapes(
        integer(1) + TUPLE1, integer(1) + TUPLE1, integer(1 << 2_000_000)
    ),
    "a negative size": lambda: one([-1], [1]),
    "a negative stride": lambda: one([4], [-1]),
    "a negative offset": lambda: one([1], [1], integer(-1)),
    "truth values as sizes": lambda: dict_of(text("w"), tensor(TRUE + TUPLE1, TRUE + TUPLE1, TRUE)) + STOP,
    "many overlapping views": lambda: _views(1 << 20),
    "parameters of parameters": lambda: _nested(
        UTILS, "_rebuild_parameter", lambda held: tuple_of(held, FALSE, NONE), 60_000, tensor()
    ),
    "types of types": lambda: _nested(
        "torch._tensor",
        "_rebuild_from_type_v2",
        lambda held: tuple_of(name(UTILS, "_rebuild_parameter"), name("m", "C"), held + TUPLE1, NONE),
        10_000,
        tensor(),
    ),
    "quantised tensors of quantised tensors": lambda: _nested(
        UTILS, "_rebuild_qtensor", _quantized, 5000, NONE
    ),
    "sparse tensors of sparse tensors": lambda: _nested(
        UTILS, "_rebuild_sparse_tensor", _sparse, 8000, tensor()
    ),
    "a list of sparse tensors of sparse tensors": lambda: many(
        lambda index: (
            get(0)
            + name("torch", "sparse_coo")
            + tuple_of(
                get(1000 + index - 1) if index else tensor(),
                get(1000 + index - 1) if index else NONE,
                integer(1) + TUPLE1,
            )
            + TUPLE2
            + REDUCE
            + put(1000 + index)
        ),
        {0: name(UTILS, "_rebuild_sparse_tensor")},
    ),
    "a list of quantised tensors of quantised tensors": lambda: many(
        lambda index: (
            get(0) + _quantized(get(1000 + index - 1) if index else tensor()) + REDUCE + put(1000 + index)
        ),
        {0: name(UTILS, "_rebuild_qtensor")},
    ),
    "a tensor made of itself": lambda: (
        EMPTY_LIST
        + put(0)
        + POP
        + name(UTILS, "_rebuild_parameter")
        + tuple_of(get(0), FALSE, NONE)
        + REDUCE
        + STOP
    ),
    "a tensor whose state is the tensor": lambda: tensor() + put(0) + get(0) + BUILD + STOP,
    "a tensor with its state in its state": lambda: (
        tensor() + put(0) + dict_of(text("a"), get(0)) + BUILD + STOP
    ),
    "tensors with states of tensors": lambda: (
        b"".join(
            tensor() + put(at) + dict_of(text("a"), get(at - 1)) + BUILD for at in range(1, 4000)
        ).replace(get(0), NONE, 1)
        + STOP
    ),
    "one long state of many parameters": lambda: _states(40_000),
    "many scales shared by many": lambda: _quantized_by(100_000),
    "nested tensors with one table": lambda: _nested_tensors(50_000),
    "arrays that share their bytes": lambda: _arrays(integer(1) + TUPLE1, 400_000),
    "arrays that share their text": lambda: _arrays(integer(1) + TUPLE1, 400_000, latin=True),
    "arrays of 100,000 sizes": lambda: _arrays(tuple_of(*[b"K\x01"] * 100_000), 400),
    "arrays of 30,000 sizes of 255": lambda: _arrays(tuple_of(*[b"K\xff"] * 30_000), 400),
    "scalars that share their text": lambda: _scalars(400_000),
    "storages of one long name": lambda: _storages(text("k" * 400_000)),
    "storages of one long number": lambda: _storages(integer(1 << 3_000_000)),
    "bare storages": lambda: many(lambda _: get(1), HELD),
    "bare storages of many names": lambda: many(lambda index: storage(f"{index}"), {}),
    "a storage reference of itself": lambda: MARK + text("storage") + get(0) + TUPLE + BINPERSID + STOP,
    "a long persistent id of many": lambda: many(
        lambda _: get(0) + BINPERSID, {0: tuple_of(text("storage"), *[b"K\x01"] * 240_000)}
    ),
    "a long text id of many": lambda: many(lambda _: get(0) + BINPERSID, {0: text("k" * 500_000)}),
    "wrappers with one long shape": lambda: many(
        lambda _: get(0) + get(1) + REDUCE,
        {
            0: name(UTILS, "_rebuild_wrapper_subclass"),
            2: tuple_of(*[b"K\x02"] * 200_000),
            1: tuple_of(
                name("m", "C"), name("torch", "float32"), get(2), get(2), integer(0), NONE, NONE, FALSE
            ),
        },
    ),
    "meta tensors with one long shape": lambda: many(
        lambda _: get(0) + get(1) + REDUCE,
        {
            0: name(UTILS, "_rebuild_meta_tensor_no_storage"),
            2: tuple_of(*[b"K\x02"] * 200_000),
            1: tuple_of(name("torch", "float32"), get(2), get(2), FALSE),
        },
    ),
    "jagged tensors with one long dict": lambda: many(
        lambda _: get(0) + get(1) + REDUCE,
        {
            0: name("torch.nested._internal.nested_tensor", "_rebuild_njt"),
            2: dict_of(*(text(f"k{index}") + NONE for index in range(50_000))),
            1: get(2) + TUPLE1,
        },
    ),
    "tensors with one long dict of views": lambda: many(
        lambda _: get(0) + get(3) + REDUCE,
        {
            **HELD,
            2: dict_of(*(text(f"k{index}") + NONE for index in range(50_000))),
            4: integer(1) + TUPLE1,
            3: tuple_of(get(1), integer(0), get(4), get(4), FALSE, NONE, get(2)),
        },
    ),
    "an optimizer with states for one tensor": lambda: (
        dict_of(
            text("state"),
            dict_of(*(integer(index) + EMPTY_DICT for index in range(70_000))),
            text("param_groups"),
            list_of(dict_of(text("params"), list_of(*map(integer, range(70_000))))),
        )
        + STOP
    ),
    "modules with a tensor each": lambda: (
        name("m", "C")
        + put(0)
        + POP
        + EMPTY_LIST
        + MARK
        + (
            get(0)
            + EMPTY_TUPLE
            + NEWOBJ
            + dict_of(
                text("_parameters"), EMPTY_DICT, text("_buffers"), EMPTY_DICT, text("_modules"), EMPTY_DICT
            )
            + BUILD
        )
        * fill(b"x" * 63, 950_000)
        + APPENDS
        + STOP
    ),
}
