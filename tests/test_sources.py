from __future__ import annotations

from pathlib import Path
from typing import Tuple

import pytest

from cosmo_runtime.sources import parse_numbers, parse_source


@pytest.mark.parametrize(
    ("text", "numbers"), [("7", (7,)), ("7,8", (7, 8)), ("1-6", (1, 2, 3, 4, 5, 6)), (" 1-2 , 7", (1, 2, 7))]
)
def test_numbers_are_read(text: str, numbers: Tuple[int, ...]) -> None:
    assert parse_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "1-", "1;2", "-3", "1,,2", "6-1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected numbers such as 7, 1-6 or 1-3,7"):
        parse_numbers(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("person", ("person", "", ())),
        ("person:1-3", ("person", "", (1, 2, 3))),
        ("utd:/data", ("utd", "/data", ())),
        ("utd:/data:1-3,7", ("utd", "/data", (1, 2, 3, 7))),
        ("utd:/of 8:00/data", ("utd", "/of 8:00/data", ())),
        ("utd:/of 8:00/data:7", ("utd", "/of 8:00/data", (7,))),
        ("utd:data:x", ("utd", "data:x", ())),
    ],
)
def test_a_source_has_a_kind_a_path_and_numbers(text: str, expected: Tuple[str, str, Tuple[int, ...]]) -> None:
    assert parse_source(text, ["person"], ["utd"]) == (text, *expected)


def test_a_path_that_ends_like_numbers_is_a_path_if_it_exists(tmp_path: Path) -> None:
    folder = tmp_path / "data:7"
    folder.mkdir()
    for text, numbers in ((f"utd:{folder}", ()), (f"utd:{folder}:8", (8,))):
        source = parse_source(text, [], ["utd"])
        assert source and (source.path, source.numbers) == (str(folder), numbers)


@pytest.mark.parametrize("text", ["", "dance", "person:", "person:x", "utd", "utd:", "Utd:/data"])
def test_what_names_no_source_is_none(text: str) -> None:
    assert parse_source(text, ["person"], ["utd"]) is None
