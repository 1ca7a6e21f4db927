"""Messages between a program and the processes that count for it: JSON, some bytes, and open files.

Before them stand two unsigned 32-bit little-endian numbers: how many bytes of JSON, and how many others.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from typing import Any, Final

_HEAD: Final = struct.Struct("<II")
# Files that go with one message; systems refuse more than 253.
MAX_FILES: Final = 250


class WireEndedError(Exception):
    """The other side is gone."""


def send(
    connection: socket.socket, message: dict[str, Any], data: bytes = b"", files: list[int] | None = None
) -> None:
    """Sends a message with open files.

    Raises:
        WireEndedError: The other side is gone.
    """
    text = json.dumps(message, separators=(",", ":")).encode()
    head = _HEAD.pack(len(text), len(data))
    try:
        if files:
            rights = array.array("i", files)
            sent = connection.sendmsg([head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            head = head[sent:]
        connection.sendall(head + text + data)
    except OSError:
        raise WireEndedError from None


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes, list[int]]:
    """The next message, its bytes, and its files, which the caller closes.

    Raises:
        WireEndedError: The other side is gone.
    """
    files = array.array("i")
    try:
        room = socket.CMSG_SPACE(MAX_FILES * files.itemsize)
        head, rights, _, _ = connection.recvmsg(_HEAD.size, room)
        for _, _, content in rights:  # nothing but files comes beside the bytes
            files.frombytes(content[: len(content) - len(content) % files.itemsize])
        head += _exactly(connection, _HEAD.size - len(head))
        text, data = _HEAD.unpack(head)
        message = json.loads(_exactly(connection, text))
        return message, _exactly(connection, data), files.tolist()
    except (OSError, WireEndedError):
        for file in files:
            os.close(file)
        raise WireEndedError from None


def _exactly(connection: socket.socket, count: int) -> bytes:
    out = bytearray(count)
    view = memoryview(out)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise WireEndedError
        view = view[got:]
    return bytes(out)
