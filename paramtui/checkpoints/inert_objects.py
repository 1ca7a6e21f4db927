"""What a pickle becomes when it is read as data: names, calls that are not made, lists of pairs."""

from __future__ import annotations

from typing import Final

# Entries from which on a dict that is asked for a key is looked through once for all keys.
_MANY: Final = 64


class GlobalRef:
    """The name of a class or function, never the thing itself."""

    __slots__ = ("full_name", "module", "name")

    def __init__(self, module: str, name: str) -> None:
        # Protocols 0 to 2 write Python 2's names of these modules.
        self.module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        self.name = name
        self.full_name = f"{self.module}.{name}"


# What a container begins with: a list of its own for each of a million empty ones would take 56 MB.
_NO_ITEMS: Final[list[object]] = []


class Pairs:
    """A dict or OrderedDict: keys and values in turn, in the order of the file."""

    __slots__ = ("_known", "cls", "items", "state")

    def __init__(self, cls: GlobalRef | None = None) -> None:
        self.cls = cls
        self.items: list[object] = _NO_ITEMS
        self.state: object = None
        self._known: dict[str, object] | None = None

    def add(self, items: list[object]) -> None:
        """Sets keys and values in turn; the list is given up to this dict."""
        if self.items:
            self.items += items
        else:
            self.items = items

    def get(self, key: str, default: object = None) -> object:
        """The last value stored under the text `key`, in a dict that is complete."""
        items = self.items
        if len(items) > 2 * _MANY:
            if self._known is None:
                # Only texts are hashed: other keys of a file can be made to collide.
                self._known = {
                    found if isinstance(found, str) else found.decode("utf-8", "backslashreplace"): item
                    for found, item in zip(items[::2], items[1::2], strict=True)
                    if isinstance(found, str | bytes)
                }
            return self._known.get(key, default)
        for index in range(len(items) - 2, -1, -2):
            found = items[index]
            if (type(found) is str and found == key) or (
                type(found) is bytes and found == key.encode("utf-8", "surrogatepass")
            ):
                return items[index + 1]
        return default


class InertSet:
    """A set or frozenset, its members in the order of the file."""

    __slots__ = ("frozen", "items")

    def __init__(self, items: list[object] = _NO_ITEMS, *, frozen: bool) -> None:
        self.items = items
        self.frozen = frozen

    def add(self, items: list[object]) -> None:
        """Adds members; the list is given up to this set."""
        if self.items:
            self.items += items
        else:
            self.items = items


class Record:
    """A call that the pickle asks for and that is not made.

    Attributes:
        func: What would be called; mostly a `GlobalRef`.
        args: The arguments, mostly a tuple.
        kwargs: Keyword arguments (NEWOBJ_EX), or None.
        state: The argument of BUILD, or None.
        items: What APPENDS and ADDITEMS would add, or None.
        pairs: What SETITEMS would set, keys and values in turn, or None.
    """

    __slots__ = ("args", "func", "items", "kwargs", "pairs", "state")

    def __init__(self, func: object, args: object, kwargs: object = None) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.state: object = None
        self.items: list[object] | None = None
        self.pairs: list[object] | None = None


class PersistentRef:
    """What the pickle stores outside itself: for torch a tuple that names a storage."""

    __slots__ = ("pid",)

    def __init__(self, pid: object) -> None:
        self.pid = pid


class HugeInt:
    """A decimal integer too long to convert; only its text length is kept."""

    __slots__ = ("digits",)

    def __init__(self, digits: int) -> None:
        self.digits = digits
