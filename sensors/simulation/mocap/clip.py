"""One clip of motion capture: a skeleton, and where its joints are in each frame."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.simulation.body import LEFT, RIGHT

_LEG_M = 0.491 * 1.70  # thigh and shank of an average person
_LEGS_M = (0.55, 1.15)  # of people
_CENTIMETRES = 0.01


# Names of the joints at which a bone begins, in small letters. Programs differ a lot.
THIGH = ("upleg|upperleg|thigh", "(left|right|^[lr])hip")
SHANK = ("knee|shin|calf|lowerleg|lowleg|(left|right|^[lr])leg",)
UPPER_ARM = ("uparm|upperarm|(left|right|^[lr])arm", "shldr|shoulder")
FOREARM = ("forearm|elbow|lowerarm|lowarm",)


class Skeleton(NamedTuple):
    """Joints, with parents before their children. y is up, as in the files.

    Attributes:
        names: the joints' names. The ends of limbs count as joints, too.
        parents: index of each joint's parent, -1 for the root.
        offsets: (joints, 3) from the parent, in its axes.
    """

    names: Tuple[str, ...]
    parents: Tuple[int, ...]
    offsets: np.ndarray


class Clip(NamedTuple):
    """Frames of one skeleton, in metres, with z up.

    Attributes:
        name: the activity, from the file's name.
        skeleton: its joints.
        frame_s: time between frames.
        positions: (frames, joints, 3).
        rotations: (frames, joints, 4) quaternions, scalar last, from each joint's axes to the room's.
        loops: whether the end leads into the beginning.
    """

    name: str
    skeleton: Skeleton
    frame_s: float
    positions: np.ndarray
    rotations: np.ndarray
    loops: bool


_TO_Z_UP = Rotation.from_euler("x", 90, degrees=True)


def posed(
    name: str, skeleton: Skeleton, frame_s: float, root: np.ndarray, local: np.ndarray, loops: bool = False
) -> Clip:
    """Makes a clip from the root's place (frames, 3) and each joint's rotation (frames, joints, 4)."""
    frames = len(root)
    positions = np.empty((frames, len(skeleton.names), 3))
    rotations = np.empty((frames, len(skeleton.names), 4))
    for joint, parent in enumerate(skeleton.parents):
        turn = Rotation.from_quat(local[:, joint])
        if parent < 0:
            positions[:, joint], whole = _TO_Z_UP.apply(root), _TO_Z_UP * turn
        else:
            above = Rotation.from_quat(rotations[:, parent])
            positions[:, joint] = positions[:, parent] + above.apply(skeleton.offsets[joint])
            whole = above * turn
        rotations[:, joint] = whole.as_quat()
    scale = _metres(skeleton)
    return Clip(name, skeleton._replace(offsets=scale * skeleton.offsets), frame_s, scale * positions, rotations, loops)


def find(skeleton: Skeleton, words: Sequence[str], side: int) -> Optional[int]:
    """A side's joint that has children and one of some words in its name. The first word counts most."""
    for word in words:
        for joint, name in enumerate(skeleton.names):
            if re.search(word, plain(name)) and side_of(name) == side and joint in skeleton.parents:
                return joint
    return None


def plain(name: str) -> str:
    """A joint's name in small letters, without the prefixes of programs."""
    return re.sub(r"[^a-z]", "", name.split(":")[-1].lower())


def side_of(name: str) -> Optional[int]:
    """The side of a joint by its name; None for those in the middle."""
    name = name.split(":")[-1]
    for side, word in ((LEFT, "left"), (RIGHT, "right")):
        small, capital = word[0], word[0].upper()
        alone = rf"^{small}(?=[A-Z_.])|^{capital}(?=[A-Z][a-z]|[_.])|[_.]({small}|{capital})($|[_.])|[a-z]{capital}$"
        if word in name.lower() or re.search(alone, name):
            return side
    return None


def _metres(skeleton: Skeleton) -> float:
    """Metres per unit of the file: a metre or a centimetre if legs then fit a person, else what makes them fit."""
    shank = next((joint for side in (RIGHT, LEFT) for joint in [find(skeleton, SHANK, side)] if joint), None)
    if shank is None:
        reach = float(np.abs(skeleton.offsets).sum()) / max(1, len(skeleton.names))
        return 1.0 if reach < 1 else _CENTIMETRES
    below = [np.linalg.norm(skeleton.offsets[j]) for j, parent in enumerate(skeleton.parents) if parent == shank]
    leg = float(np.linalg.norm(skeleton.offsets[shank]) + max(below))
    for unit in (1.0, _CENTIMETRES):
        if _LEGS_M[0] <= unit * leg <= _LEGS_M[1]:
            return unit
    return _LEG_M / leg


def same_joints(clips: Sequence[Clip]) -> List[str]:
    """Names of the clips whose joints differ from the first one's."""
    return [clip.name for clip in clips if clip.skeleton[:2] != clips[0].skeleton[:2]]
