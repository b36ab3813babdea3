"""How each event is spelled as messages in a recording, and read back: both directions side by side."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List, NamedTuple, Type

import numpy as np
from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.PackedElementField_pb2 import PackedElementField
from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
from foxglove_schemas_protobuf.Pose_pb2 import Pose
from foxglove_schemas_protobuf.Quaternion_pb2 import Quaternion
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from foxglove_schemas_protobuf.Vector3_pb2 import Vector3
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import Writer
from mcap_protobuf.schema import register_schema

from sensors.events import Event, Sample, StateChange, Tick, Truth
from sensors.sensor import SensorError, SensorInfo

FORMAT_VERSION = "1"
SENSOR_METADATA = "cosmo-runtime.sensor."  # and the sensor's name

_XYZ = {"type": "object", "properties": {axis: {"type": ["number", "null"]} for axis in "xyz"}}
_IMU_FIELDS = ("acceleration", "angular_rate", "magnetic_field")
_POINT_FIELDS = ("x", "y", "z", "velocity", "snr")

_PROTOBUF_TYPES: Dict[str, Type[ProtobufMessage]] = {
    "/depth/image": RawImage,
    "/depth/calibration": CameraCalibration,
    "/radar/points": PointCloud,
    "/tf": FrameTransform,
    "/radar/raw": BytesValue,
    "/imu/raw": BytesValue,
}
_JSON_PROPERTIES: Dict[str, Dict[str, Any]] = {
    "/imu": dict.fromkeys(_IMU_FIELDS, _XYZ),
    "/state": {field: {"type": "string"} for field in ("sensor", "state", "reason")},
    "/truth": {"activity": {"type": "string"}},
    "/clock": {field: {"type": "integer"} for field in ("monotonic_ns", "wall_ns")},
}


class RecordingError(SensorError):
    """A recording cannot be written or read: the message names the file, what was wrong and what to do."""


class Message(NamedTuple):
    """One message of a recording; times are of the host's monotonic clock.

    Attributes:
        topic: where it stands in the recording.
        at_ns: when it reached the host.
        stamp_ns: when what it tells of happened.
        data: the message's bytes, as its topic's schema has them.
    """

    topic: str
    at_ns: int
    stamp_ns: int
    data: bytes


def register_channel(writer: Writer, topic: str) -> int:
    """Adds a topic with its schema to a recording; returns the number of its channel."""
    if topic in _PROTOBUF_TYPES:
        schema = register_schema(writer, _PROTOBUF_TYPES[topic])
        return writer.register_channel(topic, MessageEncoding.Protobuf, schema)
    definition = {"type": "object", "properties": _JSON_PROPERTIES.get(topic, {})}
    name = "cosmo" + topic.replace("/", ".")
    schema = writer.register_schema(name, SchemaEncoding.JSONSchema, json.dumps(definition).encode())
    return writer.register_channel(topic, MessageEncoding.JSON, schema)


def encode(event: Event, wall_offset_ns: int) -> List[Message]:
    """Spells an event as messages; viewers read wall time, ``wall_offset_ns`` ahead of the monotonic clock, in them."""
    if isinstance(event, Sample):
        topic, data = _SAMPLE_ENCODERS[event.sensor](event, wall_offset_ns)
        messages = [Message(topic, event.arrival_ns, event.stamp_ns, data)]
        if event.raw:
            raw = BytesValue(value=event.raw).SerializeToString()
            messages.insert(0, Message(f"/{event.sensor}/raw", event.arrival_ns, event.stamp_ns, raw))
        return messages
    if isinstance(event, StateChange):
        return [
            encode_json("/state", event.at_ns, {"sensor": event.sensor, "state": event.state, "reason": event.reason})
        ]
    if isinstance(event, Truth):
        return [encode_json("/truth", event.stamp_ns, {"activity": event.activity})]
    return [encode_json("/ticks", event.now_ns, {})]


def decode(message: Message, raw: bytes) -> Event:
    """Reads back the event that stands in a message of one of ``EVENT_TOPICS``; ``raw`` goes with a sample."""
    topic, at_ns, stamp_ns, data = message
    if topic in _SAMPLE_DECODERS:
        return Sample(topic.split("/")[1], stamp_ns, at_ns, _SAMPLE_DECODERS[topic](data), raw)
    if topic == "/state":
        return StateChange(at_ns=at_ns, **json.loads(data))
    if topic == "/truth":
        return Truth(stamp_ns, **json.loads(data))
    return Tick(at_ns)


def encode_json(topic: str, at_ns: int, content: Dict[str, Any]) -> Message:
    """Spells a dictionary as a message of a JSON topic."""
    return Message(topic, at_ns, at_ns, json.dumps(content).encode())


def decode_raw(data: bytes) -> bytes:
    """Reads back the bytes of a device from a message of ``/imu/raw`` or ``/radar/raw``."""
    return BytesValue.FromString(data).value


def encode_geometry(info: SensorInfo, at_ns: int, wall_offset_ns: int) -> List[Message]:
    """Spells what viewers need to draw a sensor's samples in space: its frame and, of a camera, its intrinsics."""
    messages = []
    timestamp = _timestamp(at_ns + wall_offset_ns)
    if info.name in _ORIENTATIONS:
        transform = FrameTransform(
            timestamp=timestamp,
            parent_frame_id="rig",
            child_frame_id=info.name,
            translation=Vector3(),
            rotation=_ORIENTATIONS[info.name],
        )
        messages.append(Message("/tf", at_ns, at_ns, transform.SerializeToString()))
    if info.intrinsics:
        width, height, fx, fy, cx, cy = (info.intrinsics[key] for key in ("width", "height", "fx", "fy", "cx", "cy"))
        calibration = CameraCalibration(
            timestamp=timestamp,
            frame_id=info.name,
            width=int(width),
            height=int(height),
            distortion_model="plumb_bob",
            D=[0, 0, 0, 0, 0],
            K=[fx, 0, cx, 0, fy, cy, 0, 0, 1],
            R=[1, 0, 0, 0, 1, 0, 0, 0, 1],
            P=[fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0],
        )
        messages.append(Message(f"/{info.name}/calibration", at_ns, at_ns, calibration.SerializeToString()))
    return messages


def encode_info(info: SensorInfo) -> Dict[str, str]:
    """Spells what is known of a sensor as metadata."""
    return {
        "device": info.device,
        "rate_hz": repr(info.rate_hz),
        "depth_scale_m": repr(info.depth_scale_m),
        "intrinsics": json.dumps(info.intrinsics),
    }


def decode_info(name: str, metadata: Dict[str, str]) -> SensorInfo:
    """Reads back what ``encode_info`` spelled."""
    return SensorInfo(
        name=name,
        device=metadata["device"],
        rate_hz=float(metadata["rate_hz"]),
        depth_scale_m=float(metadata["depth_scale_m"]),
        intrinsics=json.loads(metadata["intrinsics"]),
    )


def _encode_imu(sample: Sample, _: int) -> tuple[str, bytes]:
    values = sample.data.reshape(3, 3).tolist()  # float64 holds a float32 exactly, and JSON a float64
    content = {field: dict(zip("xyz", xyz)) for field, xyz in zip(_IMU_FIELDS, values)}
    # JSON knows neither NaN nor infinity, but a number too large to hold reads as infinity
    return "/imu", json.dumps(content).replace("NaN", "null").replace("Infinity", "1e999").encode()


def _decode_imu(data: bytes) -> np.ndarray:
    content = json.loads(data)
    return np.array([content[field][axis] for field in _IMU_FIELDS for axis in "xyz"], np.float32)  # None reads as NaN


def _encode_depth(sample: Sample, wall_offset_ns: int) -> tuple[str, bytes]:
    height, width = sample.data.shape
    image = RawImage(
        timestamp=_timestamp(sample.stamp_ns + wall_offset_ns),
        frame_id=sample.sensor,
        width=width,
        height=height,
        encoding="16UC1",
        step=2 * width,
        data=sample.data.tobytes(),
    )
    return "/depth/image", image.SerializeToString()


def _decode_depth(data: bytes) -> np.ndarray:
    image = RawImage.FromString(data)
    return np.frombuffer(image.data, np.uint16).reshape(image.height, image.width)


def _encode_radar(sample: Sample, wall_offset_ns: int) -> tuple[str, bytes]:
    cloud = PointCloud(
        timestamp=_timestamp(sample.stamp_ns + wall_offset_ns),
        frame_id=sample.sensor,
        pose=_ORIGIN,
        point_stride=4 * len(_POINT_FIELDS),
        fields=_PACKED_FIELDS,
        data=sample.data.tobytes(),
    )
    return "/radar/points", cloud.SerializeToString()


def _decode_radar(data: bytes) -> np.ndarray:
    return np.frombuffer(PointCloud.FromString(data).data, np.float32).reshape(-1, len(_POINT_FIELDS))


def _timestamp(wall_ns: int) -> Timestamp:
    return Timestamp(seconds=wall_ns // 10**9, nanos=wall_ns % 10**9)


_ORIENTATIONS = {  # in the rig: x right, y away, z up, as a radar has it; a camera has y down and z away
    "radar": Quaternion(w=1),
    "depth": Quaternion(x=-math.sqrt(0.5), w=math.sqrt(0.5)),
}
_ORIGIN = Pose(position=Vector3(), orientation=Quaternion(w=1))
_PACKED_FIELDS = [
    PackedElementField(name=name, offset=4 * i, type=PackedElementField.FLOAT32) for i, name in enumerate(_POINT_FIELDS)
]
_SAMPLE_ENCODERS = {"imu": _encode_imu, "depth": _encode_depth, "radar": _encode_radar}
_SAMPLE_DECODERS = {"/imu": _decode_imu, "/depth/image": _decode_depth, "/radar/points": _decode_radar}
EVENT_TOPICS = frozenset([*_SAMPLE_DECODERS, "/state", "/truth", "/ticks"])
