"""The containers of this process and how much they hold, to see which of them only grow."""

from __future__ import annotations

import gc
from collections import deque
from typing import Any, Dict, List, NamedTuple
from weakref import ReferenceType

_SIZED = (list, dict, set, bytearray, deque)


class Container(NamedTuple):
    """A container at one time. It is held, so that no other one takes its place in memory."""

    itself: Any
    size: int


def containers() -> List[Container]:
    """All containers but those with a limit of their own, as a ``deque`` may have."""
    gc.collect()
    found: Dict[int, Container] = {}
    for thing in gc.get_objects():
        for each in (thing, *gc.get_referents(thing)):  # the collector itself does not know a dict of numbers
            if isinstance(each, _SIZED) and getattr(each, "maxlen", None) is None and each is not found:
                found[id(each)] = Container(each, len(each))
    return list(found.values())


def grown(before: List[Container], by: int) -> List[str]:
    """Those that hold so many more things than before, in words: what they are, how many, the first things.

    Weak references hold nothing; sqlite3 of Python 3.8 keeps up to 200 of dead cursors.

    Args:
        before: the containers at the earlier time. It is emptied, so that those go which nobody else holds.
        by: how many more.
    """
    sizes = {id(each.itself): each.size for each in before}
    before.clear()
    return [
        f"{type(itself).__name__}: {sizes[id(itself)]} -> {size}, as {list(itself)[:3]!r:.200}"
        for itself, size in containers()
        if size >= sizes.get(id(itself), size) + by and not all(isinstance(thing, ReferenceType) for thing in itself)
    ]
