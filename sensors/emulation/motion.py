"""What an emulated rig plays: something that moves, and what each sensor would measure of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

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


class Motion(Protocol):
    """Something that moves in front of the rig; times are seconds since its start.

    Attributes:
        duration_s: how long it lasts; may be infinite.
        camera: of its depth images.
        imu_rate_hz: at which its IMU samples are real or meant to be taken.
        radar_rate_hz: of its radar frames.
    """

    duration_s: float
    camera: Camera
    imu_rate_hz: float
    radar_rate_hz: float

    def imu(self, times_s: np.ndarray) -> np.ndarray:
        """Returns (n, 9) float64: specific force in m/s², angular rate in rad/s, magnetic field in µT or NaN."""
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
