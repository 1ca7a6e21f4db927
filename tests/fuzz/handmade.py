"""Seeds written by hand: rare opcodes, hostile shapes, and files that no library here writes."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from typing import Final

from paramtui.core.edits import Call, Edit, Initialise, SetCells, Step, Tie, Untie, plain_edit
from paramtui.core.history import Change
from paramtui.core.journal import Head, journal_json, plain_head
from tests.fuzz.cases import Case

_STORAGE: Final = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQ"
)
_TENSOR: Final = (
    b"ctorch._utils\n_rebuild_tensor_v2\n(" + _STORAGE + b"K\x00K\x02K\x02\x86K\x02K\x01\x86\x89NtR"
)

PICKLES: Final = {
    "pops": b"K\x01K\x020(0(K\x02K\x031K\x052\x86.",
    "text numbers": b"(I-12\nI01\nL123456789012345678901234567890L\nF-1.5e3\n"
    b"\x8a\x02\xff\x7f\x8b\x02\x00\x00\x00\xff\x7ft.",
    "text": b"(S'a\\n\\x41'\nT\x03\x00\x00\x00abcU\x02hi"
    b"V\\u4e2d\\\\x\n\x8d\x02\x00\x00\x00\x00\x00\x00\x00hit.",
    "bytes": b"(B\x02\x00\x00\x00\x00\xff\x8e\x02\x00\x00\x00\x00\x00\x00\x00\x00\xffC\x01a"
    b"\x96\x02\x00\x00\x00\x00\x00\x00\x00\x00\xfft.",
    "containers": b"((K\x01K\x02K\x03K\x04d(K\x01K\x02l}K\x01K\x02s\x8f(K\x01K\x02\x90(K\x01K\x02\x91t.",
    "memo": b"(]p5\n0g5\n]q\x050h\x05]r\x05\x00\x01\x000j\x05\x00\x01\x00]\x940h\x05t.",
    "frames": b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "calls": b"((K\x01K\x02isome.module\nThing\n(csome.module\nThing\nK\x01o"
    b"\x8c\x0bsome.module\x8c\x05Thing\x93)\x81cm\nC\nK\x01\x85}X\x01\x00\x00\x00kK\x02s\x92t.",
    "states": b"cm\nC\n)\x81}X\x01\x00\x00\x00aK\x01sb(K\x05K\x06e(K\x07K\x08u.",
    "slots": b"cm\nC\n)\x81N}X\x01\x00\x00\x00aK\x01s\x86b.",
    "extensions": b"(\x82\x05\x83\x05\x00\x84\x05\x00\x00\x00\x97\x98t.",
    "persistent text": b"(Pabc\nP('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 4)\nt.",
    "tensor": b"}X\x01\x00\x00\x00w" + _TENSOR + b"s.",
    "views of a tensor": b"(" + _TENSOR + b"q\x01ctorch._utils\n_rebuild_parameter\n(h\x01\x88NtRh\x01l.",
    "laughs": b"\x80\x02]q\x00K\x01a0](h\x00h\x00h\x00eq\x010](h\x01h\x01h\x01eq\x02.",
    "a list of itself": b"]q\x00h\x00a.",
    "a dict of itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "an object of itself": b"cm\nC\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.",
    "nested key": b"}" + b")" + b"\x85" * 40 + b"K\x01s.",
    "system": b"cposix\nsystem\n(S'touch ran'\ntR.",
    "getattr": b"cbuiltins\ngetattr\n(c__main__\nx\nX\x08\x00\x00\x00__dict__tR.",
    "eval": b"cbuiltins\neval\n(X\x06\x00\x00\x00open()tRcbuiltins\nexec\n(X\x01\x00\x00\x00xtRb.",
    "old storage": b"(X\x07\x00\x00\x00storagectorch\nIntStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04"
    b"(X\x01\x00\x00\x001K\x00K\x02ttQ.",
    "quantised": b"ctorch._utils\n_rebuild_qtensor\n(" + _STORAGE + b"K\x00K\x02\x85K\x01\x85"
    b"(ctorch\nper_tensor_affine\nG\x3f\xf0\x00\x00\x00\x00\x00\x00K\x00t\x89NtR.",
    "sparse": b"ctorch._utils\n_rebuild_sparse_tensor\n(ctorch\nsparse_coo\n(" + _TENSOR + _TENSOR
    + b"K\x02K\x02\x86\x88ttR.",
    "nested sizes": b"ctorch._utils\n_rebuild_nested_tensor\n(" + _TENSOR * 4 + b"tR.",
    "ordered": b"ccollections\nOrderedDict\n)Rq\x00(X\x01\x00\x00\x00a" + _TENSOR
    + b"u}X\x09\x00\x00\x00_metadata}sb.",
    "ordered of pairs": b"ccollections\nOrderedDict\n(](](X\x01\x00\x00\x00aK\x01e"
    b"](X\x01\x00\x00\x00bK\x02eetR.",
    "module": b"cm\nNet\n)\x81}(X\x0b\x00\x00\x00_parameters}X\x01\x00\x00\x00w" + _TENSOR
    + b"sX\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00aNs"
    b"X\x08\x00\x00\x00trainingK\x01ub.",
}  # fmt: skip

_WEIGHTS: Final = {
    "config": {
        "p.weight": {
            "path_name": "weight_0",
            "is_param": True,
            "use_pickle": False,
            "tensor_meta": {
                "dtype": 7,
                "sizes": [{"as_int": 2}, {"as_int": 3}],
                "strides": [{"as_int": 3}, {"as_int": 1}],
                "storage_offset": {"as_int": 0},
                "layout": 7,
                "requires_grad": True,
                "device": {"type": "cpu", "index": None},
            },
        },
        "p.bias": {"path_name": "weight_1", "is_param": True, "use_pickle": True, "tensor_meta": None},
    }
}


def exported() -> bytes:
    """An archive as ``torch.export.save`` writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/data/weights/model_weights_config.json", json.dumps(_WEIGHTS))
        archive.writestr("m/data/constants/model_constants_config.json", json.dumps({"config": {}}))
        archive.writestr("m/data/weights/weight_0", struct.pack("<6f", *range(6)))
        archive.writestr("m/data/weights/weight_1", b"\x80\x02N.")
        archive.writestr("m/byteorder", "little")
    return out.getvalue()


def deflated() -> bytes:
    """An archive whose records are packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", PICKLES["tensor"])
        archive.writestr("a/data/0", bytes(64))
        archive.writestr("a/byteorder", "big")
    return out.getvalue()


def tar() -> bytes:
    """A tar archive of the kind from before PyTorch 0.1.10."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in {
            "storages": b"\x80\x02K\x00.",
            "tensors": b"\x80\x02K\x00.",
            "pickle": b"N.",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


CONFIGS: Final = (
    {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True},
    {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
    {"model_type": "qwen2_vl", "architectures": ["XForConditionalGeneration"], "text_config":
     {"model_type": "llama", "tie_word_embeddings": False}},
)  # fmt: skip

_EDITS: Final[tuple[Edit, ...]] = (
    SetCells("a", "0, :3", "=", float("nan")),
    SetCells('["a", 1]', "", "*=", complex(-0.0, float("inf"))),
    Initialise((Step("a", Call("zeros_")), Step("b", Call("f", (("x", [1.5, None]),), "/x.py"))), 1 << 63),
    Tie("a", '["ü", 1]'),
    Untie(("a", "b.c")),
)
_HEAD: Final = Head("x.pt", ("--init", "/x.py"), "x.pt 1 2", (("torch", "2"),))


def journals() -> list[Case]:
    """A journal as it is written out, and one that was left behind."""
    exported_text = journal_json(
        _HEAD, [Change(number, edit, (), "0" * 16) for number, edit in enumerate(_EDITS)]
    )
    records: list[dict[str, object]] = [{"record": "head", "version": "1", **plain_head(_HEAD)}]
    for edit in _EDITS:
        records += [{"record": "intent", "edit": plain_edit(edit)}, {"record": "done", "digest": "0" * 16}]
    records += [{"record": "undone"}, {"record": "saved", "path": "y.pt"}, {"record": "redone"}]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return [
        Case("journal", "exported", {"journal.json": exported_text.encode()}),
        Case("journal", "left", {"journal.jsonl": lines.encode()}),
    ]
