"""A text is read in the encoding that its editor saved it in."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmo_runtime.runtime.labels.plain_text import foreign_byte, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_an_encoding_is_known_by_its_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "text"
    path.write_bytes("gähnen\r\n散歩".encode(encoding))
    assert read_text(path) == "gähnen\r\n散歩"
    assert foreign_byte(read_text(path)) == ""


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_both_orders_of_bytes_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffgähnen".encode(encoding))
    assert read_text(path) == "gähnen"


def test_bytes_of_other_encodings_are_named_and_do_no_harm_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("# gähnen\nwave".encode("latin-1"))
    first, second = read_text(path).splitlines()
    assert foreign_byte(first) == "holds the byte 0xe4, which is not UTF-8: save the file as UTF-8"
    assert (second, foreign_byte(second)) == ("wave", "")


def test_a_wrong_mark_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xff\xfea")
    with pytest.raises(ValueError, match="begins as UTF-16, but is not from byte 2 on"):
        read_text(path)
