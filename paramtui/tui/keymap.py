"""Checks a person's own keys before they reach the screen.

Textual deletes a default binding without a word when a person's key takes it away; here such an entry is
refused instead, with both actions named.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from paramtui.core.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bindings of these places are seen wherever the focus is.
_EVERYWHERE: Final = ("screen", "app")
_MODIFIERS: Final = ("ctrl", "shift")
# tmux's prefix, and what many terminals keep for themselves.
_FORBIDDEN: Final = ("ctrl+b", "ctrl+s")


def validate_keymap(
    keys: Mapping[str, str], known: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, str], list[str]]:
    """Takes the entries that can be kept.

    Args:
        keys: Keys by action, separated by commas: Textual's names, or the letters themselves.
        known: Place and default keys of every action.

    Returns:
        A map for `textual.app.App.set_keymap`, and a sentence for each entry that was refused.
    """
    accepted: dict[str, list[str]] = {}
    problems: list[str] = []
    for action, text in keys.items():
        if action not in known:
            from difflib import get_close_matches

            near = get_close_matches(action, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"keys: there is no action {safe_text(action, 80)}{hint}")
            continue
        names, wrong = _names(text)
        if wrong:
            problems.append(f"keys.{action}: {wrong}")
        else:
            accepted[action] = names
    while clash := _clash(accepted, known):
        action, other, key = clash
        problems.append(
            f"keys.{action}: {key} is the key of {other}; give that one another, too, or choose another here"
        )
        del accepted[action]
    return {action: ",".join(names) for action, names in accepted.items()}, problems


def _names(text: str) -> tuple[list[str], str]:
    """Textual's names of keys, or what is wrong with them."""
    from textual.keys import _character_to_key

    # A comma alone is the key; elsewhere it separates keys.
    words = [","] if text.strip() == "," else [word.strip() for word in text.split(",")]
    names: list[str] = []
    for word in words:
        if not word:
            return [], "names no key"
        modifiers, key = _parts(word)
        typed = len(key) == 1 and key.isprintable()
        if typed:
            key = _character_to_key(key)
        name = "+".join([*modifiers, key])
        if "alt" in modifiers or name in _FORBIDDEN:
            return [], f"{safe_text(word, 40)} cannot be used: it does not reach the program everywhere"
        if not (typed or key in _key_names()) or not set(modifiers) <= set(_MODIFIERS):
            return [], f"there is no key {safe_text(word, 40)}"
        if name not in names:
            names.append(name)
    return names, ""


def _parts(word: str) -> tuple[list[str], str]:
    """Modifiers and key of a word, spelled as Textual reports them."""
    if len(word) == 1:
        return [], word
    *modifiers, key = word.split("+")
    modifiers = sorted(modifier.lower() for modifier in modifiers)
    if modifiers == ["shift"] and len(key) == 1 and key.isalpha():
        # A terminal sends the capital itself.
        return [], key.upper()
    return modifiers, key.lower()


def _defaults(keys: str) -> list[str]:
    """Keys of an action that nobody changed, in Textual's names."""
    from textual.keys import _character_to_key

    words = [word.strip() for word in keys.split(",")]
    return [_character_to_key(word) if len(word) == 1 else word for word in words]


@cache
def _key_names() -> frozenset[str]:
    from textual.keys import Keys, _character_to_key

    parts = {key.value.rpartition("+")[2] for key in Keys if key.value.isidentifier() or "+" in key.value}
    return frozenset(parts | {_character_to_key(chr(code)) for code in range(33, 127)})


def _clash(
    accepted: Mapping[str, list[str]], known: Mapping[str, tuple[str, str]]
) -> tuple[str, str, str] | None:
    """The last entry whose key another action has, too; what defaults share is meant."""
    for action in reversed(list(accepted)):
        place, defaults = known[action]
        for other, (other_place, other_defaults) in known.items():
            if other == action:
                continue
            seen = place == other_place or place in _EVERYWHERE or other_place in _EVERYWHERE
            theirs = accepted.get(other, _defaults(other_defaults))
            meant = set(_defaults(defaults)) & set(_defaults(other_defaults))
            shared = [key for key in accepted[action] if key in theirs and key not in meant]
            if seen and shared:
                return action, other, shared[0]
    return None
