"""An articulated body: turns joint angles into capsules and joint frames in the room.

Room coordinates are metres: x to the right of the rig, y away from it, z up, the floor at z = 0. The body's own frame
is the same, with the person facing +y, so a person who faces the rig has a heading of pi.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

# Channels of a motion: where the person stands, then three angles for each joint.
X, Y, HEADING, LIFT, PLANTED = range(5)
JOINTS = 15
CHANNELS = 5 + 3 * JOINTS

PELVIS, CHEST, HEAD = 0, 1, 2
UPPER_ARM, FOREARM, HAND, THIGH, SHANK, FOOT = (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14)  # left, right
LEFT, RIGHT = 0, 1
FLEX, ABDUCT, TURN = 0, 1, 2

_PARENT = (-1, PELVIS, CHEST, CHEST, CHEST, 3, 4, 5, 6, PELVIS, PELVIS, 9, 10, 11, 12)
_SOFTNESS_M = 0.02  # how gradually the weight passes from one foot to the other
_SOLES = 4  # capsule ends that carry a standing person


def channel(joint: int, axis: int) -> int:
    """Column of a joint's angle (``FLEX``, ``ABDUCT`` or ``TURN``) in a motion.

    Flexion bends forward (knees: backward, as knees do), abduction lifts sideways away from the body (trunk and head:
    to the right), turning rolls about the bone, limbs inward (trunk and head: to the left). Angles are radians, 0 when
    standing.
    """
    return 5 + 3 * joint + axis


class Frames(NamedTuple):
    """A body at n instants: joint positions (n, 15, 3), rotations (n, 15, 3, 3), capsule ends (n, capsules, 2, 3)."""

    positions: np.ndarray
    rotations: np.ndarray
    capsules: np.ndarray


class Body:
    """Bones and flesh of one person, in the proportions of Winter, *Biomechanics and Motor Control*, table 4.1.

    Args:
        height_m: the person's height.
        girth: 1 for the average, more for a stouter person.

    Attributes:
        radii: (capsules,) in metres.
        forearm_m, thigh_m, shank_m, shoulder_m: lengths of bones, and half the width of the shoulders.
        seat_m: height of a chair that fits.
    """

    def __init__(self, height_m: float, girth: float = 1.0) -> None:
        self.height_m = height_m
        h, s, w = height_m, height_m / 1.75, height_m / 1.75 * girth
        self.forearm_m, self.thigh_m, self.shank_m, self.shoulder_m = 0.146 * h, 0.245 * h, 0.246 * h, 0.115 * h
        upper_arm, hip, foot = 0.186 * h, 0.06 * h, 0.039 * h
        self.seat_m = self.shank_m + foot - 0.08 * w

        sides = np.array([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
        self._offsets = np.zeros((JOINTS, 3))
        self._offsets[CHEST] = 0, 0, 0.06 * h
        self._offsets[HEAD] = 0, 0, 0.265 * h
        self._offsets[list(UPPER_ARM)] = sides * (self.shoulder_m, 0, 0.22 * h)
        self._offsets[list(FOREARM)] = 0, 0, -upper_arm
        self._offsets[list(HAND)] = 0, 0, -self.forearm_m
        self._offsets[list(THIGH)] = sides * (hip, 0, 0)
        self._offsets[list(SHANK)] = 0, 0, -self.thigh_m
        self._offsets[list(FOOT)] = 0, 0, -self.shank_m

        flesh = [
            (PELVIS, (-0.06 * w, 0, 0.01 * h), (0.06 * w, 0, 0.01 * h), 0.115 * w),
            (CHEST, (-0.065 * w, 0, -0.01 * h), (-0.085 * w, 0, 0.17 * h), 0.098 * w),
            (CHEST, (0.065 * w, 0, -0.01 * h), (0.085 * w, 0, 0.17 * h), 0.098 * w),
            (CHEST, (-0.1 * w, 0, 0.205 * h), (0.1 * w, 0, 0.205 * h), 0.068 * w),
            (CHEST, (0, 0, 0.21 * h), (0, 0.01, 0.28 * h), 0.055 * s),
            (HEAD, (0, 0.02, 0.06 * h), (0, 0.02, 0.09 * h), 0.085 * s),
        ]
        for side in (LEFT, RIGHT):
            flesh += [
                (UPPER_ARM[side], (0, 0, 0), (0, 0, -upper_arm), 0.046 * w),
                (FOREARM[side], (0, 0, 0), (0, 0, -self.forearm_m), 0.037 * w),
                (HAND[side], (0, 0, -0.02 * h), (0, 0, -0.075 * h), 0.038 * s),
                (THIGH[side], (0, 0, 0), (0, 0, -self.thigh_m), 0.074 * w),
                (SHANK[side], (0, 0, 0), (0, 0, -self.shank_m), 0.05 * w),
                (FOOT[side], (0, -0.025 * h, 0.04 * s - foot), (0, 0.09 * h, 0.04 * s - foot), 0.04 * s),
            ]
        self._bones = [joint for joint, _, _, _ in flesh]
        self._ends = np.array([[start, end] for _, start, end, _ in flesh])
        self.radii = np.array([radius for _, _, _, radius in flesh])

    def frames(self, motion: np.ndarray) -> Frames:
        """Poses the body in the room.

        The lowest part rests on the floor (``LIFT`` metres above it). With ``PLANTED`` at 1, the point midway between
        the ankles is at ``X``, ``Y``; at 0 the pelvis is.

        Args:
            motion: (n, CHANNELS).
        """
        n = len(motion)
        local = Rotation.from_euler("XYZ", (motion[:, 5:] * _SIGNS).reshape(-1, 3)).as_matrix().reshape(n, JOINTS, 3, 3)
        positions = np.zeros((n, JOINTS, 3))
        rotations = np.empty((n, JOINTS, 3, 3))
        rotations[:, PELVIS] = Rotation.from_euler("z", motion[:, [HEADING]]).as_matrix() @ local[:, PELVIS]
        for joint in range(1, JOINTS):
            parent = _PARENT[joint]
            positions[:, joint] = positions[:, parent] + rotations[:, parent] @ self._offsets[joint]
            rotations[:, joint] = rotations[:, parent] @ local[:, joint]
        capsules = positions[:, self._bones, None] + self._ends @ rotations[:, self._bones].swapaxes(-1, -2)

        ankles = positions[:, list(FOOT), :2].mean(axis=1)
        lowest = (capsules[..., 2] - self.radii[:, None]).reshape(n, -1)
        floor = lowest.min(axis=1)
        floor -= _SOFTNESS_M * np.log(np.exp((floor[:, None] - lowest) / _SOFTNESS_M).sum(axis=1) / _SOLES)
        shift = np.empty((n, 3))
        shift[:, :2] = motion[:, [X, Y]] - motion[:, [PLANTED]] * ankles
        shift[:, 2] = motion[:, LIFT] - floor
        return Frames(positions + shift[:, None], rotations, capsules + shift[:, None, None])


def _signs() -> np.ndarray:
    """Turns the anatomical angles of ``channel`` into right-handed rotations about x, y and z."""
    signs = np.ones((JOINTS, 3))
    signs[[PELVIS, CHEST, HEAD, *SHANK], FLEX] = -1
    for joints in (UPPER_ARM, FOREARM, HAND, THIGH, SHANK, FOOT):
        signs[joints[RIGHT], ABDUCT] = -1
        signs[joints[LEFT], TURN] = -1
    return signs.reshape(-1)


_SIGNS = _signs()
