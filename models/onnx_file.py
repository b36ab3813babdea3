"""Checks, without the onnx library, that an ONNX file takes its weights from nowhere but itself or a file named here.

An ONNX file is a protobuf message. Only its structure is read, so a large file takes little time and memory.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {},
}
"""For each message, the numbers of the fields that lead to tensors, and the type of message in each."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
_KEY, _VALUE = 1, 2  # of an entry of external data
_PLACE = {b"location", b"offset", b"length"}
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types
_MOST_FIELDS = 1_000_000  # our models have a few thousand


class OnnxFileError(Exception):
    """A file is not an ONNX model, or refers to other files. The message does not name the file."""


def check_stands_alone(file: Path, but_for: Optional[str] = None) -> None:
    """Checks that no weights are in other files, which ONNX calls external data.

    Args:
        file: the model.
        but_for: the name of a file beside it that may hold weights, because a digest covers it.

    Raises:
        OnnxFileError: there are such weights, or the file is not an ONNX model.
        OSError: it cannot be read.
    """
    if not file.stat().st_size:
        raise OnnxFileError("is empty")
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        messages: List[Tuple[str, int, int]] = [("model", 0, len(content))]
        walked = 0
        while messages:
            kind, start, end = messages.pop()
            for number, wire_type, at, stop in _fields(content, start, end):
                walked += 1
                if walked > _MOST_FIELDS:
                    raise OnnxFileError("has more parts than any model that this version can run")
                if kind == "tensor" and _leads_elsewhere(number, wire_type, content, at, stop, but_for):
                    raise OnnxFileError(
                        "has weights in another file, which no digest covers; export it with them inside"
                    )
                if number in _INSIDE[kind] and wire_type == _LENGTH:
                    messages.append((_INSIDE[kind][number], at, stop))


def _leads_elsewhere(
    number: int, wire_type: int, content: mmap.mmap, at: int, stop: int, but_for: Optional[str]
) -> bool:
    """Whether a field of a tensor says that its weights are in a file that is not allowed."""
    if number == _EXTERNAL_DATA:
        return but_for is None or wire_type != _LENGTH or not _is_place_in(but_for, content, at, stop)
    return number == _DATA_LOCATION and but_for is None and (wire_type != _VARINT or content[at] != 0)


def _is_place_in(name: str, content: mmap.mmap, at: int, end: int) -> bool:
    """Whether an entry of external data is a place in the file of this name: one key, then one value."""
    fields = list(_fields(content, at, end))
    if [(number, wire_type) for number, wire_type, _, _ in fields] != [(_KEY, _LENGTH), (_VALUE, _LENGTH)]:
        return False
    key, value = (content[start:stop] for _, _, start, stop in fields)
    return key in _PLACE and (key != b"location" or value == name.encode())


def _fields(content: mmap.mmap, at: int, end: int) -> Iterator[Tuple[int, int, int, int]]:
    """Yields the fields of a message: number, wire type, and where the value begins and ends."""
    while at < end:
        tag, at = _varint(content, at, end)
        number, wire_type = (tag & 0xFFFFFFFF) >> 3, tag & 7
        start = at
        if wire_type == _VARINT:
            _, at = _varint(content, at, end)
        elif wire_type == _LENGTH:
            length, start = _varint(content, at, end)
            at = start + length
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise OnnxFileError("is not an ONNX model")
        if at > end:
            raise OnnxFileError("is not an ONNX model, or cut short")
        yield number, wire_type, start, at


def _varint(content: mmap.mmap, at: int, end: int) -> Tuple[int, int]:
    """Returns a number of one to ten bytes, and where it ends."""
    value = 0
    for place in range(min(10, end - at)):
        byte = content[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise OnnxFileError("is not an ONNX model, or cut short")
