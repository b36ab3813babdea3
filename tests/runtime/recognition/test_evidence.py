"""What sensors show of somebody, on windows of real and simulated people, of empty rooms and of IMUs at rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmo_runtime.models.features import depth_features, radar_features
from cosmo_runtime.runtime.recognition.evidence import motion_of_depth, motion_of_imu, motion_of_radar
from cosmo_runtime.sensors.data_files import read_inertial
from cosmo_runtime.sensors.imu.witmotion import WitMotionParser
from cosmo_runtime.sensors.imu.xsens import XsensParser
from cosmo_runtime.sensors.simulation.nobody import EmptyRoom, RestingImu
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson


def _imu_windows(values: np.ndarray, steps: int = 100) -> list[np.ndarray]:
    return [values[start : start + steps, :6] for start in range(0, len(values) - steps + 1, steps)]


def _depth_window(motion: SimulatedPerson | EmptyRoom, start_s: float) -> np.ndarray:
    images = np.stack([motion.depth(start_s + k / 10) for k in range(20)])
    return depth_features(images, (27, 48), 0.001)


def _radar_window(motion: SimulatedPerson | EmptyRoom, start_s: float) -> np.ndarray:
    return radar_features([motion.radar(start_s + k / 20) for k in range(40)], 32)


def test_every_real_imu_that_is_worn_moves(data_dir: Path) -> None:
    for trial in "a1_s1_t1", "a4_s2_t2", "a15_s3_t1", "a23_s4_t1", "a25_s5_t3", "a16_s6_t4":
        path = data_dir / "utd-mhad" / "Inertial" / f"{trial}_inertial.mat"
        values = read_inertial(path, "d_iner", "UTD-MHAD") * np.repeat([9.80665, np.pi / 180], 3)
        assert all(motion_of_imu(window) > 2 for window in _imu_windows(values))


def test_real_imus_at_rest_do_not(data_dir: Path) -> None:
    capture = (data_dir / "captures" / "witmotion_wt901_first_half.bin").read_bytes()
    values = np.array([reading.values for reading in WitMotionParser().feed(capture, 0)])
    windows = _imu_windows(values)
    assert len(windows) == 10
    assert max(map(motion_of_imu, windows)) < 0.5


def test_simulated_imus_at_rest_do_not_even_where_the_table_is_knocked() -> None:
    for seed in range(12):
        times_s = np.arange(0, 240, 0.02)
        windows = _imu_windows(RestingImu(seed).measure(times_s)[:, :6])
        assert max(map(motion_of_imu, windows)) < 1


def test_a_knock_is_no_motion_and_shaking_is() -> None:
    still = np.random.default_rng(0).normal(0, 0.01, (100, 6))
    knocked, shaken = still.copy(), still.copy()
    knocked[30:40] += np.random.default_rng(1).normal(0, 3, (10, 6))
    shaken[20:] += np.random.default_rng(1).normal(0, 0.5, (80, 6))
    assert motion_of_imu(still) < 1
    assert motion_of_imu(knocked) < 1
    assert motion_of_imu(shaken) > 2
    assert motion_of_imu(shaken[:, :3]) > 2  # an accelerometer alone


def test_an_empty_room_shows_nobody() -> None:
    for seed in range(12):
        room = EmptyRoom(seed, HALF_CAMERA)
        start_s = 40.0 * (seed % 2)
        assert motion_of_depth(_depth_window(room, start_s)) < 1
        assert motion_of_radar(_radar_window(room, start_s)) < 1


@pytest.mark.parametrize("activity", ["walk", "fall", "squat", "get up"])
def test_who_moves_is_seen_by_camera_and_radar(activity: str) -> None:
    for seed in range(3):
        person = SimulatedPerson(seed, HALF_CAMERA)
        start_s = next(start.start_s for start in person.activities(120) if start.activity == activity) + 0.5
        assert motion_of_depth(_depth_window(person, start_s)) >= 1
        assert motion_of_radar(_radar_window(person, start_s)) >= 1


def test_one_block_that_flickers_is_nobody_and_three_side_by_side_are_somebody() -> None:
    window = np.full((20, 8, 10), 3.0, np.float32)
    flickering = window.copy()
    flickering[10:, 4, 4] = 2.0
    assert motion_of_depth(flickering) < 1
    flickering[10:, 1, 8] = 2.0
    flickering[10:, 6, 1] = 2.0
    assert motion_of_depth(flickering) < 1
    side_by_side = window.copy()
    side_by_side[10:, 3:6, 4] = 2.0
    assert motion_of_depth(side_by_side) >= 1
    assert motion_of_depth(np.zeros_like(window)) == 0


def test_who_comes_before_a_background_that_was_cut_away_is_seen() -> None:
    window = np.zeros((20, 8, 10), np.float32)
    window[10:, 2:6, 4] = 2.5
    assert motion_of_depth(window) >= 1


def test_a_radar_that_sees_no_points_or_scattered_ones_sees_nobody() -> None:
    window = np.zeros((40, 8, 5), np.float32)
    assert motion_of_radar(window) == 0
    window[:, 0, :2] = np.random.default_rng(0).uniform([-4, 0.5], [4, 6], (40, 2))
    window[:, 0, 3:] = 0.13, 15
    scattered = motion_of_radar(window[:12])
    window[:, 0, :2] = np.random.default_rng(0).normal([0.3, 2.6], 0.1, (40, 2))
    assert scattered < 1 <= motion_of_radar(window)
    window[0, 0, :2] = 1e9  # what a radar cannot have measured does not fill the memory
    assert motion_of_radar(window) >= 1


def test_echoes_of_a_wall_show_nobody() -> None:
    window = np.zeros((40, 8, 5), np.float32)
    window[..., :3] = np.random.default_rng(0).normal([0.3, 2.6, 0], 0.1, (40, 8, 3))
    window[..., 4] = 30
    assert motion_of_radar(window) == 0
    window[:, 0, 3] = -0.13
    assert motion_of_radar(window) >= 1


def test_frames_of_a_real_xsens_at_rest_are_still(data_dir: Path) -> None:
    lines = (data_dir / "captures" / "xsens_mti300_frames.hex").read_text().splitlines()
    frames = {name: bytes.fromhex(data) for name, _, data in map(str.split, lines)}
    readings = XsensParser().feed(frames["test_parse_mdata2_full"] * 100, 0)
    if readings:  # the same frame again and again
        assert motion_of_imu(np.array([reading.values for reading in readings])) < 0.01
