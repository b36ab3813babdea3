"""ROS 2 messages as MCAP files hold them. Foxglove and Rerun draw the numbers in these, but not in others.

A message is CDR (OMG DDS-XTypes, "plain CDR", little-endian): four bytes of encapsulation, then the fields, each
aligned to its own size, counted from there. https://docs.ros.org/en/rolling/p/sensor_msgs/ has the definitions.
"""

from __future__ import annotations

import math
import struct
from typing import Mapping, Sequence, Tuple

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
_RULE = "=" * 80
_HEADER = f"""\
{_RULE}
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
{_RULE}
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
{_RULE}
MSG: geometry_msgs/Vector3
float64 x
float64 y
float64 z
"""

IMU = "sensor_msgs/msg/Imu"
MAGNETIC_FIELD = "sensor_msgs/msg/MagneticField"
NUMBERS = "std_msgs/msg/Float64MultiArray"

DEFINITIONS: Mapping[str, str] = {
    IMU: f"""\
std_msgs/Header header
geometry_msgs/Quaternion orientation
float64[9] orientation_covariance
geometry_msgs/Vector3 angular_velocity
float64[9] angular_velocity_covariance
geometry_msgs/Vector3 linear_acceleration
float64[9] linear_acceleration_covariance
{_RULE}
MSG: geometry_msgs/Quaternion
float64 x 0
float64 y 0
float64 z 0
float64 w 1
{_HEADER}""",
    MAGNETIC_FIELD: f"""\
std_msgs/Header header
geometry_msgs/Vector3 magnetic_field
float64[9] magnetic_field_covariance
{_HEADER}""",
    NUMBERS: f"""\
std_msgs/MultiArrayLayout layout
float64[] data
{_RULE}
MSG: std_msgs/MultiArrayLayout
std_msgs/MultiArrayDimension[] dim
uint32 data_offset
{_RULE}
MSG: std_msgs/MultiArrayDimension
string label
uint32 size
uint32 stride
""",
}
"""The text of each ``ros2msg`` schema, by name."""

_UNKNOWN = (-1.0, *[0.0] * 8)  # a covariance that begins with -1 means that nothing was measured
_IMU_BODY = struct.Struct("<4d9d3d9d3d9d")
_IMU_MEASURED = struct.Struct("<104x3d72x3d72x")  # of the body: angular velocity, linear acceleration
_MAGNETIC_BODY = struct.Struct("<3d9d")
_MAGNETIC_MEASURED = struct.Struct("<3d72x")
_FRAME_AT = 12  # the length of the frame id
_FRAME_LENGTH = struct.Struct("<I")


def imu(wall_ns: int, frame: str, acceleration: Sequence[float], angular_rate: Sequence[float]) -> bytes:
    """Encodes ``sensor_msgs/msg/Imu``: m/s² and rad/s, NaN where nothing was measured."""
    orientation = (0.0, 0.0, 0.0, 1.0, *_UNKNOWN)
    measured = (*angular_rate, *_covariance(angular_rate), *acceleration, *_covariance(acceleration))
    return _header(wall_ns, frame) + _IMU_BODY.pack(*orientation, *measured)


def read_imu(data: bytes) -> Tuple[Sequence[float], Sequence[float]]:
    """Decodes acceleration and angular rate, three numbers each.

    Raises:
        ValueError: the bytes are not such a message.
    """
    measured = _measured(data, _IMU_MEASURED)
    return measured[3:], measured[:3]


def magnetic_field(wall_ns: int, frame: str, field: Sequence[float]) -> bytes:
    """Encodes ``sensor_msgs/msg/MagneticField``: tesla, NaN where nothing was measured."""
    return _header(wall_ns, frame) + _MAGNETIC_BODY.pack(*field, *[0.0] * 9)


def read_magnetic_field(data: bytes) -> Sequence[float]:
    """Decodes the field, three numbers.

    Raises:
        ValueError: the bytes are not such a message.
    """
    return _measured(data, _MAGNETIC_MEASURED)


def numbers(values: Mapping[str, float]) -> bytes:
    """Encodes ``std_msgs/msg/Float64MultiArray``: one row, whose label holds the names of the numbers."""
    label = ", ".join(values)
    layout = struct.pack("<I", 1) + _string(label)
    layout += bytes(-len(layout) % 4) + struct.pack("<IIII", len(values), len(values), 0, len(values))
    layout += bytes(-len(layout) % 8)
    return _LITTLE_ENDIAN + layout + struct.pack(f"<{len(values)}d", *values.values())


def _covariance(measured: Sequence[float]) -> Sequence[float]:
    return _UNKNOWN if all(map(math.isnan, measured)) else (0.0,) * 9


def _header(wall_ns: int, frame: str) -> bytes:
    """Encapsulation and header, padded for the float64 after it."""
    header = struct.pack("<II", wall_ns // 10**9 % 2**32, wall_ns % 10**9) + _string(frame)
    return _LITTLE_ENDIAN + header + bytes(-len(header) % 8)


def _string(text: str) -> bytes:
    content = text.encode() + b"\0"
    return struct.pack("<I", len(content)) + content


def _measured(data: bytes, layout: struct.Struct) -> Sequence[float]:
    """Some of the numbers in the body, which follows the header and ends the message."""
    try:
        (frame_length,) = _FRAME_LENGTH.unpack_from(data, _FRAME_AT)
        begin = _FRAME_AT + frame_length  # of the frame id's end, counted from the end of the encapsulation
        begin += -begin % 8 + len(_LITTLE_ENDIAN)
        if data[:2] != _LITTLE_ENDIAN[:2] or begin + layout.size != len(data):
            raise ValueError("no such message of ROS 2")
        return layout.unpack_from(data, begin)
    except struct.error as error:
        raise ValueError("no such message of ROS 2") from error
