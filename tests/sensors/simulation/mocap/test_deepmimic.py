from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.mocap.deepmimic import read_deepmimic

_UPRIGHT = [1.0, 0.0, 0.0, 0.0]


def _frame(root: list, **turned: list) -> list:
    joints = ["root", "chest", "neck", "right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow"]
    joints += ["left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow"]
    frame = [0.05, *root]
    for joint in joints:
        frame += turned.get(joint, [0.0] if joint.endswith(("knee", "elbow")) else _UPRIGHT)
    return frame


def _write(folder: Path, content: object) -> Path:
    path = folder / "humanoid3d_dance_a.txt"
    path.write_text(json.dumps(content))
    return path


def test_joints_are_where_turns_put_them(tmp_path: Path) -> None:
    still, bent = _frame([0, 0.9, 0]), _frame([0.2, 0.9, 0], right_elbow=[np.pi / 2])
    clip = read_deepmimic(_write(tmp_path, {"Loop": "wrap", "Frames": [still, bent]}))
    assert (clip.name, clip.frame_s, clip.loops) == ("dance a", 0.05, True)
    at = {name: clip.positions[:, joint] for joint, name in enumerate(clip.skeleton.names)}
    np.testing.assert_allclose(at["root"], [[0, 0, 0.9], [0.2, 0, 0.9]], atol=1e-9)
    np.testing.assert_allclose(
        at["right_wrist"][0], [-0.02405, -0.18311, 0.9 + 0.236151 + 0.2435 - 0.533735], atol=1e-6
    )
    np.testing.assert_allclose(at["right_wrist"][1] - at["right_elbow"][1], [0.258947, 0, 0], atol=1e-6)  # ahead
    assert at["left_wrist"][0, 1] > 0 > at["right_wrist"][0, 1]


def test_real_clips_have_people_on_their_feet(data_dir: Path) -> None:
    folder = data_dir / "mocap" / "deepmimic" / "data" / "motions"
    walk = read_deepmimic(folder / "humanoid3d_walk.txt")
    head, foot = (walk.positions[:, walk.skeleton.names.index(name)] for name in ("head end", "right_ankle"))
    assert 1.4 < (head[:, 2] - foot[:, 2].min()).mean() < 1.8
    speed = np.linalg.norm(walk.positions[-1, 0] - walk.positions[0, 0]) / ((len(head) - 1) * walk.frame_s)
    assert 0.8 < speed < 1.6  # metres a second
    up = read_deepmimic(folder / "humanoid3d_getup_facedown.txt")
    assert up.positions[0, :, 2].max() < 0.6 < 1.4 < up.positions[-1, :, 2].max()


@pytest.mark.parametrize(
    "content",
    [
        {"Frames": [[0.1, 2.0]]},
        {"Loop": "wrap"},
        [1, 2],
        {"Frames": [_frame([0, 0, 0])]},
        {"Frames": [_frame([0, 0, float("nan")])] * 3},
        {"Frames": [[0.0, *_frame([0, 1, 0])[1:]]] * 3},
    ],
)
def test_what_is_no_clip_is_said_with_its_name(tmp_path: Path, content: object) -> None:
    with pytest.raises(SensorNotFound, match=r"humanoid3d_dance_a.txt: not a clip of DeepMimic"):
        read_deepmimic(_write(tmp_path, content))
