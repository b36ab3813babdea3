"""Names of activities: which are allowed, how they are stored, and when two look the same to a person.

Names come from label tables, prompt lists, command lines and model specs. All of them pass through here, so that
``Walk`` and ``walk``, or a composed and a decomposed ``ä``, never become two activities.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Iterable

from cosmo_runtime.names import GAP, NOBODY, NONE, UNCERTAIN

FALL = "fall"
"""The activity that requires motion: nobody falls without moving."""

_REFUSED = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogate pairs, ends of lines and paragraphs
_UNSEEN = dict.fromkeys(
    map(ord, "\u00ad\u061c\u200b\u200e\u200f\u2060\ufe0e\ufe0f\ufeff")
)  # soft hyphens, direction marks, zero-width spaces, emoji styles; joiners stay, because they change what is seen


def activity_name(text: str) -> str:
    """Returns a name in its stored form: composed (NFC), with single spaces and none at the ends.

    Raises:
        ValueError: it is empty, ``uncertain``, or contains a control character or a line end.
    """
    if any(unicodedata.category(character) in _REFUSED for character in text):
        raise ValueError(f"the name {text!r} contains a control character or a line end")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not folded(name):
        raise ValueError("names no activity")
    if is_uncertain(name):
        raise ValueError(
            f"{name!r} is not an activity, but the answer of a model that cannot tell: say what was done, or drop it"
        )
    return name


def label_name(text: str) -> str:
    """The stored form of a name that people give: an activity, or ``nobody``, which can be told but not learned.

    Raises:
        ValueError: as for ``activity_name``; or it is ``gap``, which models of earlier versions may know.
    """
    name = activity_name(text)
    if folded(name) == GAP:
        raise ValueError(f"{name!r} is not an activity, but what the log calls a time without data; name it otherwise")
    return NOBODY if folded(name) == NOBODY else name


def is_uncertain(name: str) -> bool:
    """Whether a name is that of the answer of a model that cannot tell."""
    return folded(name) == UNCERTAIN


def is_fall(name: str) -> bool:
    """Whether a name is that of a fall to a person."""
    return folded(name) == FALL


def as_known(name: str, known: Iterable[str]) -> str:
    """Returns the known name (or ``none``) that looks the same to a person, or else the name itself.

    Names are the same if they differ only in case or in invisible characters.
    """
    known = [*known, NONE]
    if name in known:
        return name
    return next((other for other in known if folded(other) == folded(name)), name)


@lru_cache(maxsize=4096)  # episodes ask for the same few names with every window
def folded(name: str) -> str:
    """Returns a name in a form that is equal for names that look the same."""
    unmarked = unicodedata.normalize("NFD", name.translate(_UNSEEN))
    return " ".join(unicodedata.normalize("NFC", unmarked.casefold()).split())
