"""What the inertial sensor of UTD-MHAD would measure, simulated from the skeletons that the camera tracked."""

from __future__ import annotations

from typing import Dict, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.simulation.inertial import specific_force_and_rate
from cosmo_runtime.sensors.simulation.utd import in_room

LAG_S = 0.06
"""How far the camera's skeletons lag behind the inertial sensor. Subjects 5 and 6 chose it."""


class _Limb(NamedTuple):
    """Where the sensor is worn.

    Attributes:
        joints: of the limb, from the trunk outward.
        bone: the two of them between which the sensor is.
        along: its place on that bone, from 0 to 1.
        sides: the same joint of the left and of the right side.
        pull: how fast the sensor's z axis turns to the axis of the middle joint. A knee that is almost straight does
            not show its axis.
    """

    joints: tuple[int, int, int]
    bone: tuple[int, int]
    along: float
    sides: tuple[int, int]
    pull: float


_LIMBS: Dict[str, _Limb] = {
    "wrist": _Limb((8, 9, 10), (9, 10), along=1.0, sides=(4, 8), pull=0.5),
    "thigh": _Limb((16, 17, 18), (16, 17), along=0.5, sides=(12, 16), pull=0.0),
}

_SMOOTHING_FRAMES = 1.5  # standard deviation; without it, noise differentiated twice would hide the motion
_REST = np.array([0.0, 1.0, 1.0]) / np.sqrt(2)  # a usual direction of x; no limb points the other way, up and back
_HELD_FRAMES = 6  # for which the first and the last pose are held, so that the path starts and ends at rest


def worn_imu(skeleton: np.ndarray, seconds: float, at_s: np.ndarray, place: str, lag_s: float = LAG_S) -> np.ndarray:
    """Simulates a sensor without errors. Its x axis points along the bone to the trunk.

    Its z axis is that of the elbow, to the right if the arm hangs down. A straight arm has no such axis, so the axis is
    carried along with the bone, and the elbow's pulls it as strongly as the arm is bent. This is done forward and
    backward in time. The thigh's z axis is the hips' line to the right, carried along with the bone.

    Args:
        skeleton: (20, 3, frames), as in the data set.
        seconds: how long the trial lasts. The frames are spread evenly over it.
        at_s: (n,) times within the trial, of the sensor's clock.
        place: ``wrist`` or ``thigh``.
        lag_s: how far the skeleton lags behind that clock.

    Returns:
        (n, 6): specific force in m/s², angular rate in rad/s.
    """
    limb = _LIMBS[place]
    frames = skeleton.shape[2]
    joints = in_room(skeleton)
    joints = np.concatenate([joints[:1].repeat(_HELD_FRAMES, 0), joints, joints[-1:].repeat(_HELD_FRAMES, 0)])
    joints = gaussian_filter1d(joints, _SMOOTHING_FRAMES, axis=0, mode="nearest")
    trunk, middle, end = (joints[:, joint] for joint in limb.joints)
    inner, outer = (joints[:, joint] for joint in limb.bone)
    left, right = (joints[:, joint] for joint in limb.sides)
    x = _unit(inner - outer)
    bend = limb.pull * np.cross(_unit(middle - trunk), _unit(end - middle))
    right = _unit(right[0] - left[0])
    start = right - x[0] @ right / max(1 + x[0] @ _REST, 1e-6) * (x[0] + _REST)  # turned as x is from _REST
    back = _carried(_carried(start, x, bend)[-1], x[::-1], bend[::-1])[::-1]
    z = _unit(_carried(back[0], x, bend) + back)
    axes = Rotation.from_matrix(np.stack([x, np.cross(z, x), z], axis=2))
    times_s = (np.arange(-_HELD_FRAMES, frames + _HELD_FRAMES) + 0.5) * seconds / frames
    place_m = inner + limb.along * (outer - inner)
    return specific_force_and_rate(times_s, place_m, axes, (at_s + lag_s).clip(times_s[0], times_s[-1]))


def _carried(z: np.ndarray, x: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """Carries a direction from frame to frame: square to x, and pulled along the way. Returns (frames, 3)."""
    found = np.empty_like(x)
    for i in range(len(x)):
        z = z + pulls[i]
        z = _unit(z - (z @ x[i]) * x[i])
        found[i] = z
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9)
