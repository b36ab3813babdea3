from __future__ import annotations

from typing import Optional

import numpy as np
import pytest

from cosmo_runtime.sensors.simulation.body import LEFT, RIGHT
from cosmo_runtime.sensors.simulation.mocap.clip import FOREARM, SHANK, THIGH, Skeleton, find, side_of


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("LeftUpLeg", LEFT),
        ("mixamorig:RightForeArm", RIGHT),
        ("right_hip", RIGHT),
        ("lShldr", LEFT),
        ("thigh.R", RIGHT),
        ("upperarm_l", LEFT),
        ("RHipJoint", RIGHT),
        ("Hips", None),
        ("LowerBack", None),
        ("Spine1", None),
        ("Root", None),
        ("neck", None),
    ],
)
def test_sides_by_the_names_of_several_programs(name: str, side: Optional[int]) -> None:
    assert side_of(name) == side


@pytest.mark.parametrize(
    "names",
    [
        ("LHipJoint", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftArm", "LeftForeArm", "LeftHand"),
        ("hip", "lThigh", "lShin", "lFoot", "lShldr", "lForeArm", "lHand"),
        ("root", "left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow", "left_wrist"),
        ("pelvis", "thigh_l", "calf_l", "foot_l", "upperarm_l", "lowerarm_l", "hand_l"),
    ],
)
def test_the_bones_that_bear_sensors_are_found_by_them(names: tuple) -> None:
    skeleton = Skeleton(names, (-1, 0, 1, 2, 0, 4, 5), np.zeros((7, 3)))
    assert [find(skeleton, words, LEFT) for words in (THIGH, SHANK, FOREARM)] == [1, 2, 5]
    assert find(skeleton, THIGH, RIGHT) is None
