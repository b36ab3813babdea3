"""Reads BVH, the motion capture format that most programs write (Biovision, 1999): joints, then a line for each frame.

Lengths may have any unit, y is up, angles are in degrees. A joint's rotations apply in the order of its channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.mocap.clip import Clip, Skeleton, posed

_AXES = "XYZ"
_DEEPEST = 200


class _Joint(NamedTuple):
    name: str
    parent: int
    offset: List[float]
    channels: List[str]


def read_bvh(path: Path) -> Clip:
    """Reads a clip.

    Raises:
        SensorNotFound: the file cannot be read or is not BVH.
    """
    try:
        words = iter(path.read_text(encoding="utf-8", errors="replace").split())
        return _clip(path, words)
    except OSError as error:
        raise SensorNotFound(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, IndexError, StopIteration, RuntimeError) as error:
        raise SensorNotFound(f"{path}: not a usable BVH file: {error or 'it ends too early'}") from error


def _clip(path: Path, words: Iterator[str]) -> Clip:
    _expect(words, "HIERARCHY")
    _expect(words, "ROOT")
    joints: List[_Joint] = []
    _read_joint(words, next(words), -1, joints, 0)
    for word in ("MOTION", "Frames:"):
        _expect(words, word)
    frames = int(next(words))
    for word in ("Frame", "Time:"):
        _expect(words, word)
    frame_s = float(next(words))
    width = sum(len(joint.channels) for joint in joints)
    values = np.array([float(word) for word in words])
    if frames < 2 or frame_s <= 0 or len(values) != frames * width:
        raise ValueError(f"{len(values)} numbers for {frames} frames of {width} channels, {frame_s} s each")
    if not np.isfinite(values).all():
        raise ValueError("some of its numbers are not finite")
    skeleton = Skeleton(
        tuple(joint.name for joint in joints),
        tuple(joint.parent for joint in joints),
        np.array([joint.offset for joint in joints]),
    )
    root, local = _moved(joints, values.reshape(frames, width))
    return posed(path.stem.replace("_", " ").lower(), skeleton, frame_s, root, local)


def _read_joint(words: Iterator[str], name: str, parent: int, joints: List[_Joint], depth: int) -> None:
    """Reads one joint's block and those inside it."""
    if depth > _DEEPEST:
        raise ValueError("its joints are nested too deeply")
    _expect(words, "{")
    _expect(words, "OFFSET")
    joint = len(joints)
    joints.append(_Joint(name, parent, [float(next(words)) for _ in _AXES], []))
    for word in words:
        if word == "CHANNELS":
            channels = [next(words) for _ in range(int(next(words)))]
            if any(channel[0] not in _AXES or channel[1:] not in ("position", "rotation") for channel in channels):
                raise ValueError(f"{name} has the channels {channels}")
            joints[joint].channels.extend(channels)
        elif word == "JOINT":
            _read_joint(words, next(words), joint, joints, depth + 1)
        elif word == "End":
            _expect(words, "Site")
            _read_joint(words, f"{name} end", joint, joints, depth + 1)
        elif word == "}":
            return
        else:
            raise ValueError(f"{word!r} in the block of {name}")
    raise ValueError(f"the block of {name} has no end")


def _moved(joints: List[_Joint], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The root's place (frames, 3) and each joint's rotation (frames, joints, 4).

    Some programs write positions of other joints too. These only repeat the offsets and are skipped.
    """
    root = np.tile(np.array(joints[0].offset), (len(values), 1))
    local = np.tile([0.0, 0.0, 0.0, 1.0], (len(values), len(joints), 1))
    column = 0
    for number, joint in enumerate(joints):
        order, columns = "", []
        for channel in joint.channels:
            if channel.endswith("rotation"):
                order += channel[0]
                columns.append(column)
            elif number == 0:
                root[:, _AXES.index(channel[0])] = values[:, column]
            column += 1
        if order:
            local[:, number] = Rotation.from_euler(order, values[:, columns], degrees=True).as_quat().reshape(-1, 4)
    return root, local


def _expect(words: Iterator[str], wanted: str) -> None:
    word = next(words, "the end")
    if word.upper() != wanted.upper():
        raise ValueError(f"it has {word!r} in place of {wanted!r}")
