"""The messages between the screen and the process that holds a model: plain data, never a pickle.

A message is a JSON object and some bytes. Before them stand two unsigned 32-bit little-endian numbers: how
many bytes of JSON, and how many others follow. Bytes that are many lie in a file of a private directory
instead, which the receiver deletes; the JSON then names it.

Requests have ``id`` and ``call``; answers have the same ``id`` and ``result`` or ``error``; what is told
without being asked has ``event``.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
import threading
from typing import TYPE_CHECKING, Any, Final

from paramtui import errors
from paramtui.errors import EngineError, ParamtuiError

if TYPE_CHECKING:
    import socket

_HEAD: Final = struct.Struct("<II")
MAX_JSON: Final = 64 << 20
MAX_BYTES: Final = 1 << 30
# More bytes than this go by file.
SPILL: Final = 256 << 10

Message = tuple[dict[str, Any], bytes]


class ChannelClosedError(Exception):
    """The other side is gone."""


class Channel:
    """One end of a connection.

    Args:
        connection: A stream socket.
        folder: Where bytes are laid that do not go through it.
    """

    def __init__(self, connection: socket.socket, folder: str) -> None:
        self.connection = connection
        self._folder = folder
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any], data: bytes = b"") -> None:
        """Sends a message, from any thread.

        Raises:
            ChannelClosedError: The other side is gone.
        """
        if len(data) > SPILL:
            message = {**message, "spill": self._spilled(data)}
            data = b""
        text = json.dumps(message, separators=(",", ":")).encode()
        try:
            with self._lock:
                self.connection.sendall(_HEAD.pack(len(text), len(data)) + text + data)
        except OSError:
            raise ChannelClosedError from None

    def _spilled(self, data: bytes) -> str:
        name = secrets.token_hex(8)
        path = os.path.join(self._folder, name)  # noqa: PTH118
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return name

    def receive(self) -> Message:
        """The next message.

        Raises:
            ChannelClosedError: The other side is gone, or what it sends is no message.
        """
        text_size, data_size = _HEAD.unpack(self._exactly(_HEAD.size))
        if text_size > MAX_JSON or data_size > MAX_BYTES:
            raise ChannelClosedError
        text = self._exactly(text_size)
        data = self._exactly(data_size)
        try:
            message = json.loads(text)
        except ValueError:
            raise ChannelClosedError from None
        if not isinstance(message, dict):
            raise ChannelClosedError
        spill = message.pop("spill", None)
        if isinstance(spill, str) and spill.isalnum():
            data = self._fetched(spill)
        return message, data

    def _fetched(self, name: str) -> bytes:
        path = os.path.join(self._folder, name)  # noqa: PTH118
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                data = file.read()
            os.unlink(path)  # noqa: PTH108
        except OSError:
            raise ChannelClosedError from None
        return data

    def _exactly(self, count: int) -> bytes:
        out = bytearray()
        while len(out) < count:
            try:
                piece = self.connection.recv(min(count - len(out), 1 << 20))
            except OSError:
                raise ChannelClosedError from None
            if not piece:
                raise ChannelClosedError
            out += piece
        return bytes(out)


def plain_error(error: ParamtuiError) -> dict[str, Any]:
    """An error for people as plain data."""
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
        **{
            name: getattr(error, name)
            for name in ("traceback", "tried", "candidates", "needed", "free", "undo")
            if hasattr(error, name)
        },
    }


def error_from(plain: dict[str, Any]) -> ParamtuiError:
    """What `plain_error` wrote."""
    kind = getattr(errors, str(plain.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, ParamtuiError)):
        kind = EngineError
    # Only the text is given when it is made: each kind asks for arguments of its own.
    error = kind.__new__(kind)
    Exception.__init__(error, plain.get("what"))
    error.what, error.where, error.hint = str(plain.get("what")), plain.get("where"), plain.get("hint")
    for name in ("traceback", "candidates", "tried", "needed", "free", "undo"):
        if name in plain:
            setattr(error, name, plain[name])
    return error
