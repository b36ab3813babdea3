from __future__ import annotations

from pathlib import Path

import pytest

from cosmo_runtime.models.onnx_file import _INSIDE, OnnxFileError, check_stands_alone
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE


def field(number: int, content: bytes) -> bytes:
    """A protobuf field with a length, for content of less than 128 bytes and numbers below 2048."""
    tag = number << 3 | 2
    head = bytes([tag]) if tag < 128 else bytes([tag & 0x7F | 0x80, tag >> 7])
    return head + bytes([len(content)]) + content


ELSEWHERE = b"\x70\x01"  # data_location = EXTERNAL
FILE = field(13, field(1, b"location") + field(2, b"../../etc"))


def model(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("tensor", [ELSEWHERE, FILE, b"\x08\x03" + FILE + ELSEWHERE, field(14, b"\x01")])
@pytest.mark.parametrize(
    "path",
    [
        (7, 5),  # graph, initializer
        (7, 15, 1),  # sparse initializer, values
        (7, 1, 5, 5),  # node, attribute, tensor
        (7, 1, 5, 10),
        (7, 1, 5, 6, 5),  # a graph in an attribute, as If and Loop have
        (7, 1, 5, 11, 1, 5, 22, 2),
        (20, 1, 5),  # training
        (25, 7, 5, 5),  # function
    ],
)
def test_weights_in_another_file_are_found_wherever_they_are_named(tmp_path: Path, path: tuple, tensor: bytes) -> None:
    for number in reversed(path):
        tensor = field(number, tensor)
    with pytest.raises(OnnxFileError, match="has weights in another file"):
        check_stands_alone(model(tmp_path, b"\x08\x07" + tensor))


def entry(key: bytes, value: bytes) -> bytes:
    return field(13, field(1, key) + field(2, value))


PLACE = entry(b"location", b"model.onnx") + entry(b"offset", b"4096") + entry(b"length", b"16") + ELSEWHERE


def test_weights_may_be_in_the_one_file_that_is_named(tmp_path: Path) -> None:
    file = model(tmp_path, b"\x08\x07" + field(7, field(1, field(5, field(6, field(5, PLACE))))))
    check_stands_alone(file, but_for="model.onnx")
    with pytest.raises(OnnxFileError, match="has weights in another file"):
        check_stands_alone(file)


def test_a_text_whose_field_has_the_number_of_external_data_is_none(tmp_path: Path) -> None:
    attribute = field(13, b"\x0b says what it is for")  # its doc_string
    check_stands_alone(model(tmp_path, field(7, field(1, field(5, attribute)))), but_for="model.onnx")


@pytest.mark.parametrize(
    "tensor",
    [
        PLACE + entry(b"location", b"../model.onnx"),
        PLACE + entry(b"location", b"/etc/shadow"),
        PLACE + entry(b"basepath", b".."),
        PLACE + field(13, field(1, b"location") + field(2, b"model.onnx") + field(2, b"/etc/shadow")),
        PLACE + field(13, field(1, b"offset") + field(1, b"location") + field(2, b"model.onnx")),
        PLACE + field(13, field(2, b"/etc/shadow") + field(1, b"location")),
        PLACE + b"\x68\x01",  # a number where an entry belongs
    ],
)
def test_no_other_file_is_reached_by_its_name(tmp_path: Path, tensor: bytes) -> None:
    with pytest.raises(OnnxFileError, match="has weights in another file"):
        check_stands_alone(model(tmp_path, field(7, field(5, tensor))), but_for="model.onnx")


def test_a_model_that_says_that_its_weights_are_inside_stands_alone(tmp_path: Path) -> None:
    check_stands_alone(model(tmp_path, field(7, field(5, b"\x70\x00"))))
    check_stands_alone(SHIPPED_BUNDLE / "model.onnx")
    check_stands_alone(SHIPPED_BUNDLE / "model.fp16.onnx")
    check_stands_alone(SHIPPED_BUNDLE / "model.skipping.onnx", but_for="model.onnx")


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"\xff" * 30, field(7, b"")[:-1] + b"\x05", b"\x0b", b"\x09abc", b"\x80"]
)
def test_what_is_no_onnx_file_is_told(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(OnnxFileError, match=r"is not an ONNX model|is empty"):
        check_stands_alone(model(tmp_path, content))


def test_a_file_of_countless_parts_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(OnnxFileError, match="more parts"):
        check_stands_alone(model(tmp_path, b"\x08\x07" * 1_500_000))


def test_what_is_saved_with_external_data_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="pip install onnx")
    loaded = onnx.load(str(SHIPPED_BUNDLE / "model.onnx"))
    onnx.save(loaded, str(tmp_path / "model.onnx"), save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(OnnxFileError, match="has weights in another file"):
        check_stands_alone(tmp_path / "model.onnx")


def test_the_numbers_of_the_fields_are_those_of_onnx() -> None:
    onnx = pytest.importorskip("onnx", reason="pip install onnx")
    messages = {
        "model": onnx.ModelProto,
        "graph": onnx.GraphProto,
        "node": onnx.NodeProto,
        "attribute": onnx.AttributeProto,
        "sparse tensor": onnx.SparseTensorProto,
        "training": onnx.TrainingInfoProto,
        "function": onnx.FunctionProto,
        "tensor": onnx.TensorProto,
    }
    kinds = {message.DESCRIPTOR.name: kind for kind, message in messages.items()}
    for kind, message in messages.items():
        leads = {
            item.number: kinds[item.message_type.name]
            for item in message.DESCRIPTOR.fields
            if item.message_type and item.message_type.name in kinds
        }
        assert {**leads, **_INSIDE[kind]} == _INSIDE[kind]
