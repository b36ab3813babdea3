"""Parses data sources on the command line (``KIND``, ``KIND:NUMBERS``, ``KIND:PATH[:NUMBERS]``) and number lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Collection, NamedTuple, Optional, Tuple


class DataSource(NamedTuple):
    """A data source on the command line.

    Attributes:
        text: the text on the command line.
        kind: the sort of data, such as ``utd`` or ``person``.
        path: its folder; empty for simulated data.
        numbers: subjects or seeds; empty if none were given.
    """

    text: str
    kind: str
    path: str
    numbers: Tuple[int, ...]


def parse_source(text: str, simulated: Collection[str], stored: Collection[str]) -> Optional[DataSource]:
    """Parses a data source. A path may contain colons. Numbers follow the last one, unless the whole text is a path.

    Args:
        text: the text on the command line.
        simulated: the kinds without a path: ``person[:NUMBERS]``.
        stored: the kinds with a path: ``utd:PATH[:NUMBERS]``.

    Returns:
        None if the text is not such a source.
    """
    kind, colon, rest = text.partition(":")
    if kind in simulated:
        if not colon:
            return DataSource(text, kind, "", ())
        return DataSource(text, kind, "", parse_numbers(rest)) if _is_numbers(rest) else None
    if kind not in stored or not rest:
        return None
    path, _, numbers = rest.rpartition(":")
    if path and _is_numbers(numbers) and not Path(rest).exists():
        return DataSource(text, kind, path, parse_numbers(numbers))
    return DataSource(text, kind, rest, ())


def parse_numbers(text: str) -> Tuple[int, ...]:
    """Parses numbers such as ``7``, ``1-6`` or ``1-3,7``.

    Raises:
        ValueError: the text is anything else.
    """
    numbers: Tuple[int, ...] = ()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"{text!r}: expected numbers such as 7, 1-6 or 1-3,7")
        numbers += tuple(range(int(match[1]), int(match[2] or match[1]) + 1))
    return numbers


def _is_numbers(text: str) -> bool:
    try:
        return bool(parse_numbers(text))
    except ValueError:
        return False
