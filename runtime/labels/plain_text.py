"""Reads text files that people write, such as label tables, in the encodings of editors and spreadsheets."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """Returns a file's text: UTF-8, or what its byte order mark says.

    Bytes that are not UTF-8 become single surrogates, which do no harm in comments; see ``foreign_byte``.

    Raises:
        OSError: the file cannot be read.
        ValueError: its byte order mark is wrong.
    """
    content = path.read_bytes()
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as error:
                raise ValueError(f"begins as {encoding.upper()}, but is not from byte {error.start} on") from error
    return content.decode("utf-8-sig", "surrogateescape")


def foreign_byte(text: str) -> str:
    """Describes the first byte of a text that is not UTF-8; empty if there is none."""
    for character in text:
        if "\udc80" <= character <= "\udcff":
            return f"holds the byte 0x{ord(character) - 0xDC00:02x}, which is not UTF-8: save the file as UTF-8"
    return ""
