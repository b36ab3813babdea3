"""Reads the clips of DeepMimic (Peng et al., SIGGRAPH 2018): JSON, one skeleton for all, quaternions scalar first.

A frame holds its duration, the root's place and rotation, then each joint's rotation: a quaternion, or one angle about
z for knees and elbows. x is ahead, y up, z to the right. The skeleton is that of the ``humanoid3d`` character.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.mocap.clip import Clip, Skeleton, posed

_PREFIX = "humanoid3d_"
_JOINTS = (  # name, parent, offset, numbers in a frame
    ("root", "", (0, 0, 0), 4),
    ("chest", "root", (0, 0.236151, 0), 4),
    ("neck", "chest", (0, 0.223894, 0), 4),
    ("right_hip", "root", (0, 0, 0.084887), 4),
    ("right_knee", "right_hip", (0, -0.421546, 0), 1),
    ("right_ankle", "right_knee", (0, -0.40987, 0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.2435, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0, -0.274788, 0), 1),
    ("left_hip", "root", (0, 0, -0.084887), 4),
    ("left_knee", "left_hip", (0, -0.421546, 0), 1),
    ("left_ankle", "left_knee", (0, -0.40987, 0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.2435, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0, -0.274788, 0), 1),
    ("head end", "neck", (0, 0.25, 0), 0),
    ("right_wrist", "right_elbow", (0, -0.258947, 0), 0),
    ("left_wrist", "left_elbow", (0, -0.258947, 0), 0),
    ("right_hand end", "right_wrist", (0, -0.1, 0), 0),
    ("left_hand end", "left_wrist", (0, -0.1, 0), 0),
    ("right_toe end", "right_ankle", (0.15, -0.04, 0), 0),
    ("left_toe end", "left_ankle", (0.15, -0.04, 0), 0),
)
_NAMES = tuple(name for name, _, _, _ in _JOINTS)
_SKELETON = Skeleton(
    _NAMES,
    tuple(_NAMES.index(parent) if parent else -1 for _, parent, _, _ in _JOINTS),
    np.array([offset for _, _, offset, _ in _JOINTS], float),
)
_NUMBERS = 4 + sum(count for _, _, _, count in _JOINTS)


def read_deepmimic(path: Path) -> Clip:
    """Reads a clip.

    Raises:
        SensorNotFound: the file cannot be read or is not such a clip.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        frames = np.array(content["Frames"], float)
        if frames.ndim != 2 or frames.shape[1] != _NUMBERS or len(frames) < 2 or not np.isfinite(frames).all():
            raise ValueError(f"its frames are not two or more of {_NUMBERS} numbers each")
        frame_s = float(np.median(frames[:-1, 0]))
        if frame_s <= 0:
            raise ValueError("its frames have no duration")
        loops = content.get("Loop") == "wrap"
    except OSError as error:
        raise SensorNotFound(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SensorNotFound(f"{path}: not a clip of DeepMimic: {error!r}") from error
    local = np.tile([0.0, 0.0, 0.0, 1.0], (len(frames), len(_JOINTS), 1))
    column = 4
    for joint, (_, _, _, count) in enumerate(_JOINTS):
        numbers = frames[:, column : column + count]
        if count == 4:
            local[:, joint] = numbers[:, [1, 2, 3, 0]]
        elif count == 1:
            local[:, joint] = Rotation.from_rotvec(numbers * [0, 0, 1]).as_quat()
        column += count
    name = path.stem[len(_PREFIX) :] if path.stem.startswith(_PREFIX) else path.stem
    return posed(name.replace("_", " ").lower(), _SKELETON, frame_s, frames[:, 1:4], local, loops)
