from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.mocap.motion import MocapMotion
from cosmo_runtime.sensors.simulation.motion import Camera, Motion
from cosmo_runtime.sensors.simulation.setting import Setting
from tests.sensors.simulation.mocap.files import bvh, write

SMALL = Camera(240, 135, 126.45, 126.45, 119.5, 67.0, 15.0, 0.001)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody who stands, and who swings the right arm about its shoulder by 40 degrees either way, once a second."""
    times_s = np.arange(0, 3, 0.01)
    write(tmp_path, "a_stand.bvh", bvh(120, 0.02))
    write(tmp_path, "b_swing.BVH", bvh(300, 0.01, [("RightArm", "Y", 40 * np.sin(2 * np.pi * times_s))]))
    (tmp_path / "notes.md").write_text("no motion")
    return tmp_path


def test_clips_come_in_the_order_of_their_names_with_rests_between(folder: Path) -> None:
    motion: Motion = MocapMotion(folder)
    starts = motion.activities(1e9)
    assert [start.activity for start in starts] == ["none", "a stand", "none", "b swing", "none"]
    np.testing.assert_allclose(np.diff([start.start_s for start in starts]), [1.5, 2.38, 1.5, 2.99], atol=0.03)
    assert motion.duration_s == pytest.approx(starts[-1].start_s + 1.5, abs=0.03)


def test_the_wrist_feels_what_a_swinging_arm_does(folder: Path) -> None:
    motion = MocapMotion(folder)
    start_s = motion.activities(1e9)[3].start_s
    times_s = start_s + np.arange(0.5, 2.5, 0.01)
    felt = motion.imu(times_s)
    rate = np.linalg.norm(felt[:, 3:6], axis=1)
    expected = np.abs(np.radians(40) * 2 * np.pi * np.cos(2 * np.pi * (times_s - start_s)))
    assert np.abs(rate - expected).mean() < 0.15
    radius_m = 0.27 + 0.26 - 0.03
    inward = radius_m * expected**2  # towards the shoulder, which is where x points from the wrist to the elbow
    assert np.corrcoef(felt[:, 0], inward)[0, 1] > 0.98
    assert felt[:, 0].mean() == pytest.approx(inward.mean(), abs=0.5)
    assert felt[:, 2].mean() == pytest.approx(9.8, abs=0.3)  # an arm stretched out has the back of its hand up


def test_who_stands_still_feels_gravity_alone_on_wrist_and_thigh(folder: Path) -> None:
    motion = MocapMotion(folder)
    for place, axis in (("wrist", 2), ("thigh", 0)):
        felt = motion.imu(np.arange(1.6, 3.6, 0.01), place)
        assert felt[:, axis].mean() == pytest.approx(9.8, abs=0.3)
        assert felt[:, :6].std(axis=0).max() < 0.1


def test_people_stand_on_the_floor_three_metres_away_and_face_the_rig(folder: Path) -> None:
    motion = MocapMotion(folder, camera=SMALL)
    image = motion.depth(2.0) * 1e-3
    person = (
        (image > 2.5) & (image < 3.2) & (np.arange(135)[:, None] < 60)
    )  # above the floor there is nothing else near
    across = np.flatnonzero(person.any(0))
    assert np.ptp(across) > 45  # the arms are stretched out across the view
    capsules = motion._capsules(np.array([2.0]))[0]
    assert capsules[..., 2].min() == pytest.approx(0.04, abs=0.01)  # a foot's radius
    toes = motion._capsules(np.array([2.0]))[0].reshape(-1, 3)[:, 1]
    assert toes.min() < 2.9


def test_the_radar_sees_who_swings_and_not_who_stands(folder: Path) -> None:
    motion = MocapMotion(folder)
    swing_s = motion.activities(1e9)[3].start_s
    assert np.mean([len(motion.radar(2 + k / 20)) for k in range(20)]) < 4
    assert np.mean([len(motion.radar(swing_s + k / 20)) for k in range(20)]) > 5


def test_with_a_setting_somebody_else_plays_at_another_pace_and_feels_it(folder: Path) -> None:
    usual, other = (MocapMotion(folder, 3, setting=setting) for setting in (None, Setting(SMALL, facing=1.0)))

    def swung(motion: MocapMotion) -> tuple:
        start_s, end_s = (start.start_s for start in motion.activities(1e9)[3:5])
        felt = motion.imu(np.arange(start_s + 0.5, end_s - 0.5, 0.01))
        return end_s - start_s, np.linalg.norm(felt[:, 3:6], axis=1).max(), felt[:, 0].max()

    def stands(motion: MocapMotion) -> tuple:
        capsules = motion._capsules(np.array([2.0]))[0]
        tips = capsules[[np.argmin(capsules[:, 1, 0]), np.argmax(capsules[:, 1, 0])], 1]
        return capsules[..., 2].max(), np.linalg.norm(tips[1] - tips[0]), capsules[..., :2].mean(axis=(0, 1)), tips

    size = stands(other)[1] / stands(usual)[1]
    assert abs(size - 1) > 0.01
    assert stands(other)[0] / stands(usual)[0] == pytest.approx(size, rel=0.01)
    feet_m = other._capsules(np.array([2.0]))[0, ..., 2].min()
    assert feet_m == pytest.approx(0.04 * size, rel=0.01)  # a foot's radius
    assert np.abs(stands(other)[2] - stands(usual)[2]).max() > 0.1  # elsewhere
    assert np.ptp(stands(usual)[3][:, 1]) < 0.01 < 0.1 < np.ptp(stands(other)[3][:, 1])  # and turned
    pace = swung(usual)[0] / swung(other)[0]
    assert abs(pace - 1) > 0.03
    assert swung(other)[1] / swung(usual)[1] == pytest.approx(pace, rel=0.03)
    assert swung(other)[2] / swung(usual)[2] == pytest.approx((0.53 * size - 0.03) / 0.5 * pace**2, rel=0.02)


def test_a_setting_says_where_camera_and_radar_look_from(folder: Path) -> None:
    setting = Setting(SMALL, height_m=1.8, pitch=0.35, facing=0.0, room=False, grain=0.0)
    motion = MocapMotion(folder, 1, setting=setting)
    image = motion.depth(2.0) * SMALL.depth_scale_m
    assert (image == 0).mean() > 0.8  # there is nothing behind
    row, column = np.nonzero(image)
    ahead = image[row, column]
    rays = np.stack([(column - SMALL.cx) / SMALL.fx, np.ones(len(row)), (SMALL.cy - row) / SMALL.fy], axis=1)
    heights_m = (ahead[:, None] * rays @ setting.down)[:, 2] + setting.height_m
    capsules = motion._capsules(np.array([2.0]))[0]
    assert heights_m.min() == pytest.approx(0, abs=0.08)
    assert heights_m.max() == pytest.approx(capsules[..., 2].max(), abs=0.1)
    swing_s = motion.activities(1e9)[3].start_s
    points = np.concatenate([motion.radar(swing_s + k / 20)[:, :3] for k in range(40)])
    hand_m = np.median((points @ setting.down)[:, 2]) + setting.height_m
    assert hand_m == pytest.approx(capsules[..., 2].max(), abs=0.25)  # an arm swings at the shoulder's height


def test_a_setting_says_how_the_wrists_sensor_is_worn(folder: Path) -> None:
    setting = Setting(SMALL)
    wrist = Rotation.from_euler("xyz", [0.5, 1.0, 2.0])
    times_s = np.arange(6.0, 7.0, 0.01)
    usual, turned, along = (
        MocapMotion(folder, 1, setting=changed)
        for changed in (setting, setting._replace(wrist=wrist), setting._replace(along_m=0.13))
    )
    expected = wrist.inv().apply(usual.imu(times_s)[:, :3])
    np.testing.assert_allclose(turned.imu(times_s)[:, :3], expected, atol=0.5)
    np.testing.assert_array_equal(turned.imu(times_s, "thigh"), usual.imu(times_s, "thigh"))
    swings = usual.imu(times_s)[:, 0].max() / along.imu(times_s)[:, 0].max()
    assert swings == pytest.approx(0.53 / 0.43, rel=0.1)


def test_real_clips_play_and_looping_ones_are_repeated_without_a_jolt(data_dir: Path) -> None:
    motion = MocapMotion(data_dir / "mocap" / "deepmimic" / "data" / "motions", camera=SMALL)
    starts = {start.activity: start.start_s for start in motion.activities(1e9)}
    assert {"walk", "run", "jump", "punch", "getup facedown"} <= set(starts)
    force = np.linalg.norm(motion.imu(starts["walk"] + np.arange(0, 5, 0.01))[:, :3], axis=1)
    assert 8 < np.median(force) < 13
    assert force.max() < 50
    np.testing.assert_array_equal(motion.imu(np.arange(20, 22, 0.01)), motion.imu(np.arange(20, 22, 0.01)))


def test_what_cannot_be_played_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SensorNotFound, match="nowhere: no such folder"):
        MocapMotion(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SensorNotFound, match="holds no motion"):
        MocapMotion(empty)
    write(folder, "c.bvh", bvh(5, 0.02).replace("LeftUpLeg", "LeftThigh"))
    with pytest.raises(SensorNotFound, match="c have other joints than a stand"):
        MocapMotion(folder)
    write(empty, "box.bvh", bvh(5, 0.02).replace("ForeArm", "Lever"))
    with pytest.raises(SensorNotFound, match="none called elbow"):
        MocapMotion(empty)
