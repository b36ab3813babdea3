"""A sensor's info as a recording's metadata, and as the messages with which viewers draw its samples in space."""

from __future__ import annotations

import json
import math
import re
from typing import Dict, List, Mapping

from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.Quaternion_pb2 import Quaternion
from foxglove_schemas_protobuf.Vector3_pb2 import Vector3

from cosmo_runtime.kinds import SENSOR_NAME
from cosmo_runtime.sensors.recording.messages import Message, decode_json, protobuf, text_of, timestamp
from cosmo_runtime.sensors.recording.samples import CODECS
from cosmo_runtime.sensors.sensor import SensorInfo

SENSOR_METADATA = "cosmo-runtime.sensor."  # followed by the sensor's name

MOST_HZ = 10_000  # of any sensor; memory for its samples grows with the rate
_MOST_SCALE_M = 1.0
_MOST_LATENCY_MS = 10_000.0  # as in the configuration

_ORIENTATIONS = {  # the rig's axes are a radar's: x right, y away, z up; a camera has y down and z away
    "radar": Quaternion(w=1),
    "depth": Quaternion(x=-math.sqrt(0.5), w=math.sqrt(0.5)),
}


def encode_info(info: SensorInfo) -> Dict[str, str]:
    """Encodes a sensor's info as metadata."""
    return {
        **({"kind": info.kind} if info.kind != info.name else {}),  # as in files that are older than sensor names
        "device": info.device,
        "rate_hz": repr(info.rate_hz),
        "depth_scale_m": repr(info.depth_scale_m),
        "intrinsics": json.dumps(info.intrinsics),
        **({"latency_ms": repr(info.latency_ms)} if info.latency_ms else {}),
    }


def decode_info(name: str, metadata: Mapping[str, str]) -> SensorInfo:
    """Decodes the metadata of ``encode_info``.

    Raises:
        ValueError: it is something else, or beyond what sensors can do; says why.
    """
    intrinsics = decode_json(metadata.get("intrinsics", "").encode())
    if not all(type(value) in (int, float) and abs(value) < 1e9 for value in intrinsics.values()):
        raise ValueError("its intrinsics are not numbers")
    return SensorInfo(
        name=name,
        device=text_of(metadata, "device"),
        rate_hz=_number(metadata, "rate_hz", MOST_HZ),
        depth_scale_m=_number(metadata, "depth_scale_m", _MOST_SCALE_M),
        intrinsics=intrinsics,
        kind=_kind(name, metadata),
        latency_ms=_number({"latency_ms": "0", **metadata}, "latency_ms", _MOST_LATENCY_MS),
    )


def encode_geometry(info: SensorInfo, at_ns: int, wall_offset_ns: int) -> List[Message]:
    """Encodes what viewers need to draw a sensor's samples in space: its frame and a camera's intrinsics."""
    messages = []
    wall = timestamp(at_ns + wall_offset_ns)
    if info.kind in _ORIENTATIONS:
        transform = FrameTransform(
            timestamp=wall,
            parent_frame_id="rig",
            child_frame_id=info.name,
            translation=Vector3(),
            rotation=_ORIENTATIONS[info.kind],
        )
        messages.append(protobuf("/tf", at_ns, at_ns, transform))
    if info.intrinsics:
        width, height, fx, fy, cx, cy = (info.intrinsics[key] for key in ("width", "height", "fx", "fy", "cx", "cy"))
        calibration = CameraCalibration(
            timestamp=wall,
            frame_id=info.name,
            width=int(width),
            height=int(height),
            distortion_model="plumb_bob",
            D=[0, 0, 0, 0, 0],
            K=[fx, 0, cx, 0, fy, cy, 0, 0, 1],
            R=[1, 0, 0, 0, 1, 0, 0, 0, 1],
            P=[fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0],
        )
        messages.append(protobuf(f"/{info.name}/calibration", at_ns, at_ns, calibration))
    return messages


def _kind(name: str, metadata: Mapping[str, str]) -> str:
    if not re.match(SENSOR_NAME, name):
        raise ValueError(f"{name!r:.80} is not a sensor name")
    kind = metadata.get("kind", name)
    CODECS[kind]  # otherwise the samples cannot be read
    return kind


def _number(metadata: Mapping[str, str], field: str, most: float) -> float:
    text = metadata.get(field, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise ValueError(f"its {field} is {text!r:.40}, not a number from 0 to {most:g}")
    return value
