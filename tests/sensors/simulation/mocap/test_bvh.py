from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.mocap.bvh import read_bvh
from tests.sensors.simulation.mocap.files import bvh, write


def test_joints_are_where_their_offsets_and_turns_put_them(tmp_path: Path) -> None:
    turns = [("LeftArm", "Z", np.array([0.0, -90.0])), ("Hips", "Y", np.array([0.0, 90.0]))]
    clip = read_bvh(write(tmp_path, "wave_left.bvh", bvh(2, 0.02, turns)))
    assert (clip.name, clip.frame_s, clip.loops) == ("wave left", 0.02, False)
    at = {name: clip.positions[:, joint] for joint, name in enumerate(clip.skeleton.names)}
    np.testing.assert_allclose(at["Hips"], [[0, 0, 0.95]] * 2, atol=1e-9)  # centimetres and y up become metres and z up
    np.testing.assert_allclose(at["LeftHand"][0], [0.71, 0, 1.43], atol=1e-9)
    np.testing.assert_allclose(at["RightFoot end"][0], [-0.09, -0.15, 0.08], atol=1e-9)
    # turned a quarter to the left, the left arm hangs down from the shoulder, which is now behind
    np.testing.assert_allclose(at["LeftArm"][1], [0, 0.18, 1.43], atol=1e-9)
    np.testing.assert_allclose(at["LeftHand"][1], [0, 0.18, 0.9], atol=1e-9)


def test_turns_are_applied_in_the_order_of_the_channels(tmp_path: Path) -> None:
    turns = [("LeftArm", "Z", np.full(2, -90.0)), ("LeftArm", "X", np.full(2, -90.0))]
    clip = read_bvh(write(tmp_path, "x.bvh", bvh(2, 0.02, turns)))
    hand, shoulder = (clip.positions[0, clip.skeleton.names.index(name)] for name in ("LeftHand", "LeftArm"))
    np.testing.assert_allclose(
        hand - shoulder, [0, 0, -0.53], atol=1e-9
    )  # X before Z leaves the arm along x, then down


@pytest.mark.parametrize("scale", [0.01, 1.0, 1 / 2.54, 17.3])
def test_whatever_the_unit_people_are_of_a_persons_size(tmp_path: Path, scale: float) -> None:
    clip = read_bvh(write(tmp_path, "x.bvh", bvh(2, 0.02, scale=scale)))
    foot, hip = (clip.positions[0, clip.skeleton.names.index(name)] for name in ("LeftFoot", "LeftUpLeg"))
    assert np.linalg.norm(foot - hip) == pytest.approx(0.83, abs=0.01)


def test_a_file_with_line_ends_of_windows_and_few_lines_reads_the_same(tmp_path: Path) -> None:
    text = bvh(3, 0.02, [("LeftArm", "Z", np.array([0.0, 10.0, 20.0]))])
    one = read_bvh(write(tmp_path, "a.bvh", text))
    other = read_bvh(write(tmp_path, "b.bvh", text.replace("\n", "\r\n").replace("Frame Time:", "Frame Time:\t")))
    np.testing.assert_array_equal(one.positions, other.positions)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda text: text[: len(text) // 3], "ends too early|has no end|could not convert"),
        (lambda text: text.replace("Frames: 4", "Frames: 5"), "numbers for 5 frames"),
        (lambda text: text.replace("Xrotation", "Xturn", 1), "channels"),
        (lambda text: text.replace("0.000000", "nan", 1), "not finite"),
        (lambda text: text.replace("0.000000", "x", 1), "could not convert"),
        (lambda text: text.replace("Frame Time: 0.02", "Frame Time: 0"), "0.0 s each"),
        (lambda text: "", "it has 'the end' in place of 'HIERARCHY'"),
        (lambda text: text.replace("OFFSET", "AWAY", 1), "it has 'AWAY' in place of 'OFFSET'"),
    ],
)
def test_what_is_no_bvh_is_said_with_its_name(tmp_path: Path, spoil: object, why: str) -> None:
    path = write(tmp_path, "broken.bvh", spoil(bvh(4, 0.02)))  # type: ignore[operator]
    with pytest.raises(SensorNotFound, match=f"broken.bvh.*({why})"):
        read_bvh(path)
    with pytest.raises(SensorNotFound, match=r"none.bvh.*No such file"):
        read_bvh(tmp_path / "none.bvh")
