"""Messages of a recording: their forms, and how text, numbers and JSON are encoded and decoded.

A file may come from anywhere, so each decoder checks what it reads and raises ``ValueError`` with a reason.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple, Type

from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.Log_pb2 import Log
from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import Writer
from mcap_protobuf.schema import register_schema

from cosmo_runtime.sensors.recording import ros
from cosmo_runtime.sensors.sensor import SensorError

TRUTH = "/truth"
"""The topic of true activities."""

_MOST_JSON_BYTES = 2**16
_MOST_CHARACTERS = 1000

_PROTOBUF_TYPES: Mapping[str, Type[ProtobufMessage]] = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (RawImage, CameraCalibration, PointCloud, FrameTransform, BytesValue, Log)
}
_JSON_PROPERTIES: Mapping[str, Dict[str, Any]] = {
    "/state": {field: {"type": "string"} for field in ("sensor", "state", "reason")},
    "/corrections": {"sensor": {"type": "string"}, "taken_off_ns": {"type": "integer"}},
    TRUTH: {"activity": {"type": "string"}},
    "/clock": {field: {"type": "integer"} for field in ("monotonic_ns", "wall_ns")},
}


class RecordingError(SensorError):
    """A recording cannot be written or read. The message names the file, what was wrong and what to do."""


class RecordingDamaged(RecordingError):
    """Bytes of a recording are damaged. Reading its events raises this, too."""


def not_written(path: Path, error: OSError) -> RecordingError:
    """Explains why a new recording was not written, and what to do."""
    if isinstance(error, FileExistsError):
        return RecordingError(f"{path} exists already: choose another name, or move it away")
    return RecordingError(f"{path} cannot be written: {error.strerror}")


class Message(NamedTuple):
    """One message of a recording. Times are those of the host's monotonic clock.

    Attributes:
        topic: its topic in the recording.
        at_ns: when it reached the host.
        stamp_ns: when its content happened.
        data: the message's bytes, as its schema defines them.
        schema: the schema's name, for writing; empty for JSON.
    """

    topic: str
    at_ns: int
    stamp_ns: int
    data: bytes
    schema: str = ""


class MessageWriter:
    """Writes messages to a recording. The first one of a topic and schema registers a channel for both.

    An emulated rig tells an activity before it begins. Such a message is dated to when it was told, or the recording
    would seem to last until then.

    Args:
        mcap: writes the file.
        wall_offset_ns: wall clock minus monotonic clock, which is added to every time.
    """

    def __init__(self, mcap: Writer, wall_offset_ns: int) -> None:
        self._mcap = mcap
        self._wall_offset_ns = wall_offset_ns
        self._channels: Dict[Tuple[str, str], int] = {}
        self._latest_ns: Optional[int] = None

    def add(self, message: Message) -> None:
        """Writes the next message."""
        kind = message.topic, message.schema
        if kind not in self._channels:
            self._channels[kind] = _register_channel(self._mcap, *kind)
        at_ns = message.at_ns
        if message.topic != TRUTH:
            self._latest_ns = at_ns if self._latest_ns is None else max(self._latest_ns, at_ns)
        elif self._latest_ns is not None:
            at_ns = min(at_ns, self._latest_ns)
        self._mcap.add_message(
            self._channels[kind],
            log_time=at_ns + self._wall_offset_ns,
            publish_time=message.stamp_ns + self._wall_offset_ns,
            data=message.data,
        )


def _register_channel(writer: Writer, topic: str, schema: str) -> int:
    """Adds a topic with its schema to a recording, and returns its channel's number."""
    if schema in _PROTOBUF_TYPES:
        number = register_schema(writer, _PROTOBUF_TYPES[schema])
        return writer.register_channel(topic, MessageEncoding.Protobuf, number)
    if schema in ros.DEFINITIONS:
        number = writer.register_schema(schema, SchemaEncoding.ROS2, ros.DEFINITIONS[schema].encode())
        return writer.register_channel(topic, MessageEncoding.CDR, number)
    definition = {"type": "object", "properties": _JSON_PROPERTIES.get(topic, {})}
    name = "cosmo" + topic.replace("/", ".")
    number = writer.register_schema(name, SchemaEncoding.JSONSchema, json.dumps(definition).encode())
    return writer.register_channel(topic, MessageEncoding.JSON, number)


def encode_json(topic: str, at_ns: int, content: Dict[str, Any]) -> Message:
    """Encodes a dictionary for a JSON topic."""
    return Message(topic, at_ns, at_ns, json.dumps(content).encode())


def decode_json(data: bytes) -> Dict[str, Any]:
    """Decodes a dictionary.

    Raises:
        ValueError: the bytes are not a JSON object.
    """
    if len(data) > _MOST_JSON_BYTES:
        raise ValueError(f"{len(data)} bytes of JSON are more than the limit of {_MOST_JSON_BYTES}")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(content, dict):
        raise ValueError("its JSON is not an object")
    return content


def decode_clocks(message: Message) -> Tuple[int, int]:
    """Decodes a reading of both clocks of the host, monotonic and wall, in ns.

    Raises:
        ValueError: the message is not such a reading.
    """
    content = decode_json(message.data)
    monotonic_ns, wall_ns = content.get("monotonic_ns"), content.get("wall_ns")
    if type(monotonic_ns) is not int or type(wall_ns) is not int:
        raise ValueError("it is not a reading of both clocks")
    if not (0 <= monotonic_ns < 2**62 and 0 <= wall_ns < 2**63):
        raise ValueError("its clock times are impossible")
    return monotonic_ns, wall_ns


def encode_text(topic: str, at_ns: int, text: str, source: str, wall_offset_ns: int) -> Message:
    """Encodes a line of text, which viewers list by time."""
    log = Log(timestamp=timestamp(at_ns + wall_offset_ns), level=Log.INFO, message=text, name=source)
    return protobuf(topic, at_ns, at_ns, log)


def encode_numbers(topic: str, at_ns: int, values: Mapping[str, float]) -> Message:
    """Encodes numbers. Viewers draw a line for each."""
    return Message(topic, at_ns, at_ns, ros.numbers(values), ros.NUMBERS)


def protobuf(topic: str, at_ns: int, stamp_ns: int, content: ProtobufMessage) -> Message:
    """Encodes a protobuf message."""
    return Message(topic, at_ns, stamp_ns, content.SerializeToString(), content.DESCRIPTOR.full_name)


def timestamp(wall_ns: int) -> Timestamp:
    """A wall time in the form that viewers expect."""
    return Timestamp(seconds=wall_ns // 10**9, nanos=wall_ns % 10**9)


def text_of(content: Mapping[str, Any], field: str) -> str:
    """A short text in a message, without control characters that a terminal would obey.

    Raises:
        ValueError: the field is not such a text.
    """
    text = content.get(field)
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        raise ValueError(f"its {field} is not a text of at most {_MOST_CHARACTERS} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text if character != "\n"):
        raise ValueError(f"its {field} holds control characters: {text!r:.80}")
    return text
