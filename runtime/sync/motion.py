"""Measures the amount of motion in each sample, by kind of sensor. This is what sensors have in common.

An IMU measures how fast its limb turns, a camera how much of its image changes, a radar how fast its points approach or
recede. All three rise and fall with the speed of the body, each in its own unit.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import Callable, Dict, List, Mapping, NamedTuple

import numpy as np

from cosmo_runtime.kinds import Kinds
from cosmo_runtime.models.features import depth_features
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import SensorInfo

GRAVITY = 9.81
"""m/s²"""

FORCE_PER_RATE = 3.0
"""m/s² that correspond to one rad/s, for a moving wrist."""

_BLOCKS = (18, 32)  # blocks of a raw depth image: rows, columns
_NEARNESS_NOISE = 0.008  # 1/m: a stereo camera's noise is the same at every distance in this unit; most of such a block
_NEARNESS_MOST = 0.1  # 1/m: an arm in front of a wall; what comes into view changes by more
_FASTEST = 5  # number of radar points: those of the limb that moves most


class Moment(NamedTuple):
    """The amount of motion at a time. Its unit depends on the kind of sensor."""

    stamp_ns: int
    motion: float


Meter = Callable[[List[int], np.ndarray], List[Moment]]
"""Takes some samples of one sensor in order, their stamps and their data in one array (samples, ...).

The data is raw, or as windows keep it (block means in metres, strongest points). Samples without information, like a
camera's first, have no moment. Many at once take a fraction of the time.
"""

_AT_ONCE = 64


def _meter_of_imu(_: SensorInfo) -> Meter:
    def measure(stamps_ns: List[int], data: np.ndarray) -> List[Moment]:
        ax, ay, az, wx, wy, wz = data[:, :6].T.astype(np.float64)
        rate = np.sqrt(wx * wx + wy * wy + wz * wz)
        force = np.abs(np.sqrt(ax * ax + ay * ay + az * az) - GRAVITY) / FORCE_PER_RATE
        told = np.isfinite(rate), np.isfinite(force)
        motion = np.where(told[0], rate, 0) + np.where(told[1], force, 0)
        return [moment for moment, tells in zip(_moments(stamps_ns, motion), (told[0] | told[1]).tolist()) if tells]

    return measure


class _Changes:
    """The change from one depth image to the next, at the middle of their times."""

    def __init__(self, info: SensorInfo) -> None:
        self._scale_m = info.depth_scale_m or 0.001
        self._before = np.empty((0, 0, 0), np.float32)  # the last image, if there was one
        self._before_ns: List[int] = []

    def __call__(self, stamps_ns: List[int], data: np.ndarray) -> List[Moment]:
        depth_m = depth_features(data, _BLOCKS, self._scale_m) if data.dtype.kind == "u" else data
        nearness = np.divide(1, depth_m, out=np.zeros_like(depth_m), where=depth_m > 0)
        if self._before.shape[1:] == nearness.shape[1:]:
            nearness, stamps_ns = np.concatenate([self._before, nearness]), self._before_ns + stamps_ns
        self._before, self._before_ns = nearness[-1:], stamps_ns[-1:]
        noise = _NEARNESS_NOISE * math.sqrt(nearness[0].size / math.prod(_BLOCKS))  # smaller blocks average less
        change = np.clip(np.abs(np.diff(nearness, axis=0)) - noise, 0, _NEARNESS_MOST)
        change = change.reshape(len(nearness) - 1, nearness[0].size)  # a first image alone has none
        middles_ns = [(before_ns + after_ns) // 2 for before_ns, after_ns in zip(stamps_ns, stamps_ns[1:])]
        return _moments(middles_ns, change.mean(axis=1))


def _meter_of_radar(_: SensorInfo) -> Meter:
    def measure(stamps_ns: List[int], data: np.ndarray) -> List[Moment]:
        speeds = np.nan_to_num(np.abs(data[:, :, 3]))  # an imported radar may have no speeds
        return _moments(stamps_ns, np.sort(speeds)[:, -_FASTEST:].sum(axis=1))

    return measure


def _moments(stamps_ns: List[int], motion: np.ndarray) -> List[Moment]:
    return [Moment(stamp_ns, value) for stamp_ns, value in zip(stamps_ns, motion.tolist())]


METERS: Kinds[Callable[[SensorInfo], Meter]] = Kinds("how much it sees moving")
"""Makes a sensor's meter, by kind. Sensors of other kinds cannot be compared."""
METERS.register("imu", _meter_of_imu)
METERS.register("depth", _Changes)
METERS.register("radar", _meter_of_radar)


class Curves:
    """Collects the amount of motion by sensor.

    Args:
        infos: the sensors' infos, by name.
    """

    def __init__(self, infos: Mapping[str, SensorInfo]) -> None:
        self._infos = {name: info for name, info in infos.items() if METERS.get(info.kind)}
        self._meters: Dict[str, Meter] = {}
        self._measured: Dict[str, List[Moment]] = {}
        self._waiting: Dict[str, List[Sample]] = {}
        for name in self._infos:
            self._begin(name, [])

    @property
    def moments(self) -> Dict[str, List[Moment]]:
        """The moments of each sensor, in order."""
        for name in self._meters:
            self._measure(name)
        return self._measured

    def add(self, sample: Sample) -> None:
        """Adds a sample. Those of one sensor must be in order; different sensors may be mixed in any order."""
        waiting = self._waiting.get(sample.sensor)
        if waiting is not None:
            waiting.append(sample)
            if len(waiting) >= _AT_ONCE:
                self._measure(sample.sensor)

    def move(self, name: str, earlier_ns: int) -> None:
        """Moves what is known of a sensor, whose next samples are stamped so much earlier than before."""
        moments = self.moments.get(name, [])
        self._begin(name, [moment._replace(stamp_ns=moment.stamp_ns - earlier_ns) for moment in moments])

    def drop(self, name: str) -> None:
        """Drops all measurements of a sensor."""
        self._begin(name, [])

    def forget(self, before_ns: int) -> None:
        """Drops measurements from before a time."""
        for name, moments in self.moments.items():
            self._measured[name] = [moment for moment in moments if moment.stamp_ns >= before_ns]

    def _begin(self, name: str, moments: List[Moment]) -> None:
        """Goes on after these moments with a new meter, because a meter may remember the latest sample."""
        if name in self._infos:
            self._meters[name] = METERS[self._infos[name].kind](self._infos[name])
            self._measured[name], self._waiting[name] = moments, []

    def _measure(self, name: str) -> None:
        waiting, self._waiting[name] = self._waiting[name], []
        for _, alike in groupby(waiting, key=lambda sample: (sample.data.shape, sample.data.dtype)):
            samples = list(alike)
            data = np.stack([sample.data for sample in samples])
            self._measured[name] += self._meters[name]([sample.stamp_ns for sample in samples], data)
