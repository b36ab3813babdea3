"""How samples of each kind of sensor are encoded in a recording, with each encoder next to its decoder."""

from __future__ import annotations

import math
from typing import Any, Callable, List, Mapping, NamedTuple

import numpy as np
from foxglove_schemas_protobuf.PackedElementField_pb2 import PackedElementField
from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
from foxglove_schemas_protobuf.Pose_pb2 import Pose
from foxglove_schemas_protobuf.Quaternion_pb2 import Quaternion
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from foxglove_schemas_protobuf.Vector3_pb2 import Vector3

from cosmo_runtime.kinds import Kinds
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import ros
from cosmo_runtime.sensors.recording.messages import Message, decode_json, protobuf, timestamp

_IMU_FIELDS = ("acceleration", "angular_rate", "magnetic_field")  # fields of a JSON message in recordings of format 1
_POINT_FIELDS = ("x", "y", "z", "velocity", "snr")
_TESLA = 1e-6  # one µT in tesla
_MOST_POINTS = 10_000  # far more than a radar's largest packet holds


class Codec(NamedTuple):
    """How one kind of sensor's samples are recorded, on topics that begin with the sensor's name.

    Attributes:
        topic: a sample's topic below the sensor's: ``/image`` for ``/door/image``.
        parts: topics of messages that belong to the next sample, each with its decoder.
        encode: takes a sample and the wall time of its measurement, and returns its messages, the sample's own last.
        decode: takes the bytes of the sample's message, and its parts by topic, and returns its data. It checks what
            it reads and raises ``ValueError`` with a reason.
    """

    topic: str
    parts: Mapping[str, Callable[[bytes], Any]]
    encode: Callable[[Sample, int], List[Message]]
    decode: Callable[[bytes, Mapping[str, Any]], np.ndarray]


CODECS: Kinds[Codec] = Kinds("how it is recorded")


def _encode_imu(sample: Sample, wall_ns: int) -> List[Message]:
    acceleration, angular_rate, magnetic_field = sample.data.reshape(3, 3).tolist()
    data = ros.imu(wall_ns, sample.sensor, acceleration, angular_rate)
    messages = [Message(f"/{sample.sensor}", sample.arrival_ns, sample.stamp_ns, data, ros.IMU)]
    if not all(map(math.isnan, magnetic_field)):
        data = ros.magnetic_field(wall_ns, sample.sensor, [value * _TESLA for value in magnetic_field])
        topic = f"/{sample.sensor}/magnetic_field"
        messages.insert(0, Message(topic, sample.arrival_ns, sample.stamp_ns, data, ros.MAGNETIC_FIELD))
    return messages


def _decode_imu(data: bytes, parts: Mapping[str, Any]) -> np.ndarray:
    if data[:1] == b"{":
        return _decode_imu_of_format_1(data)
    acceleration, angular_rate = ros.read_imu(data)
    magnetic_field = parts.get("/magnetic_field")
    field = [np.nan] * 3 if magnetic_field is None else [value / _TESLA for value in magnetic_field]
    return np.array([*acceleration, *angular_rate, *field], np.float32)


def _decode_imu_of_format_1(data: bytes) -> np.ndarray:
    content = decode_json(data)
    values = []
    for field in _IMU_FIELDS:
        xyz = content.get(field)
        values += [xyz.get(axis, "") for axis in "xyz"] if isinstance(xyz, dict) else [""]
    if not all(value is None or type(value) in (int, float) for value in values):
        raise ValueError(f"it has no {', '.join(_IMU_FIELDS)}, each x, y and z: numbers or null")
    try:
        return np.array(values, np.float32)  # null becomes NaN
    except OverflowError as error:
        raise ValueError("it has a number that no sensor measures") from error


def _encode_depth(sample: Sample, wall_ns: int) -> List[Message]:
    height, width = sample.data.shape
    image = RawImage(
        timestamp=timestamp(wall_ns),
        frame_id=sample.sensor,
        width=width,
        height=height,
        encoding="16UC1",
        step=2 * width,
        data=sample.data.tobytes(),
    )
    return [protobuf(f"/{sample.sensor}/image", sample.arrival_ns, sample.stamp_ns, image)]


def _decode_depth(data: bytes, _: Mapping[str, Any]) -> np.ndarray:
    image = RawImage.FromString(data)
    if image.encoding != "16UC1" or not image.width or not image.height:
        raise ValueError(f"it is an image of {image.width} x {image.height} {image.encoding!r:.40}, not of 16UC1")
    pixels = image.data  # once, because each access copies them
    if image.step != 2 * image.width or len(pixels) != image.height * image.step:
        raise ValueError(f"{len(pixels)} bytes are not an image of {image.width} x {image.height} 16UC1")
    return np.frombuffer(pixels, np.uint16).reshape(image.height, image.width)


def _encode_radar(sample: Sample, wall_ns: int) -> List[Message]:
    cloud = PointCloud(
        timestamp=timestamp(wall_ns),
        frame_id=sample.sensor,
        pose=_ORIGIN,
        point_stride=4 * len(_POINT_FIELDS),
        fields=_PACKED_FIELDS,
        data=sample.data.tobytes(),
    )
    return [protobuf(f"/{sample.sensor}/points", sample.arrival_ns, sample.stamp_ns, cloud)]


def _decode_radar(data: bytes, _: Mapping[str, Any]) -> np.ndarray:
    cloud = PointCloud.FromString(data)
    if cloud.point_stride != 4 * len(_POINT_FIELDS) or list(cloud.fields) != _PACKED_FIELDS:
        raise ValueError(f"it is not a point cloud of {', '.join(_POINT_FIELDS)}, each float32")
    if len(cloud.data) % cloud.point_stride or len(cloud.data) > _MOST_POINTS * cloud.point_stride:
        raise ValueError(f"{len(cloud.data)} bytes are not a whole number of points, or are more than {_MOST_POINTS}")
    return np.frombuffer(cloud.data, np.float32).reshape(-1, len(_POINT_FIELDS))


_ORIGIN = Pose(position=Vector3(), orientation=Quaternion(w=1))
_PACKED_FIELDS = [
    PackedElementField(name=name, offset=4 * i, type=PackedElementField.FLOAT32) for i, name in enumerate(_POINT_FIELDS)
]

CODECS.register("imu", Codec("", {"/magnetic_field": ros.read_magnetic_field}, _encode_imu, _decode_imu))
CODECS.register("depth", Codec("/image", {}, _encode_depth, _decode_depth))
CODECS.register("radar", Codec("/points", {}, _encode_radar, _decode_radar))
