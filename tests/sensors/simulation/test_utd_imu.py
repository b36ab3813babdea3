"""The simulated sensor on limbs whose movement is known, and against the real sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmo_runtime.sensors.data_files import TO_SI
from cosmo_runtime.sensors.simulation.inertial import GRAVITY
from cosmo_runtime.sensors.simulation.utd import IMU_RATE_HZ, frame_times, in_room, load, place_of, trial_names
from cosmo_runtime.sensors.simulation.utd_imu import worn_imu

FRAMES, SECONDS = 40, 2.0
FRAMES_S = frame_times(FRAMES, SECONDS)
INSIDE_S = np.arange(0.3, 1.7, 0.02)
DOWN, TO_CAMERA, TO_RIGHT = np.array([0, -1.0, 0]), np.array([0, 0, -1.0]), np.array([1.0, 0, 0])
"""In the axes of the data set: x to the right of somebody who faces the camera, y up, z away from the camera."""


def skeleton(upper_arm: np.ndarray, forearm: np.ndarray) -> np.ndarray:
    """Somebody with these directions of the right arm (frames, 3). All other joints are where they are on average."""
    joints = np.zeros((20, 3, FRAMES))
    joints[:, 2] = 3.0
    for left, right, up_m, aside_m in ((4, 8, 0.4, 0.2), (12, 16, -0.1, 0.1), (13, 17, -0.5, 0.1), (14, 18, -0.9, 0.1)):
        joints[[left, right], 1] += up_m
        joints[left, 0] -= aside_m
        joints[right, 0] += aside_m
    joints[9] = joints[8] + 0.3 * upper_arm.T
    joints[10] = joints[9] + 0.25 * forearm.T
    return joints


def always(direction: np.ndarray) -> np.ndarray:
    return np.tile(direction / np.linalg.norm(direction), (FRAMES, 1))


def turning(first: np.ndarray, to: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """A direction that has turned from one to another, square one by an angle (frames,)."""
    return np.outer(np.cos(angle), first) + np.outer(np.sin(angle), to)


def measured(joints: np.ndarray, place: str = "wrist") -> np.ndarray:
    return worn_imu(joints, SECONDS, INSIDE_S, place, lag_s=0.0)


@pytest.mark.parametrize(
    ("upper_arm", "forearm", "force"),
    [
        (DOWN, DOWN, [GRAVITY, 0, 0]),
        (DOWN, TO_CAMERA, [0, -GRAVITY, 0]),
        (TO_CAMERA, -TO_RIGHT, [0, 0, GRAVITY]),
        (TO_RIGHT, TO_RIGHT, [0, -GRAVITY * 0.5**0.5, GRAVITY * 0.5**0.5]),
    ],
)
def test_an_arm_at_rest_feels_gravity_upward(upper_arm: np.ndarray, forearm: np.ndarray, force: list) -> None:
    still = measured(skeleton(always(upper_arm), always(forearm)))
    np.testing.assert_allclose(still, np.tile([*force, 0, 0, 0], (len(INSIDE_S), 1)), atol=0.01)


def test_a_thigh_at_rest_feels_gravity_upward() -> None:
    joints = skeleton(always(DOWN), always(DOWN))
    np.testing.assert_allclose(
        measured(joints, "thigh")[:, :3], np.tile([GRAVITY, 0, 0], (len(INSIDE_S), 1)), atol=0.01
    )


def test_a_forearm_that_bends_measures_its_rate_and_the_pull_to_the_elbow() -> None:
    rate = 1.2
    forearm = turning(DOWN, TO_CAMERA, 0.3 + rate * FRAMES_S)
    felt = measured(skeleton(always(DOWN), forearm))
    np.testing.assert_allclose(felt[:, 3:], np.tile([0, 0, rate], (len(INSIDE_S), 1)), atol=0.02)
    angle = 0.3 + rate * INSIDE_S
    pull = 0.25 * rate**2
    np.testing.assert_allclose(felt[:, 0], GRAVITY * np.cos(angle) + pull, atol=0.1)
    np.testing.assert_allclose(felt[:, 1], -GRAVITY * np.sin(angle), atol=0.1)
    np.testing.assert_allclose(felt[:, 2], 0, atol=0.01)


def test_a_thigh_that_is_lifted_measures_its_rate_and_the_pull_to_the_hip() -> None:
    rate = 0.7
    joints = skeleton(always(DOWN), always(DOWN))
    joints[17] = joints[16] + 0.4 * turning(DOWN, TO_CAMERA, rate * FRAMES_S).T
    felt = measured(joints, "thigh")
    np.testing.assert_allclose(felt[:, 3:], np.tile([0, 0, rate], (len(INSIDE_S), 1)), atol=0.02)
    np.testing.assert_allclose(felt[:, 0], GRAVITY * np.cos(rate * INSIDE_S) + 0.2 * rate**2, atol=0.03)


def test_what_turns_about_the_forearm_is_measured_along_it() -> None:
    rate = 1.0
    upper_arm = turning(DOWN, TO_RIGHT, rate * FRAMES_S)  # with the forearm held towards the camera
    felt = measured(skeleton(upper_arm, always(TO_CAMERA)))
    middle = np.abs(INSIDE_S - 1) < 0.3  # near the ends the axis has not been pulled for long
    np.testing.assert_allclose(felt[middle, 3:], np.tile([rate, 0, 0], (middle.sum(), 1)), atol=0.03)


@pytest.mark.parametrize("aside", [TO_RIGHT, TO_CAMERA])
def test_a_straight_arm_that_swings_up_measures_its_rate_and_no_twist(aside: np.ndarray) -> None:
    rate = 1.2
    arm = turning(DOWN, aside, rate * FRAMES_S)
    felt = measured(skeleton(arm, arm))
    np.testing.assert_allclose(np.linalg.norm(felt[:, 3:], axis=1), rate, atol=0.02)
    np.testing.assert_allclose(felt[:, 3], 0, atol=0.01)


def test_a_straight_arm_with_a_trackers_noise_does_not_blow_up() -> None:
    arm = always(DOWN)
    joints = skeleton(arm, arm)
    felt = measured(joints + np.random.default_rng(0).normal(0, 0.01, joints.shape))
    assert np.abs(felt[:, 3:]).max() < 3.0
    assert np.abs(felt[:, :3] - [GRAVITY, 0, 0]).max() < 6.0


def test_the_path_begins_and_ends_at_rest() -> None:
    arm = turning(DOWN, TO_CAMERA, 0.5 + 2.0 * FRAMES_S)
    felt = worn_imu(skeleton(always(DOWN), arm), SECONDS, np.array([-0.2, 2.2]), "wrist", lag_s=0.0)
    np.testing.assert_allclose(felt[:, 3:], 0, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(felt[:, :3], axis=1), GRAVITY, atol=0.05)


def test_the_skeleton_lags_behind() -> None:
    joints = skeleton(always(DOWN), turning(DOWN, TO_CAMERA, np.sin(3 * FRAMES_S)))
    late = worn_imu(joints, SECONDS, INSIDE_S, "wrist", lag_s=0.1)
    np.testing.assert_allclose(late, worn_imu(joints, SECONDS, INSIDE_S + 0.1, "wrist", lag_s=0.0))


def test_the_real_sensor_agrees_with_the_skeletons_axes_and_not_with_mirrored_ones(data_dir: Path) -> None:
    """The turn that brings simulated to real forces may mirror. It does so if the skeleton is mirrored itself."""
    folder = data_dir / "utd-mhad"
    product = {False: np.zeros((3, 3)), True: np.zeros((3, 3))}
    for name in trial_names(folder, subjects=(1, 2), actions=range(1, 22), repeats=(1,)):
        real = load(folder, "inertial", name) * TO_SI
        joints = load(folder, "skeleton", name)
        at_s = frame_times(len(real), len(real) / IMU_RATE_HZ)
        for mirrored, sign in ((False, 1.0), (True, -1.0)):
            seen = joints * np.array([sign, 1.0, 1.0])[:, None]
            simulated = worn_imu(seen, len(real) / IMU_RATE_HZ, at_s, place_of(name))
            product[mirrored] += real[:, :3].T @ simulated[:, :3]
    for mirrored, product_of in product.items():
        left, sizes, right = np.linalg.svd(product_of)
        assert sizes[2] > 0.03 * sizes[0]
        assert np.linalg.det(left @ right) == pytest.approx(-1 if mirrored else 1)


def test_pictures_are_mirrored_as_the_skeletons_are(data_dir: Path) -> None:
    """Joints are where the picture shows something at their distance if its columns run against the room's x axis."""
    folder = data_dir / "utd-mhad"
    found = {-1: 0, 1: 0}
    for name in trial_names(folder, subjects=(1, 2), actions=(3, 10), repeats=(1, 2)):
        joints, images = in_room(load(folder, "skeleton", name)), load(folder, "depth", name)
        x, y, z = joints.transpose(2, 0, 1)
        frame = np.arange(len(joints))[:, None]
        for sign in found:
            columns, rows = 159.5 + sign * 285.6 * x / y, 119.5 - 285.6 * z / y
            distance = images[rows.round().astype(int), columns.round().astype(int), frame] / 1000
            found[sign] += int((np.abs(distance - y) < 0.2).sum())
    assert found[-1] > 1.5 * found[1]
