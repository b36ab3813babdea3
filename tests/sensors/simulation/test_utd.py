from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
import scipy.io

from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.motion import ActivityStart, Motion
from cosmo_runtime.sensors.simulation.utd import ACTIVITIES, UtdMotion, frame_times, load, place_of, trial_names

RAW = np.arange(600, dtype=float).reshape(100, 6) / 500
"""Of the first trial, in g and degrees a second."""


@pytest.fixture(scope="module")
def utd(data_dir: Path) -> Path:
    return data_dir / "utd-mhad"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A data set of two trials in which everything is known: a1 approaches at 1 m/s, a2 stands."""
    for kind in ("Inertial", "Skeleton", "Depth"):
        (tmp_path / kind).mkdir()
    for action, speed in ((1, -1.0), (2, 0.0)):
        name = f"a{action}_s7_t1"
        samples = RAW * action
        joints = np.random.default_rng(0).uniform(-0.3, 0.3, (20, 3, 1)) + np.zeros((20, 3, 40))
        joints[:, 2] += 3 + speed * frame_times(40, 2.0)
        images = np.broadcast_to(np.arange(40, dtype=np.uint16) + 1000 * action, (240, 320, 40))
        scipy.io.savemat(tmp_path / "Inertial" / f"{name}_inertial.mat", {"d_iner": samples})
        scipy.io.savemat(tmp_path / "Skeleton" / f"{name}_skeleton.mat", {"d_skel": joints})
        scipy.io.savemat(tmp_path / "Depth" / f"{name}_depth.mat", {"d_depth": images}, do_compression=True)
    return tmp_path


def test_is_a_motion_with_the_cameras_geometry(made: Path) -> None:
    motion: Motion = UtdMotion(made)
    assert (motion.camera.width, motion.camera.height, motion.camera.depth_scale_m) == (320, 240, 0.001)
    assert motion.imu_rate_hz == 50
    assert motion.duration_s == pytest.approx(1 + 2 + 1 + 2 + 1)


def test_trials_follow_one_another_with_rests_between(made: Path) -> None:
    motion = UtdMotion(made, rest_s=0.5)
    expected = [(0.0, "none"), (0.5, "swipe left"), (2.5, "none"), (3.0, "swipe right"), (5.0, "none")]
    assert motion.activities(99) == [ActivityStart(*start) for start in expected]
    assert motion.activities(3.0) == [ActivityStart(*start) for start in expected[:3]]
    assert [tuple(trial) for trial in motion.trials] == [
        ("a1_s7_t1", 0.5, 2.5, "swipe left"),
        ("a2_s7_t1", 3.0, 5.0, "swipe right"),
    ]


def test_the_imu_is_worn_where_the_data_set_says() -> None:
    assert [place_of(f"a{action}_s1_t1") for action in (1, 21, 22, 27)] == ["wrist", "wrist", "thigh", "thigh"]


def test_imu_is_exact_at_its_samples_linear_between_and_smooth_in_rests(made: Path) -> None:
    motion = UtdMotion(made)
    raw = RAW * np.repeat([9.80665, np.pi / 180], 3)
    times_s = 1 + np.arange(100) / 50
    np.testing.assert_allclose(motion.imu(times_s)[:, :6], raw, rtol=1e-9, atol=1e-9)
    assert np.isnan(motion.imu(times_s)[:, 6:]).all()
    np.testing.assert_allclose(motion.imu(times_s[:-1] + 0.01)[:, :6], (raw[1:] + raw[:-1]) / 2, atol=1e-9)
    rest = motion.imu(np.linspace(2.98, 4.0, 400))[:, 0]
    assert rest[0] == pytest.approx(raw[-1, 0])
    assert rest[-1] == pytest.approx(0)
    for end in (rest[:20], rest[-20:]):
        assert np.ptp(end) < 0.3 * np.ptp(rest) * 20 / 400
    assert np.abs(np.diff(rest)).max() < 3 * np.ptp(rest) / 400
    np.testing.assert_allclose(motion.imu(np.array([0.2]))[:, :6], raw[:1])  # held before the first


def test_depth_frames_are_spread_over_the_trial_and_held_in_rests(made: Path) -> None:
    motion = UtdMotion(made)
    for frame, time_s in enumerate(1 + frame_times(40, 2.0)):
        assert motion.depth(time_s)[120, 160] == 1000 + frame
    assert motion.depth(0.0)[0, 0] == 1000
    assert motion.depth(3.4)[0, 0] == 1039
    assert motion.depth(3.6)[0, 0] == 2000
    assert motion.depth(6.9)[0, 0] == 2039
    assert motion.depth(2.0).dtype == np.uint16
    assert motion.depth(2.0).shape == (240, 320)


def test_radar_follows_the_skeleton_and_rests_with_it(made: Path) -> None:
    motion = UtdMotion(made)
    coming = np.concatenate([motion.radar(t) for t in np.arange(1.3, 2.7, 0.05)])
    coming = coming[coming[:, 4] > 20]
    assert len(coming) > 50
    assert np.median(coming[:, 3]) == pytest.approx(-1, abs=0.2)
    assert np.median(np.linalg.norm(coming[:, :3], axis=1)) == pytest.approx(1.9, abs=0.4)
    for still in (np.arange(3.1, 3.9, 0.05), np.arange(4.2, 5.8, 0.05)):
        assert np.mean([len(motion.radar(t)) for t in still]) < 1
    np.testing.assert_array_equal(motion.radar(1.7), UtdMotion(made).radar(1.7))


def test_a_seed_shuffles_the_order(utd: Path) -> None:
    in_order = [trial.name for trial in UtdMotion(utd, (7,), actions=range(1, 6)).trials]
    shuffled = [trial.name for trial in UtdMotion(utd, (7,), actions=range(1, 6), seed=1).trials]
    assert in_order[:2] == ["a1_s7_t1", "a1_s7_t2"]
    assert in_order != shuffled
    assert sorted(in_order) == sorted(shuffled)


def test_real_trials_are_played_as_recorded(utd: Path) -> None:
    motion = UtdMotion(utd)
    assert len(motion.trials) == 8 * 27 - 1  # a27_s8_t4 was never recorded
    assert {trial.action for trial in motion.trials} == set(ACTIVITIES.values())
    trial = motion.trials[100]
    samples = load(utd, "inertial", trial.name)
    assert trial.end_s - trial.start_s == pytest.approx(len(samples) / 50)
    played = motion.imu(trial.start_s + np.arange(len(samples)) / 50)
    np.testing.assert_allclose(played[:, :3], samples[:, :3] * 9.80665, atol=1e-9)
    np.testing.assert_allclose(played[:, 3:6], np.radians(samples[:, 3:]), atol=1e-9)
    images = load(utd, "depth", trial.name)
    middle = images.shape[2] // 2
    at_s = trial.start_s + frame_times(images.shape[2], trial.end_s - trial.start_s)[middle]
    np.testing.assert_array_equal(motion.depth(at_s), images[..., middle])


def test_simulated_radar_of_a_real_trial_lies_on_the_person_in_its_depth_image(utd: Path) -> None:
    motion = UtdMotion(utd, (7,), actions=(27,), repeats=(1,))
    trial = motion.trials[0]
    found = 0
    for t in np.arange(trial.start_s + 0.2, trial.end_s - 0.2, 0.1):
        image, points = motion.depth(t), motion.radar(t)
        for x, y, z, _, snr in points:
            row, column = round(119.5 - 285.6 * z / y), round(159.5 + 285.6 * x / y)
            if snr > 25 and 10 <= row < 230 and 10 <= column < 310:
                found += 1
                around = image[row - 10 : row + 11, column - 10 : column + 11]
                assert (around > 0).any()
                assert abs(np.median(around[around > 0]) * 0.001 - y) < 0.4
    assert found > 20


def test_missing_trials_are_left_out_and_asking_for_only_them_says_so(utd: Path) -> None:
    assert len(trial_names(utd, range(1, 9))) == 861
    with pytest.raises(SensorNotFound, match=r"no trial of subjects \[8\].*27.*subjects 1-8"):
        UtdMotion(utd, (8,), actions=(27,), repeats=(4,))


def test_what_is_missing_is_named(made: Path, tmp_path: Path) -> None:
    with pytest.raises(SensorNotFound, match=r"nowhere/Inertial: no such folder. Name the folder of UTD-MHAD"):
        UtdMotion(tmp_path / "nowhere")
    gone = made / "Skeleton" / "a2_s7_t1_skeleton.mat"
    gone.unlink()
    with pytest.raises(SensorNotFound, match=r"a2_s7_t1_skeleton.mat: no such file"):
        UtdMotion(made)


@pytest.mark.parametrize("content", [b"", b"not a matrix at all" * 30])
def test_broken_files_are_named(made: Path, content: bytes) -> None:
    (made / "Inertial" / "a1_s7_t1_inertial.mat").write_bytes(content)
    with pytest.raises(SensorNotFound, match=r"a1_s7_t1_inertial.mat: not a file of UTD-MHAD"):
        UtdMotion(made)


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (
            "depth",
            lambda images: images / 1000,
            r"largest of its distances, 1\.039, cannot be right: .* in millimetres, and not",
        ),
        ("depth", lambda images: images * np.uint16(20), "its distances, 20000 to 20780, cannot be right"),
        ("depth", lambda images: images[:, :, :1], "d_depth is too short"),
        ("skeleton", lambda joints: joints * 1000, r"its joints, .* cannot be right: .* in metres"),
        ("skeleton", lambda joints: joints[:19], r"has the shape \(19, 3, 40\), not \(20, 3, n\)"),
        ("inertial", lambda samples: samples * 9.81, r"median of its accelerations, .* in g, and not m/s²"),
        ("inertial", lambda samples: np.where(samples > 1, np.nan, samples), "values of d_iner are not finite"),
    ],
)
def test_what_a_file_of_the_data_set_cannot_hold_is_named(
    made: Path, kind: str, change: Callable[[np.ndarray], np.ndarray], told: str
) -> None:
    path = made / kind.capitalize() / f"a1_s7_t1_{kind}.mat"
    key = {"inertial": "d_iner", "skeleton": "d_skel", "depth": "d_depth"}[kind]
    scipy.io.savemat(path, {key: change(scipy.io.loadmat(path)[key])})
    with pytest.raises(SensorNotFound, match=rf"a1_s7_t1_{kind}\.mat: .*{told}"):
        motion = UtdMotion(made)
        motion.depth(1.5)
        motion.radar(1.5)


def test_distances_that_were_saved_as_floating_point_are_millimetres_still(made: Path) -> None:
    path = made / "Depth" / "a1_s7_t1_depth.mat"
    scipy.io.savemat(path, {"d_depth": scipy.io.loadmat(path)["d_depth"].astype(float)})
    images = load(made, "depth", "a1_s7_t1")
    assert images.dtype == np.uint16 and images[0, 0, 3] == 1003


def test_a_cut_file_and_one_of_another_kind_are_named(made: Path) -> None:
    depth = made / "Depth" / "a1_s7_t1_depth.mat"
    whole = depth.read_bytes()
    depth.write_bytes(whole[:300] + bytes(200) + whole[500:])
    with pytest.raises(SensorNotFound, match=r"a1_s7_t1_depth.mat: not a file"):
        UtdMotion(made).depth(1.5)
    depth.write_bytes(whole[:2000])
    with pytest.raises(SensorNotFound, match=r"a1_s7_t1_depth.mat: not a file"):
        UtdMotion(made).depth(1.5)
    shutil.copy(made / "Inertial" / "a1_s7_t1_inertial.mat", depth)
    with pytest.raises(SensorNotFound, match=r"a1_s7_t1_depth.mat: not a file"):
        UtdMotion(made).depth(1.5)
