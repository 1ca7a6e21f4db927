"""What the tests of the readers share: saving, opening, and comparing with torch."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import paramtui
from paramtui.api import Checkpoint, open_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(paramtui.__file__).resolve().parent.parent

# torch_dtype.itemsize bytes of any pattern are a valid element of these.
PLAIN_DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2,
    torch.float8_e5m2fnuz,
    torch.float8_e8m0fnu,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint64,
    torch.uint32,
    torch.uint16,
    torch.uint8,
    torch.bool,
    torch.complex128,
    torch.complex64,
    torch.complex32,
)
# What NumPy lacks, and the type that a window of it has.
WIDENED = {
    torch.bfloat16: torch.float32,
    torch.complex32: torch.complex64,
    torch.float8_e4m3fn: torch.float32,
    torch.float8_e4m3fnuz: torch.float32,
    torch.float8_e5m2: torch.float32,
    torch.float8_e5m2fnuz: torch.float32,
    torch.float8_e8m0fnu: torch.float32,
}


def random_tensor(dtype: torch.dtype, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """A tensor of random bytes, so of NaN, infinities and subnormal numbers too."""
    generator = torch.Generator().manual_seed(seed)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).to(torch.bool)
    raw = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).reshape(shape)


def numbers(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """The numbers of a torch tensor as NumPy holds them, widened where NumPy lacks the type."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg()
    return np.asarray(tensor.to(WIDENED.get(tensor.dtype, tensor.dtype)).numpy())


def assert_same_numbers(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    """Same dtype, shape, and every number, NaN at the same places, zeros of the same sign."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype.kind in "fc":
        for got, want in (found.real, expected.real), (found.imag, expected.imag):
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
            real = ~np.isnan(want)
            np.testing.assert_array_equal(got[real], want[real])
            np.testing.assert_array_equal(np.signbit(got[real]), np.signbit(want[real]))
    else:
        np.testing.assert_array_equal(found, expected)


def assert_row(checkpoint: Checkpoint, tensor_id: int, name: str, tensor: torch.Tensor) -> None:
    """The row of a strided tensor says what torch says, and its values are those of torch."""
    listing = checkpoint.listing
    assert listing.problem(tensor_id) is None
    assert listing.names[tensor_id] == name
    assert f"torch.{listing.dtype[tensor_id]}" == str(tensor.dtype)
    assert listing.shape[tensor_id] == tuple(tensor.shape)
    assert listing.stride[tensor_id] == tuple(tensor.stride())
    assert listing.offset[tensor_id] == tensor.storage_offset()
    assert listing.numel(tensor_id) == tensor.numel()
    assert listing.nbytes[tensor_id] == tensor.numel() * tensor.element_size()
    assert listing.requires_grad[tensor_id] == tensor.requires_grad
    assert_same_numbers(checkpoint.read(tensor_id), numbers(tensor))


def assert_rows(checkpoint: Checkpoint, expected: Mapping[str, torch.Tensor]) -> None:
    """The checkpoint lists exactly these tensors, in this order."""
    assert checkpoint.listing.names == list(expected)
    for tensor_id, (name, tensor) in enumerate(expected.items()):
        assert_row(checkpoint, tensor_id, name, tensor)


def values(checkpoint: Checkpoint) -> dict[str, object]:
    """Values that are no tensors, by dotted name."""
    listing = checkpoint.listing
    return {listing.node_name(value.node): value.value for value in listing.values}


def value_types(checkpoint: Checkpoint) -> dict[str, str]:
    """Types of the values, by dotted name."""
    listing = checkpoint.listing
    return {listing.node_name(value.node): value.type_name for value in listing.values}


def opened(path: str | Path) -> Checkpoint:
    """`open_checkpoint`, under a short name."""
    return open_checkpoint(path)


def open_descriptors() -> int:
    """How many descriptors this process has open, without those that only wait to be collected."""
    gc.collect()
    return len(os.listdir("/dev/fd"))


def rewrite_zip(
    path: Path,
    out: Path,
    change: Callable[[str, bytes], bytes | None],
    *,
    method: int = zipfile.ZIP_STORED,
    add: Mapping[str, bytes] | None = None,
) -> Path:
    """Copies an archive record by record, each passed through `change`; None drops a record."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w", method) as target:
        for info in source.infolist():
            content = change(info.filename, source.read(info))
            if content is not None:
                target.writestr(zipfile.ZipInfo(info.filename), content, compress_type=method)
        for name, content in (add or {}).items():
            target.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return out


def run_paramtui(
    *words: str, env: Mapping[str, str] | None = None, timeout: float = 60, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """``python -m paramtui`` in a process of its own."""
    path = os.pathsep.join([*(env or {}).get("PYTHONPATH", "").split(os.pathsep), str(ROOT)]).lstrip(
        os.pathsep
    )
    return subprocess.run(
        [sys.executable, "-m", "paramtui", *words],
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **(env or {}), "PYTHONPATH": path},
        cwd=cwd,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def good(*words: str, **options: Any) -> str:
    """Output of a run that must succeed in silence."""
    done = run_paramtui(*words, **options)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def refused(*words: str, **options: Any) -> str:
    """The one line that a run which cannot do its work leaves on stderr."""
    done = run_paramtui(*words, **options)
    assert done.returncode == 2
    text = done.stderr.decode()
    assert b"Traceback" not in done.stderr + done.stdout
    assert text.startswith("paramtui: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text
