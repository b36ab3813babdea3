"""What an emulated rig plays: something that moves, and what each sensor would measure."""

from __future__ import annotations

from typing import NamedTuple, Protocol, Tuple

import numpy as np


class Camera(NamedTuple):
    """A pinhole depth camera: pixels, frames a second, metres per step of depth."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    rate_hz: float
    depth_scale_m: float


class ActivityStart(NamedTuple):
    """From ``start_s`` on, until the next one, the person does ``activity``."""

    start_s: float
    activity: str


def noise_at(seed: int, stream: int, time_s: float) -> np.random.Generator:
    """The generator of what is random at one moment. The same moment always gets the same noise.

    Args:
        seed: seed of the motion.
        stream: a number for each use, so that uses do not share their noise.
        time_s: the moment, to the microsecond.
    """
    return np.random.default_rng((seed, stream, round(time_s * 1e6) & 0xFFFFFFFFFFFF))


class Motion(Protocol):
    """Something that moves in front of the rig. Times are seconds since its start.

    Attributes:
        duration_s: how long it lasts; may be infinite.
        camera: the camera of its depth images.
        imu_places: where an IMU can be worn, the usual place first.
        imu_rate_hz: the rate of its real IMU samples, or the intended one.
        radar_rate_hz: the rate of its radar frames.
    """

    duration_s: float
    camera: Camera
    imu_places: Tuple[str, ...]
    imu_rate_hz: float
    radar_rate_hz: float

    def imu(self, times_s: np.ndarray, place: str) -> np.ndarray:
        """Returns what an IMU at one of ``imu_places`` measures.

        (n, 9) float64: specific force in m/s², angular rate in rad/s, magnetic field in µT or NaN.
        """
        ...

    def depth(self, time_s: float) -> np.ndarray:
        """Returns (height, width) uint16 in steps of ``camera.depth_scale_m``; 0 where nothing is measured."""
        ...

    def radar(self, time_s: float) -> np.ndarray:
        """Returns (n, 5) float32: x, y, z (m), radial speed (m/s), SNR (dB) of the detections of one frame."""
        ...

    def activities(self, until_s: float) -> list[ActivityStart]:
        """Returns every activity that starts before ``until_s``, oldest first."""
        ...
