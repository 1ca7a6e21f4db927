"""Messages with open files between two processes: whole, cut anywhere, and to nobody."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from paramtui.checkpoints.scan_wire import MAX_FILES, WireEndedError, receive, send
from tests.support import open_descriptors

MESSAGE = {"work": "count", "name": "weight \u2014 \ud83d", "sizes": [1, 2, 1 << 40]}
DATA = bytes(range(256)) * 3


def test_a_message_comes_with_its_bytes_and_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    files = [os.open(tmp_path / "a", os.O_RDONLY) for _ in range(MAX_FILES)]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, MESSAGE, DATA, files)
        send(ours, {})
        message, data, received = receive(theirs)
        assert (message, data, len(received)) == (MESSAGE, DATA, MAX_FILES)
        assert {os.pread(file, 100, 0) for file in received} == {b"content"}
        assert receive(theirs) == ({}, b"", [])
    for file in (*files, *received):
        os.close(file)


def test_a_message_cut_anywhere_leaves_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, MESSAGE, DATA)
        whole = theirs.recv(1 << 20)
    with (tmp_path / "a").open("rb") as file:
        before = open_descriptors()
        for length in range(0, len(whole), 7):
            ours, theirs = socket.socketpair()
            with theirs:
                if length:
                    socket.send_fds(ours, [whole[:length]], [file.fileno()])
                ours.close()
                with pytest.raises(WireEndedError):
                    receive(theirs)
        assert open_descriptors() == before


def test_the_end_of_the_other_side_is_told_from_either_direction() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        # What it has not read makes the system say that the line was broken, not that it ended.
        send(ours, MESSAGE)
        theirs.close()
        with pytest.raises(WireEndedError):
            receive(ours)
        with pytest.raises(WireEndedError):
            send(ours, MESSAGE)
