"""How a rig stands in front of a simulated person, how the IMU is worn, and how the person does activities."""

from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.simulation.motion import Camera

_ACTED = (
    "walk", "run on the spot", "sit down", "squat", "jump", "wave", "clap", "punch", "bend", "fall", *(NONE,) * 5,
)  # fmt: skip
"""What people act on request, ``none`` more often than the others, because it stands for many gestures."""

_VIEW, _USUAL = 0.65, 239.5 / 252.9  # of a RealSense D435


class Setting(NamedTuple):
    """What differs between homes, besides the person and the furniture.

    Attributes:
        camera: the camera's pixels and field of view.
        height_m: height of camera and radar above the floor.
        pitch: how far they look down, in radians.
        facing: deviation, in radians, between where the person faces and the camera.
        room: False if the background is removed from the depth images, as in some data sets.
        wrist: rotates the IMU from a watch's orientation.
        along_m: how far up the forearm the IMU sits.
        brisk: whether activities are short, with pauses between, and each is done in one of several ways.
        only: the only activities; empty for all.
        acted: whether activities are acted on request: on one spot, facing the camera, mostly with the worn hand.
        grain: how noisy and ragged the depth images are; 1 for a RealSense D435, 0 for a person cut out cleanly.
    """

    camera: Camera
    height_m: float = 1.1
    pitch: float = 0.0
    facing: float = 1.0
    room: bool = True
    wrist: Rotation = Rotation.identity()
    along_m: float = 0.03
    brisk: bool = False
    only: Tuple[str, ...] = ()
    acted: bool = False
    grain: float = 1.0

    @property
    def down(self) -> np.ndarray:
        """Matrix from level axes (x right, y away, z up) to those of the camera."""
        return Rotation.from_euler("x", self.pitch).as_matrix()

    @property
    def view(self) -> float:
        """How far to the side the camera sees, as a multiple of the distance."""
        return _VIEW * (self.camera.cx / self.camera.fx) / _USUAL


def any_setting(
    seed: int, camera: bool = True, rotation: bool = True, room: bool = True, brisk: bool = True
) -> Setting:
    """Draws a setting for training, with a small camera that renders fast.

    Args:
        seed: seed of the draw.
        camera: vary height, pitch and field of view; otherwise use those of the shipped rig.
        rotation: wear the IMU in any orientation; otherwise like a watch.
        room: remove the background half of the time; otherwise never.
        brisk: do short activities in many ways half of the time; otherwise never.
    """
    rng = np.random.default_rng((seed, 61))
    across = np.radians(rng.uniform(50, 92)) if camera else np.radians(87)
    tall = rng.random() < 0.5 and camera  # 4:3, else 16:9
    width, height = 96, 72 if tall else 54
    focal = width / 2 / np.tan(across / 2)
    drawn = Setting(
        Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, 10.0, 0.001),
        facing=rng.choice([0.25, 1.0]),
        room=not room or rng.random() < 0.5,
        brisk=brisk and rng.random() < 0.5,
        along_m=rng.uniform(0.0, 0.07),
    )
    if camera:
        drawn = drawn._replace(height_m=rng.uniform(0.7, 1.7), pitch=0.0)
        level = np.arctan2(drawn.height_m - rng.uniform(0.8, 1.1), 3.0)  # looks roughly at the person's middle
        drawn = drawn._replace(pitch=float(level + rng.normal(0, 0.06)))
    if rotation:
        drawn = drawn._replace(wrist=Rotation.random(random_state=int(rng.integers(1 << 31))))
    return drawn


def acted_setting(seed: int, camera: bool = True, rotation: bool = True, room: bool = True) -> Setting:
    """Draws a setting like that of most data sets: people act on request, cut out of the background.

    Upright, they fill most of the picture's height. The camera's field of view is about that of a Kinect.

    Args:
        seed: seed of the draw.
        camera: vary height, pitch and field of view; otherwise use those of the shipped rig.
        rotation: wear the IMU in any orientation; otherwise like a watch.
        room: remove the background; otherwise keep it.
    """
    rng = np.random.default_rng((seed, 62))
    width, height = (160, 120) if camera else (160, 90)
    focal = width / 2 / np.tan(np.radians(rng.uniform(50, 70) if camera else 87) / 2)
    height_m = rng.uniform(0.9, 1.4)
    level = np.arctan2(height_m - rng.uniform(0.85, 1.1), 3.0)
    drawn = any_setting(seed, camera, rotation)._replace(
        camera=Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, 10.0, 0.001),
        facing=0.08,
        room=not room,
        brisk=True,
        acted=True,
        grain=rng.uniform(0.0, 0.4),
        only=_ACTED,
    )
    return drawn._replace(height_m=height_m, pitch=float(level + rng.normal(0, 0.03))) if camera else drawn
