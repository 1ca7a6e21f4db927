"""The process that counts, run in a thread of this one: what it answers, tells, refuses and stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from paramtui.checkpoints import scan_worker
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.checkpoints.scan_messages import message_of
from paramtui.checkpoints.scan_wire import WireEndedError, receive, send
from paramtui.checkpoints.scan_worker import _Worker, main
from paramtui.core.levels import levels_from
from paramtui.core.overview import OverviewTally
from paramtui.core.ranks import RankCounts
from paramtui.core.scan_reading import tally_of
from paramtui.core.scan_work import listing_of
from paramtui.core.statistics import statistics_from
from paramtui.core.sums import Sums
from tests.statistics.against_torch import check_against_torch, check_narrow
from tests.statistics.tensors import narrow, odd_floats
from tests.support import ROOT

Answer = tuple[dict[str, Any], bytes]


class Asked:
    """A worker in a thread, and this end of the socket to it."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        with suppress(WireEndedError):
            _Worker(self._theirs).run()

    def ask(self, message: dict[str, Any], files: Callable[[], list[int]]) -> None:
        opened = files()
        send(self.ours, message, files=opened)
        for file in opened:
            os.close(file)

    def answer(self) -> Answer:
        """What comes, but for words of how far it is."""
        while True:
            message, data, _ = receive(self.ours)
            if "done" not in message or "results" in message:
                return message, data

    def end(self) -> None:
        self.ours.close()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._theirs.close()


@pytest.fixture
def asked() -> Iterator[Asked]:
    worker = Asked()
    worker.start()
    yield worker
    worker.end()


def work(
    path: Path, what: str, tensors: Sequence[int] = (0,), part: tuple[int, int] | None = None, **more: Any
) -> tuple[dict[str, Any], Callable[[], list[int]]]:
    message, files = message_of(open_checkpoint(str(path)), None, tensors, {}, part)
    return {**message, "work": what, **more}, files


def problem_of(worker: Asked, message: dict[str, Any], files: Callable[[], list[int]]) -> str:
    worker.ask(message, files)
    (result,) = worker.answer()[0]["results"]
    assert set(result) == {"id", "problem", "nbytes"}
    return str(result["problem"])


@pytest.fixture
def ones(tmp_path: Path) -> Path:
    save_file({"w": torch.ones(100_000)}, tmp_path / "ones.safetensors")
    return tmp_path / "ones.safetensors"


def test_whole_tensors_are_counted_as_torch_counts_them(asked: Asked, tmp_path: Path) -> None:
    tensors = {"a": odd_floats(torch.float32, 100_003), "b": odd_floats(torch.bfloat16, 70_001)}
    save_file(tensors, tmp_path / "m.safetensors")
    message, files = work(tmp_path / "m.safetensors", "count", (0, 1), levels=True)
    asked.ask(message, files)
    answer, data = asked.answer()
    assert answer["done"] == sum(tensor.nbytes for tensor in tensors.values())
    at = 0
    names = open_checkpoint(str(tmp_path / "m.safetensors")).listing.names
    for result in answer["results"]:
        tensor = tensors[names[result["id"]]]
        check_against_torch(statistics_from(result["statistics"]), tensor)
        levels = levels_from(data[at : at + result["nbytes"]])
        assert levels.total == int(tensor.isfinite().sum())
        at += result["nbytes"]
    assert at == len(data)


def test_tiny_tensors_are_counted_as_torch_counts_them_also_where_many_are_alike(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same bytes as numbers of several types, and more of them than are remembered.
    monkeypatch.setattr(scan_worker, "KEPT", 3)
    numbers = torch.tensor([1.5, -2.0, float("nan"), 0.0])
    tensors = {f"f{n}": numbers * (n % 4) for n in range(12)}
    tensors |= {f"i{n}": numbers.view(torch.int32) + n % 3 for n in range(9)}
    tensors |= {f"h{n}": numbers.view(torch.bfloat16) * (n % 2) for n in range(4)}
    tensors |= {f"t{n}": (numbers * (n % 4)).view(2, 2).t().contiguous() for n in range(4)}
    tensors |= {f"s{n}": torch.tensor(n % 5) for n in range(9)}
    path = tmp_path / "m.safetensors"
    save_file(tensors, path)
    names = open_checkpoint(str(path)).listing.names
    asked.ask(*work(path, "count", range(len(names)), levels=True))
    answer, data = asked.answer()
    assert answer["done"] == sum(tensor.nbytes for tensor in tensors.values())
    at = 0
    for result in answer["results"]:
        tensor = tensors[names[result["id"]]]
        check_against_torch(statistics_from(result["statistics"]), tensor)
        assert levels_from(data[at : at + result["nbytes"]]).total == int(tensor.isfinite().sum())
        at += result["nbytes"]
    assert len(answer["results"]) == len(tensors)


def test_of_large_tensors_no_bytes_are_remembered(ones: Path) -> None:
    source = open_checkpoint(str(ones))
    plain = work(ones, "count")[0]["tensors"][0]

    class Unread:
        def read(self, *_: int) -> bytes:
            raise AssertionError

    same = _Worker._same(listing_of(plain), Unread(), levels=False)  # type: ignore[arg-type]
    assert same is None
    assert source.listing.nbytes[0] > scan_worker.TINY


def test_numbers_close_together_are_read_twice_and_told_apart(asked: Asked, tmp_path: Path) -> None:
    tensor = narrow()["norm"]
    save_file({"w": tensor}, tmp_path / "m.safetensors")
    asked.ask(*work(tmp_path / "m.safetensors", "count"))
    answer, data = asked.answer()
    (result,) = answer["results"]
    check_narrow(statistics_from(result["statistics"]), tensor)
    assert (data, answer["done"]) == (b"", 2 * tensor.nbytes)


def test_parts_add_up_to_the_whole(asked: Asked, tmp_path: Path) -> None:
    tensor = odd_floats(torch.float32, 100_000)
    save_file({"w": tensor}, tmp_path / "m.safetensors")
    whole = tally_of(open_checkpoint(str(tmp_path / "m.safetensors")).listing, 0)
    for part in ((0, 160_000), (160_000, 400_000)):
        asked.ask(*work(tmp_path / "m.safetensors", "count", part=part))
        answer, data = asked.answer()
        (result,) = answer["results"]
        assert Sums(*result["sums"]).numel == (part[1] - part[0]) // 4
        whole.merge(np.frombuffer(data, np.int64), Sums(*result["sums"]), result["size"])
    check_against_torch(whole.measured().statistics, tensor)


def test_ranks_between_bounds_are_counted(asked: Asked, tmp_path: Path) -> None:
    tensor = torch.randn(100_000)
    save_file({"w": tensor}, tmp_path / "m.safetensors")
    asked.ask(*work(tmp_path / "m.safetensors", "ranks", bounds=[[-0.5, 0.25]]))
    answer, data = asked.answer()
    assert answer["results"] == [{"id": 0, "nbytes": len(data)}]
    table = np.frombuffer(data, np.int64)
    expected = RankCounts([(-0.5, 0.25)])
    expected.add(tensor.numpy())
    assert table.sum() == int(((tensor >= -0.5) & (tensor <= 0.25)).sum())
    assert table.tolist() == expected.table.tolist()


def test_a_picture_is_the_mean_and_the_largest_of_each_block(asked: Asked, tmp_path: Path) -> None:
    tensor = torch.randn(40, 60)
    save_file({"w": tensor}, tmp_path / "m.safetensors")
    asked.ask(*work(tmp_path / "m.safetensors", "overview", room=[4, 6]))
    _, data = asked.answer()
    found = OverviewTally.from_plain(data).finished()
    blocks = tensor.reshape(4, 10, 6, 10).permute(0, 2, 1, 3).reshape(4, 6, 100)
    assert found.mean == pytest.approx(blocks.double().mean(2).numpy(), rel=1e-6)
    assert found.abs_max == pytest.approx(blocks.abs().amax(2).numpy())


def test_how_far_it_is_grows_up_to_all_bytes(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_worker, "PAUSE", -1)
    save_file({"w": torch.zeros(6_000_000)}, tmp_path / "m.safetensors")
    asked.ask(*work(tmp_path / "m.safetensors", "count"))
    told: list[int] = []
    while True:
        message, _, _ = receive(asked.ours)
        told.append(message["done"])
        if "results" in message:
            break
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 24_000_000


def test_a_wish_to_stop_ends_the_work_and_comes_late_without_harm(ones: Path) -> None:
    worker = Asked()
    message, files = work(ones, "count")
    worker.ask(message, files)
    send(worker.ours, {"stop": True})
    worker.start()
    assert worker.answer() == ({"stopped": True}, b"")
    send(worker.ours, {"stop": True})
    worker.ask(message, files)
    (result,) = worker.answer()[0]["results"]
    assert statistics_from(result["statistics"]).numel == 100_000
    worker.end()


def test_a_program_that_is_gone_ends_the_work(ones: Path) -> None:
    worker = Asked()
    worker.ask(*work(ones, "count"))
    worker.ours.shutdown(socket.SHUT_RDWR)
    worker.start()
    worker.end()


@pytest.mark.parametrize("preadv", [True, False])
def test_a_file_that_was_cut_is_said_with_the_byte(
    asked: Asked, ones: Path, monkeypatch: pytest.MonkeyPatch, preadv: bool
) -> None:
    if not preadv:
        monkeypatch.delattr(os, "preadv")
    message, files = work(ones, "count")
    asked.ask(message, files)
    (result,) = asked.answer()[0]["results"]
    check_against_torch(statistics_from(result["statistics"]), torch.ones(100_000))
    size = ones.stat().st_size
    opened = files()
    os.truncate(ones, size - 1000)
    assert problem_of(asked, message, lambda: opened) == (
        f"was cut while it was read: byte {size - 1000:,} is gone (open it again)"
    )


def test_a_file_that_was_written_meanwhile_is_refused(asked: Asked, ones: Path) -> None:
    message, files = work(ones, "count")
    opened = files()
    os.utime(ones, ns=(0, ones.stat().st_mtime_ns + 1))
    assert problem_of(asked, message, lambda: opened) == "changed while it was read (open it again)"


def test_what_the_system_refuses_is_said_in_its_words(asked: Asked, ones: Path, tmp_path: Path) -> None:
    message, _ = work(ones, "count")
    begin = message["runs"][0][2][0].position
    words = problem_of(asked, message, lambda: [os.open(tmp_path, os.O_RDONLY)])
    assert words == f"byte {begin:,}: is a directory"


def test_memory_that_is_not_there_costs_one_tensor(
    asked: Asked, ones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(scan_worker, "tally_of", none)
    assert problem_of(asked, *work(ones, "count")) == "there is not enough memory to read this"


def test_what_is_no_tensor_is_said(asked: Asked, ones: Path) -> None:
    message, files = work(ones, "count")
    message["tensors"][0]["shape"] = ["x"]
    assert problem_of(asked, message, files).startswith("its numbers cannot be read: TypeError: ")


@pytest.mark.parametrize("niceness", [0, 7])
def test_it_serves_until_the_program_is_gone_and_leaves_signals_to_it(
    ones: Path, monkeypatch: pytest.MonkeyPatch, niceness: int
) -> None:
    ignored: list[tuple[int, object]] = []
    nice: list[int] = []
    monkeypatch.setattr(signal, "signal", lambda number, how: ignored.append((number, how)))
    monkeypatch.setattr(os, "nice", nice.append)

    class Ended(Exception):
        pass

    def leave(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(scan_worker, "_watch", lambda _: None)
    ours, theirs = socket.socketpair()
    message, files = work(ones, "count")
    opened = files()
    send(ours, message, files=opened)
    for file in opened:
        os.close(file)
    answers: list[dict[str, Any]] = []

    def read_and_leave() -> None:
        while not answers or "results" not in answers[-1]:
            answers.append(receive(ours)[0])
        ours.close()

    program = threading.Thread(target=read_and_leave)
    program.start()
    with pytest.raises(Ended, match="0"):
        main(theirs.detach(), niceness)
    program.join()
    assert statistics_from(answers[-1]["results"][0]["statistics"]).numel == 100_000
    assert {number for number, _ in ignored} == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    assert {how for _, how in ignored} == {signal.SIG_IGN}
    assert nice == ([7] if niceness else [])


def test_it_notices_that_the_program_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    ours, theirs = socket.socketpair()
    ours.close()
    scan_worker._watch(theirs)
    assert left == [0]
    theirs.close()


def test_in_the_middle_of_a_long_step_it_ends_with_the_program_too() -> None:
    endless = (
        "import sys; from paramtui.checkpoints import scan_worker as worker\n"
        "def run(self):\n    print('begun', flush=True)\n    while True: pass\n"
        "worker._Worker.run = run\n"
        "worker.main(int(sys.argv[1]), 0)"
    )
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [sys.executable, "-c", endless, str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        theirs.close()
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        ours.close()
        assert process.wait(30) == 0
