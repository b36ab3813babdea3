"""Adds flesh to a motion capture skeleton, and places to wear an IMU."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.body import RIGHT
from cosmo_runtime.sensors.simulation.inertial import Worn
from cosmo_runtime.sensors.simulation.mocap.clip import FOREARM, SHANK, THIGH, UPPER_ARM, Skeleton, find, plain, side_of

_RADII_M = (  # radius of the bone from a joint whose name fits; the first match counts
    ("finger|thumb|index|middle|ring|pinky", 0.012),
    ("|".join(FOREARM), 0.037),
    ("hand|wrist", 0.038),
    ("foot|ankle|toe", 0.04),
    ("|".join(THIGH), 0.074),
    ("|".join(SHANK), 0.05),
    ("collar|clav", 0.06),
    ("head", 0.09),
    ("neck", 0.08),
    ("|".join(UPPER_ARM), 0.046),
)
_TRUNK_M = 0.115
_OUT_M = {"wrist": 0.035, "thigh": 0.074}  # from the bone to the sensor


class Flesh(NamedTuple):
    """Capsules around bones: joints at their ends (bones, 2), radii in metres."""

    bones: np.ndarray
    radii: np.ndarray


def flesh(skeleton: Skeleton) -> Flesh:
    """A capsule for each bone. Its radius depends on the name of the joint where it begins."""
    bones = [(parent, joint) for joint, parent in enumerate(skeleton.parents) if parent >= 0]
    radii = [_radius_m(skeleton.names[parent], skeleton.names[joint]) for parent, joint in bones]
    return Flesh(np.array(bones), np.array(radii))


def worn(skeleton: Skeleton, place: str, side: int = RIGHT, along_m: float = 0.03) -> Worn:
    """An IMU on the wrist (x to the elbow, z out of the back of the hand) or the thigh (x to the hip, z ahead).

    How the forearm is rolled in the file's rest pose is unknown. The back of the hand is assumed to face outward if the
    arm hangs down in that pose, and up if it is stretched out. On the wrist, it sits ``along_m`` up the forearm.

    Raises:
        SensorNotFound: no joint's name fits such a bone.
    """
    joint = find(skeleton, FOREARM if place == "wrist" else THIGH, side)
    if joint is None:
        raise SensorNotFound(
            f"the skeleton of {len(skeleton.names)} joints has none called elbow or forearm, or none called thigh "
            f"or hip, on one side; it has {', '.join(skeleton.names)}"
        )
    child = skeleton.parents.index(joint)
    bone = skeleton.offsets[child]
    x = -bone / np.linalg.norm(bone)
    lateral, up = _outward(skeleton, side), np.array([0.0, 1.0, 0.0])
    if place == "thigh":
        out = np.cross(lateral if side == RIGHT else -lateral, up) * -1
    else:
        out = lateral if abs(x @ lateral) < 0.7 else up
    z = out - (out @ x) * x
    z /= np.linalg.norm(z)
    axes = Rotation.from_matrix(np.stack([x, np.cross(z, x), z], axis=1))
    along = 0.5 * bone if place == "thigh" else bone + along_m * x
    return Worn(joint, axes, along + _OUT_M[place] * z)


def _outward(skeleton: Skeleton, side: int) -> np.ndarray:
    """The direction to that side of the body, in the rest pose."""
    hip = find(skeleton, THIGH, side)
    away = skeleton.offsets[hip] * [1, 0, 1] if hip is not None else np.zeros(3)
    length = np.linalg.norm(away)
    if length < 1e-9:
        return np.array([-1.0 if side == RIGHT else 1.0, 0.0, 0.0])
    unit: np.ndarray = away / length
    return unit


def _radius_m(name: str, end: str) -> float:
    """A bone from the middle of the body to a limb counts as trunk, whatever its joint is called."""
    if side_of(name) is None and side_of(end) is not None:
        return 0.06
    word = plain(name)
    return next((radius for words, radius in _RADII_M if re.search(words, word)), _TRUNK_M)
