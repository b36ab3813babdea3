"""Turns the samples of each kind of sensor into table columns: names with units, and rows per sample."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Sequence

import numpy as np

from cosmo_runtime.kinds import Kinds
from cosmo_runtime.sensors.sensor import SensorInfo


class Rows(NamedTuple):
    """A sensor's samples in a table.

    Attributes:
        counts: the number of rows of each sample.
        columns: by name, the values of all rows; a column of images is (rows, pixels).
    """

    counts: np.ndarray
    columns: Dict[str, np.ndarray]


AsRows = Callable[[Sequence[np.ndarray], SensorInfo], Rows]

TABLES: Kinds[AsRows] = Kinds("how it stands in a table")

_IMU = [
    f"{name}_{axis}_{unit}"
    for name, unit in (("acceleration", "m_s2"), ("angular_rate", "rad_s"), ("magnetic_field", "uT"))
    for axis in "xyz"
]
_RADAR = ["x_m", "y_m", "z_m", "radial_speed_m_s", "snr_db"]


def rows_of(data: Sequence[np.ndarray], info: SensorInfo) -> Rows:
    """The rows of some samples' data. For a kind without its own table, its numbers one after the other."""
    return (TABLES.get(info.kind) or _plain_rows)(data, info)


def _imu_rows(data: Sequence[np.ndarray], info: SensorInfo) -> Rows:
    values = np.array(data, np.float32).reshape(-1, len(_IMU))
    return Rows(np.ones(len(data), np.int64), dict(zip(_IMU, values.T)))


def _radar_rows(data: Sequence[np.ndarray], info: SensorInfo) -> Rows:
    """One row per point. A frame without points gets one empty row, so that no frame is missing."""
    nothing = np.full((1, len(_RADAR)), np.nan, np.float32)
    frames = [frame if len(frame) else nothing for frame in data]
    values = np.concatenate([np.empty((0, len(_RADAR)), np.float32), *frames])
    return Rows(np.array([len(frame) for frame in frames], np.int64), dict(zip(_RADAR, values.T)))


def _depth_rows(data: Sequence[np.ndarray], info: SensorInfo) -> Rows:
    """One row per frame: its size, and its pixels in metres, row by row from the top left."""
    height, width = data[0].shape if data else (0, 0)
    metres = np.array(data, np.float32).reshape(len(data), height * width) * np.float32(info.depth_scale_m)
    sizes = {"height": np.full(len(data), height, np.int32), "width": np.full(len(data), width, np.int32)}
    return Rows(np.ones(len(data), np.int64), {**sizes, "depth_m": metres})


def _plain_rows(data: Sequence[np.ndarray], info: SensorInfo) -> Rows:
    values = np.array([np.ravel(array) for array in data]).reshape(len(data), data[0].size if data else 0)
    return Rows(np.ones(len(data), np.int64), {f"value_{i}": column for i, column in enumerate(values.T)})


TABLES.register("imu", _imu_rows)
TABLES.register("depth", _depth_rows)
TABLES.register("radar", _radar_rows)
