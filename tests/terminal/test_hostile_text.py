"""Files whose every name steers a terminal are walked on a real one, key by key: it obeys none of them."""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.hostile_text.files import FORBIDDEN, MADE, POISON
from tests.terminal.terminal import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.terminal.terminal import Terminal

    Start = Callable[..., Terminal]

# What a terminal would obey or draw otherwise; the screen itself writes ESC, and bells.
RAW = [char.encode() for char in FORBIDDEN if char not in "\x1b\x07\r\x08\x0f"] + [b"\x1b]0;"]
# Each is one look: dialogs are left again by escape.
LOOKS = (
    *"+Gkkk", "\t", "\x1b", *"yYa", "\x1b", *"OG", "\x1b", *"PG", "\x1b", "f", "\x1b", *"ccI", "\x1b", *"Zm=",
    "\x1b", "B", "\x1b", "e", "\x1b", "i", "\x1b", "s", "\x1b", "C", "\x1b", "o", "\x1b", "/pwned\r",
    "n", "\x1b", "\x10pwned", "\x1b", "V", "\x1b", *"321tt)}!?", "\x1b", "<",
)  # fmt: skip


@pytest.mark.parametrize("name", ["folder", "program.pt", "unreadable.safetensors", "zip.pt"])
def test_no_text_of_a_file_steers_the_terminal(terminal: Start, tmp_path: Path, name: str) -> None:
    path = tmp_path / (POISON.replace("/", "").replace("\0", "") + name)
    MADE[name](path)
    found = terminal(str(path), width=110, height=34)
    found.until(lambda text: "clean" in text and "pwned" in text)
    for keys in (*LOOKS, *("jy" * 8), *("jY" * 3)):
        found.press(keys)
        # An escape and the next key together would be another key.
        found._read(0.5 if keys == "\x1b" else 0.05)
        while found._read(0.03):
            pass
    found.resize(60, 20)
    found.press("q")
    deadline = time.monotonic() + PATIENCE
    while found.process.poll() is None:
        assert time.monotonic() < deadline, f"q does not end it; on screen:\n{found.text}"
        # Whatever is still open over the tree closes first.
        found._read(0.5)
        found.press("\x1b")
        found._read(0.5)
        found.press("q")
    found.end()
    found.assert_restored()
    obeyed = [found.received[max(0, at - 40) : at + 40] for at in map(found.received.find, RAW) if at >= 0]
    assert not obeyed
    copied = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", found.received)
    assert copied
    for text in copied:
        assert base64.b64decode(text).decode().isprintable()
