"""Figures of live models, whatever the dtype and layout, against torch; here and in an engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from paramtui.core.edits import SetCells
from paramtui.core.model_target import ModelOptions, ModelTarget
from paramtui.core.statistics import QUANTILES, Measured, Statistics
from paramtui.engine.client import EngineSource
from paramtui.errors import RunStoppedError, ValuesError
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded
from paramtui.models.module_source import ModuleSource
from paramtui.models.overviews import drawn
from paramtui.models.pace import Gate, Pace
from paramtui.models.statistics import measure
from tests.statistics.against_torch import check_against_torch, check_narrow
from tests.statistics.tensors import FLOATS, cases, narrow, odd_floats, pairs
from tests.statistics.test_overviews import DTYPES, ROOM, layouts, numbers_of, odd_numbers
from tests.statistics.test_overviews import check as check_picture

PATIENCE = 60.0


class Holder(nn.Module):
    """Has tensors as buffers."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor)


def host_of(model: nn.Module) -> ModuleHost:
    return ModuleHost(Loaded(model, None, "given by the caller", "", called=False), "model", ModelOptions())


def scanned(host: ModuleHost, *, exact: bool = False) -> dict[str, Statistics | ValuesError]:
    found: dict[int, Statistics | ValuesError] = {}
    every = range(len(host.listing))
    host.scan(every, found.__setitem__, exact=exact)
    return {host.listing.names[tensor]: result for tensor, result in found.items()}


def test_every_dtype_has_the_figures_of_torch() -> None:
    tensors = cases()
    found = scanned(host_of(Holder(tensors)))
    for name, tensor in tensors.items():
        result = found[name.replace(".", "_")]
        assert isinstance(result, Statistics), name
        check_against_torch(result, tensor)
    limits = found["uint64_limits"]
    assert isinstance(limits, Statistics) and limits.max == 2**64 - 1


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int32, torch.complex64], ids=str
)
def test_exact_quantiles_are_those_of_a_sort(dtype: torch.dtype) -> None:
    tensor = (torch.randn(3, 70_001, dtype=torch.float64) * 1e4).to(dtype)
    found = measure(tensor, exact=True).statistics
    check_against_torch(found, tensor)
    assert found.quantile_error == 0 and found.quantiles is not None
    numbers = (tensor.to(torch.complex128).abs() if dtype.is_complex else tensor.double()).numpy()
    assert np.allclose(found.quantiles, np.quantile(numbers, QUANTILES), rtol=1e-12)


def test_views_wrappers_sparse_and_quantised_tensors_count_by_what_they_stand_for() -> None:
    torch.manual_seed(2)
    base = torch.randn(300, 500)
    base[base.abs() < 1] = 0
    base[7, 3] = torch.nan
    plain = {
        "turned": base.t(),
        "strided": base[::3, 1::2],
        "repeated": base[:, None].expand(300, 4, 500),
        "a repeated bfloat16": base.bfloat16()[None].expand(3, 300, 500),
        "conjugate": torch.view_as_complex(base.view(-1, 2)).conj(),
        "negative": torch.view_as_complex(base.view(-1, 2)).conj().imag,
    }
    for tensor in plain.values():
        check_against_torch(measure(tensor).statistics, tensor.resolve_conj().resolve_neg())
    twice = torch.tensor([[0, 0, 1], [2, 2, 0]])
    stored = {
        "csr": base.to_sparse_csr(),
        "csc": base.to_sparse_csc(),
        "twice": torch.sparse_coo_tensor(twice, torch.tensor([1.0, 2.0, 5.0]), (2, 3)),
        "coo of bfloat16": base.bfloat16().to_sparse(),
    }
    for tensor in stored.values():
        check_against_torch(measure(tensor).statistics, tensor.to_dense())
    quantised = torch.quantize_per_channel(
        base[:20].nan_to_num(), torch.rand(20) + 0.1, torch.zeros(20), 0, torch.qint8
    )
    check_against_torch(measure(quantised).statistics, quantised.dequantize())
    nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(400, 3)])
    check_against_torch(measure(nested).statistics, torch.cat([part.reshape(-1) for part in nested.unbind()]))


@pytest.mark.parametrize("exact", [True, False])
def test_numbers_that_lie_close_together_are_told_apart(exact: bool) -> None:
    for tensor in narrow().values():
        check_narrow(measure(tensor, exact=exact).statistics, tensor)


def test_two_numbers_in_a_byte_are_counted_apart() -> None:
    packed, numbers = pairs()
    found = measure(packed).statistics
    check_against_torch(found._replace(subnormal=0), numbers)
    assert found.subnormal == 10_000


def test_what_has_no_numbers_says_why_and_the_others_are_counted() -> None:
    model = Holder({"meta": torch.empty(3, device="meta"), "there": torch.ones(4)})
    model.lazy = nn.LazyLinear(3)
    found = scanned(host_of(model))
    assert str(found["meta"]) == "is on the meta device: it has a shape and no numbers"
    assert str(found["lazy.weight"]) == "is not initialised: its shape is found by the first forward pass"
    there = found["there"]
    assert isinstance(there, Statistics) and there.mean == 1
    with pytest.raises(ValuesError, match="its layout mkldnn is opaque"):
        measure(torch.randn(4, 4).to_mkldnn())


def test_one_memory_under_several_names_is_read_once() -> None:
    model = nn.Module()
    model.one = nn.Linear(300, 300, bias=False)
    model.other = model.one
    told: list[tuple[int, int]] = []
    found: dict[int, Statistics | ValuesError] = {}
    host_of(model).scan(
        [0, 1],
        found.__setitem__,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found[0] == found[1]
    assert told[-1] == (360_000, 360_000)


def test_a_sample_is_told_as_one_and_lies_near_the_whole() -> None:
    tensor = torch.randn(1_000, 2_000)
    for each in (tensor, tensor.t(), tensor.bfloat16()):
        sampled = measure(each, sample=100_000).statistics
        assert sampled.numel == 2_000_000
        assert 90_000 <= sampled.sampled <= 110_000
        assert sampled.std is not None and abs(sampled.std - 1) < 0.05
    assert measure(tensor[:1], sample=100_000).statistics.sampled == 0


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_gradient_has_figures_of_its_own(dtype: torch.dtype) -> None:
    parameter = nn.Parameter(torch.zeros(700).to(dtype))
    parameter.grad = odd_floats(dtype, 700)
    model = nn.Module()
    model.weight = parameter
    host = host_of(model)
    check_against_torch(host.measure(0, gradient=True).statistics, parameter.grad)
    parameter.grad = None
    with pytest.raises(ValuesError, match=r"there is no gradient: \.grad is None"):
        host.measure(0, gradient=True)


def test_pictures_of_whole_tensors_are_those_that_are_drawn_entry_by_entry() -> None:
    tensors = layouts()
    model = Holder({f"{name}.buffer": tensor for name, (tensor, _) in tensors.items()})
    dense = [dense for _, dense in tensors.values()]
    for dtype in DTYPES:
        model.register_buffer(f"as_{str(dtype)[6:]}", odd_numbers(dtype, 7, 31))
        dense.append(odd_numbers(dtype, 7, 31))
    host = host_of(model)
    for tensor, numbers in enumerate(dense):
        check_picture(host.overview(tensor, *ROOM).finished(), numbers_of(numbers))
    model.nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)])
    with pytest.raises(ValuesError, match="they make no one picture"):
        drawn(model.nested, 3, 3, Pace())


# Beside what is done to the model


def test_a_change_waits_for_pieces_that_are_read_and_those_that_follow_wait_for_it() -> None:
    gate = Gate()
    order: list[str] = []
    unwanted = threading.Event()

    def change() -> None:
        with gate.changing():
            order.append("changed")

    def read() -> None:
        with gate.reading(None):
            order.append("read afterwards")

    threads = [threading.Thread(target=change), threading.Thread(target=read)]
    with gate.reading(None):
        threads[0].start()
        while not gate._changes:
            pass
        # A change that waits goes before all that is read from now on.
        threads[1].start()
        unwanted.set()
        with pytest.raises(RunStoppedError), gate.reading(unwanted):
            pass
        order.append("read")
    for thread in threads:
        thread.join(PATIENCE)
    assert order == ["read", "changed", "read afterwards"]


def test_a_reading_ends_before_the_next_piece_once_it_is_stopped() -> None:
    stop = threading.Event()
    pace = Pace(None, stop, lambda done, total: stop.set() if done > total / 10 else None)
    with pytest.raises(RunStoppedError):
        measure(torch.zeros(30_000_000), pace=pace)
    assert 0.1 < pace._done / pace.total < 0.9


def test_no_number_of_a_preview_is_counted() -> None:
    model = nn.Linear(2_000, 1_000, bias=False)
    nn.init.ones_(model.weight)
    host = host_of(model)
    edit = SetCells("weight", "", "=", 3.0)
    means: list[float | None] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            means.append(host.measure(0).statistics.mean)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(20):
            host.preview(edit, 0, [range(1), range(1)])
    finally:
        stop.set()
        looking.join(PATIENCE)
    assert set(means) == {1.0}


PASSING = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((300, 400), 2.0))
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("bad", torch.tensor([1.0, float("nan")]))

    def forward(self, x):
        self.seen.fill_(5)
        print("passing", flush=True)
        while self.seen.mean() != 6 and not (x.numel() == 1):
            pass
        return (self.weight * x.sum()).sum()
"""


class Passing:
    """An engine, and word of when a pass runs."""

    def __init__(self, folder: Path) -> None:
        code = folder / "passing_net.py"
        code.write_text(PASSING)
        self.running = threading.Event()
        target = ModelTarget(str(code), str(code), "", "")
        self.source = EngineSource(target, ModelOptions(), self._told).wait_open()

    def _told(self, _: str, words: str) -> None:
        if "passing" in words:
            self.running.set()

    def tensor(self, name: str) -> int:
        return self.source.listing.names.index(name)


@pytest.fixture
def passing(tmp_path: Path) -> Iterator[Passing]:
    found = Passing(tmp_path)
    yield found
    found.source.close()


async def test_an_engine_measures_and_scans(passing: Passing) -> None:
    source = passing.source
    told: list[tuple[int, int]] = []
    measured = await source.measure(
        passing.tensor("weight"), exact=True, progress=lambda *far: told.append(far)
    )
    check_against_torch(measured.statistics, torch.full((300, 400), 2.0))
    assert measured.levels.total == 120_000 and told[-1] == (480_000, 480_000)
    found: dict[int, Statistics | ValuesError] = {}
    await source.scan(range(3), found.__setitem__)
    assert found[passing.tensor("weight")] == measured.statistics._replace(
        quantile_error=found[passing.tensor("weight")].quantile_error  # type: ignore[union-attr]
    )
    bad = found[passing.tensor("bad")]
    assert isinstance(bad, Statistics) and (bad.nan, bad.mean) == (1, 1.0)
    await source.backward("1", accumulate=False)
    gradient = await source.measure(passing.tensor("weight"), gradient=True)
    assert gradient.statistics.std == 0
    picture = await source.overview(passing.tensor("bad"), 5, 5)
    assert picture.nan.tolist() == [[0, 1]] and picture.mean[0, 0] == 1
    shown = await source.overview(passing.tensor("weight"), 3, 4, gradient=True)
    assert shown.mean.shape == (3, 4) and (shown.mean == gradient.statistics.mean).all()


async def test_parameters_are_measured_while_a_pass_runs_and_buffers_after_it(passing: Passing) -> None:
    source = passing.source
    running = asyncio.ensure_future(source.backward("2", accumulate=False))
    assert await asyncio.to_thread(passing.running.wait, PATIENCE)
    weight = await source.measure(passing.tensor("weight"))
    assert weight.statistics.mean == 2
    seen = asyncio.ensure_future(source.measure(passing.tensor("seen")))
    await source.measure(passing.tensor("weight"))
    assert not seen.done()
    await source.interrupt()
    with pytest.raises(RunStoppedError):
        await running
    assert (await seen).statistics.mean == 0


async def test_giving_up_ends_the_work_in_the_engine_and_in_this_process(
    passing: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = passing.source
    running = asyncio.ensure_future(source.backward("2", accumulate=False))
    assert await asyncio.to_thread(passing.running.wait, PATIENCE)
    waiting = asyncio.ensure_future(source.measure(passing.tensor("seen")))
    await source.measure(passing.tensor("weight"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await source.interrupt()
    with pytest.raises(RunStoppedError):
        await running
    assert (await source.measure(passing.tensor("seen"))).statistics.mean == 0

    here = ModuleSource(host_of(nn.Linear(10, 10)))
    begun, ended = threading.Event(), threading.Event()

    def endless(*_: object, stop: threading.Event, **__: object) -> Measured:
        begun.set()
        stop.wait(PATIENCE)
        ended.set()
        raise RunStoppedError("stopped")

    monkeypatch.setattr(here._host, "measure", endless)
    task = asyncio.ensure_future(here.measure(0))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, PATIENCE)


async def test_a_scan_through_the_pipe_is_one_in_this_process(passing: Passing) -> None:
    namespace: dict[str, Callable[[], nn.Module]] = {}
    exec(PASSING, namespace)
    here = ModuleSource(host_of(namespace["Net"]()))
    one: dict[int, Statistics | ValuesError] = {}
    other: dict[int, Statistics | ValuesError] = {}
    await here.scan(range(3), one.__setitem__, exact=True)
    await passing.source.scan(range(3), other.__setitem__, exact=True)
    assert one == other and len(one) == 3
