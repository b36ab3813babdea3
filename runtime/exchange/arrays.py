"""A recording from arrays, for sensor data that this runtime did not record."""

from __future__ import annotations

import heapq
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Callable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Union

import numpy as np

from cosmo_runtime.kinds import SENSOR_NAME
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick
from cosmo_runtime.sensors.recording.offline_writer import write_events
from cosmo_runtime.sensors.recording.samples import CODECS
from cosmo_runtime.sensors.recording.sensor_info import MOST_HZ
from cosmo_runtime.sensors.sensor import SensorInfo

_START_NS = 20 * 10**9  # the recording's clock at second 0
_MILLIMETRE = 0.001
_FARTHEST_M = 65.0
_Values = Union[np.ndarray, Sequence[np.ndarray]]
_UNITS = {"imu": "m/s², rad/s, µT", "depth": "m", "radar": "m, m, m, m/s, dB"}


class SensorArrays(NamedTuple):
    """What one sensor measured.

    Attributes:
        kind: ``imu``, ``depth``, ``radar`` or another.
        stamps_s: (n,) float64, seconds from the recording's start.
        values: for an IMU (n, 9) float32: acceleration, angular rate, magnetic field, NaN where not measured; to be
            written, (n, 6) will do. For a camera (n, height, width) float32, 0 where nothing was measured. For a radar
            a list of n arrays (points, 5): x, y, z, radial speed, SNR.
        taken_off_s: (n,) float64, what ``--auto-sync`` had taken off each stamp. It grows in mid-recording, and then
            stamps may go back; ``stamps_s + taken_off_s`` never does. It is not written.
    """

    kind: str
    stamps_s: np.ndarray
    values: _Values
    taken_off_s: Optional[np.ndarray] = None

    @property
    def units(self) -> str:
        """The units of the values; empty for kinds of other packages."""
        return _UNITS.get(self.kind, "")


def write_arrays(
    path: Path, sensors: Mapping[str, SensorArrays], start: Optional[datetime], metadata: Mapping[str, str]
) -> None:
    """Writes a new recording, whole or not at all.

    Args:
        path: the new file.
        sensors: what each sensor measured, by its name.
        start: the wall clock at second 0, with a time zone; None for now.
        metadata: the recording's metadata.

    Raises:
        ValueError: stamps and values do not belong together, stamps do not rise, or values have another form.
        RecordingError: the file exists or cannot be written.
    """
    if not sensors:
        raise ValueError("a recording needs at least one sensor")
    samples = {name: _samples(name, arrays) for name, arrays in sensors.items()}
    infos = {name: _info(name, arrays) for name, arrays in sensors.items()}
    start_ns = time.time_ns() if start is None else round(start.timestamp() * 1e9)
    write_events(path, _events(list(samples.values())), infos, metadata, start_ns - _START_NS)


def _events(samples: Sequence[Sequence[Sample]]) -> Iterator[Event]:
    for of_one in samples:
        yield StateChange(of_one[0].sensor, _START_NS, "ok")
    yield from heapq.merge(*samples, key=lambda sample: sample.stamp_ns)
    yield Tick(max(of_one[-1].stamp_ns for of_one in samples))


def _info(name: str, arrays: SensorArrays) -> SensorInfo:
    steps_s = np.diff(arrays.stamps_s)
    rate_hz = round(1 / float(np.median(steps_s)), 3) if len(steps_s) else 1.0
    if rate_hz > MOST_HZ:
        raise ValueError(f"{name}: {rate_hz:g} samples a second are more than {MOST_HZ}; are the stamps in seconds?")
    scale_m = _MILLIMETRE if arrays.kind == "depth" else 0.0
    return SensorInfo(name, "arrays", rate_hz, depth_scale_m=scale_m, kind=arrays.kind)


def _samples(name: str, arrays: SensorArrays) -> List[Sample]:
    if not re.match(SENSOR_NAME, name):
        raise ValueError(f"{name!r} is not a sensor name: use small letters, digits, - and _")
    CODECS[arrays.kind]  # raises ValueError for a kind that cannot be recorded
    stamps_s = np.asarray(arrays.stamps_s, np.float64)
    if stamps_s.ndim != 1 or not len(stamps_s) or len(stamps_s) != len(arrays.values):
        raise ValueError(f"{name}: expected as many stamps as values, and at least one")
    if not np.isfinite(stamps_s).all() or stamps_s[0] < 0 or (np.diff(stamps_s) <= 0).any():
        raise ValueError(f"{name}: expected stamps in seconds from the start that rise from sample to sample")
    stamps_ns = _START_NS + np.round(stamps_s * 1e9).astype(np.int64)
    try:
        values = _FORMS.get(arrays.kind, list)(arrays.values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return [Sample(name, int(at_ns), int(at_ns), data) for at_ns, data in zip(stamps_ns, values)]


def _imu(values: _Values) -> List[np.ndarray]:
    rows = np.asarray(values, np.float32)
    if rows.ndim != 2 or rows.shape[1] not in (6, 9):
        raise ValueError(f"expected 6 or 9 numbers a sample, in {_UNITS['imu']}; got the shape {rows.shape}")
    if rows.shape[1] == 6:
        rows = np.hstack([rows, np.full((len(rows), 3), np.nan, np.float32)])
    return list(rows)


def _depth(values: _Values) -> List[np.ndarray]:
    frames = np.asarray(values, np.float32)
    if frames.ndim != 3 or not ((frames >= 0) & (frames < _FARTHEST_M)).all():
        raise ValueError(f"expected (height, width) a frame, from 0 to {_FARTHEST_M:g} m")
    return list(np.round(frames / _MILLIMETRE).astype(np.uint16))


def _radar(values: _Values) -> List[np.ndarray]:
    frames = [np.asarray(frame, np.float32) for frame in values]
    if any(frame.ndim != 2 or frame.shape[1] != 5 for frame in frames):
        raise ValueError(f"expected (points, 5) a frame, in {_UNITS['radar']}")
    return frames


_FORMS: Mapping[str, Callable[[_Values], List[np.ndarray]]] = {
    "imu": _imu,
    "depth": _depth,
    "radar": _radar,
}
