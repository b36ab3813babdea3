"""A small person in BVH, as tests write it."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

_LIMBS = """
  JOINT {side}UpLeg {{ OFFSET {x} 0 0 CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT {side}Leg {{ OFFSET 0 -42 0 CHANNELS 3 Zrotation Xrotation Yrotation
      JOINT {side}Foot {{ OFFSET 0 -41 0 CHANNELS 3 Zrotation Xrotation Yrotation
        End Site {{ OFFSET 0 -4 15 }} }} }} }}
  JOINT {side}Arm {{ OFFSET {shoulder} 48 0 CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT {side}ForeArm {{ OFFSET {upper} 0 0 CHANNELS 3 Zrotation Xrotation Yrotation
      JOINT {side}Hand {{ OFFSET {fore} 0 0 CHANNELS 3 Zrotation Xrotation Yrotation
        End Site {{ OFFSET {hand} 0 0 }} }} }} }}
"""
JOINTS = ["Hips"] + [
    f"{side}{joint}" for side in ("Left", "Right") for joint in ("UpLeg", "Leg", "Foot", "Arm", "ForeArm", "Hand")
]


def bvh(frames: int, frame_s: float, turns: Sequence[tuple[str, str, np.ndarray]] = (), scale: float = 1.0) -> str:
    """A person in a T-pose who faces +z, 0.95 m above the floor, in centimetres times a scale.

    ``turns`` are (joint, axis, degrees of each frame).
    """
    limbs = ""
    for side, way in (("Left", 1), ("Right", -1)):
        limbs += _LIMBS.format(side=side, x=9 * way, shoulder=18 * way, upper=27 * way, fore=26 * way, hand=10 * way)
    channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    words = f"HIERARCHY ROOT Hips {{ OFFSET 0 0 0 {channels} {limbs} }}".split()
    for at, word in enumerate(words):
        if word == "OFFSET":
            words[at + 1 : at + 4] = [str(scale * float(number)) for number in words[at + 1 : at + 4]]
    values = np.zeros((frames, 3 + 3 * len(JOINTS)))
    values[:, 1] = 95 * scale
    for joint, axis, degrees in turns:
        values[:, 3 + 3 * JOINTS.index(joint) + "ZXY".index(axis)] = degrees
    lines = "\n".join(" ".join(f"{number:.6f}" for number in row) for row in values)
    return f"{' '.join(words)}\nMOTION\nFrames: {frames}\nFrame Time: {frame_s}\n{lines}\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path
