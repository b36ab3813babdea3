"""Converts ROS messages to the data of samples: for each message type, the kind of sensor and the conversion.

Each conversion raises ``ValueError`` with a reason if a message cannot be converted.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence

import numpy as np

_MM = 1e3
_MOST_POINTS = 10_000  # the most that a recording takes; no radar has as many
_SPEEDS = ("velocity", "doppler", "doppler_velocity", "radial_velocity", "radial_speed", "vel", "speed", "v")
_SNRS = ("snr", "snr_db", "intensity")
_POINT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}


class FromRos(NamedTuple):
    """A type of message that can be imported.

    Attributes:
        kind: the kind of sensor that it becomes.
        data: converts a message to data.
        depth_scale_m: the scale of the data, if it is a depth image.
    """

    kind: str
    data: Callable[[Any], np.ndarray]
    depth_scale_m: float = 0.0


def _imu(message: Any) -> np.ndarray:
    """Acceleration and angular rate; NaN if the covariance begins with -1, which means not measured."""
    parts = (
        (message.linear_acceleration, message.linear_acceleration_covariance),
        (message.angular_velocity, message.angular_velocity_covariance),
    )
    values = [[np.nan] * 3 if covariance[0] == -1 else [xyz.x, xyz.y, xyz.z] for xyz, covariance in parts]
    return np.array([*values[0], *values[1], *[np.nan] * 3], np.float32)


def _depth(message: Any) -> np.ndarray:
    """Whole millimetres. ``16UC1`` is in millimetres (REP 118), ``32FC1`` in metres, with NaN for unmeasured pixels."""
    order = ">" if message.is_bigendian else "<"
    if message.encoding in ("16UC1", "mono16"):
        return _image(message, order + "u2").astype(np.uint16)
    if message.encoding == "32FC1":
        with np.errstate(invalid="ignore"):
            far_mm = np.round(_image(message, order + "f4") * _MM)
            return np.where((far_mm > 0) & (far_mm < 2**16), far_mm, 0).astype(np.uint16)
    raise ValueError(f"its encoding is {message.encoding!r}, and depth is 16UC1 or 32FC1: is it the color image?")


def _image(message: Any, number: str) -> np.ndarray:
    row, size = message.width * int(number[-1]), message.height * message.step
    if not message.width or not message.height or message.step < row or len(message.data) < size:
        raise ValueError(f"{len(message.data)} bytes are not an image of {message.width} x {message.height}")
    lines = np.asarray(message.data, np.uint8)[:size].reshape(message.height, message.step)
    return np.ascontiguousarray(lines[:, :row]).view(number)


def _radar(message: Any) -> np.ndarray:
    """Points with x to the right, y away and z up. The radial speed or the SNR is NaN if the cloud lacks it."""
    cloud = _cloud(message)
    fields: Dict[str, str] = {name.lower(): name for name in cloud.dtype.names or ()}
    if not {"x", "y", "z"} <= fields.keys():
        raise ValueError(f"it has the fields {', '.join(fields) or 'none'}, and points need x, y and z")
    if len(cloud) > _MOST_POINTS:
        raise ValueError(
            f"{len(cloud)} points in a frame are more than a radar has: is it a lidar, or a camera's cloud?"
        )
    x, y, z = (cloud[fields[axis]].astype(np.float32) for axis in "xyz")
    optical = "optical" in message.header.frame_id  # x right, y down, z away; else x away, y left, z up (REP 103)
    position = [x, z, -y] if optical else [-y, x, z]
    points = np.stack([*position, _first(cloud, fields, _SPEEDS), _first(cloud, fields, _SNRS)], axis=1)
    return points[np.isfinite(points[:, :3]).all(axis=1)].astype(np.float32)


def _cloud(message: Any) -> np.ndarray:
    """All points in one array, with fields by name."""
    order = ">" if message.is_bigendian else "<"
    used = [field for field in message.fields if field.datatype in _POINT_TYPES and field.count in (0, 1)]
    names = [field.name for field in used]
    formats = [order + _POINT_TYPES[field.datatype] for field in used]
    offsets = [field.offset for field in used]
    layout = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": message.point_step})
    row = message.width * message.point_step
    if message.row_step < row or len(message.data) < message.height * message.row_step:
        raise ValueError(f"{len(message.data)} bytes are not a cloud of {message.width} x {message.height} points")
    lines = np.asarray(message.data, np.uint8)[: message.height * message.row_step]
    lines = lines.reshape(message.height, message.row_step)[:, :row]
    return np.frombuffer(np.ascontiguousarray(lines).tobytes(), layout) if row and len(lines) else np.empty(0, layout)


def _first(cloud: np.ndarray, fields: Mapping[str, str], names: Sequence[str]) -> np.ndarray:
    """The first of these fields that a cloud has."""
    found: Optional[str] = next((fields[name] for name in names if name in fields), None)
    return np.full(len(cloud), np.nan, np.float32) if found is None else cloud[found].astype(np.float32)


FROM_ROS: Dict[str, FromRos] = {
    "sensor_msgs/msg/Imu": FromRos("imu", _imu),
    "sensor_msgs/msg/Image": FromRos("depth", _depth, 1 / _MM),
    "sensor_msgs/msg/PointCloud2": FromRos("radar", _radar),
}
"""By the name of the message's type, in ROS 2's spelling."""
