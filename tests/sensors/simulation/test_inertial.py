from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.simulation.inertial import GRAVITY, InertialSensor, WornImu, specific_force_and_rate

TIMES_S = np.arange(0, 4, 0.005)
INSIDE_S = np.arange(0.5, 3.5, 0.01)


def test_a_sensor_at_rest_feels_gravity_upward_in_its_own_axes() -> None:
    turned = Rotation.from_euler("xyz", [0.3, -0.8, 2.0])
    still = specific_force_and_rate(
        TIMES_S, np.ones((len(TIMES_S), 3)), Rotation.concatenate([turned] * len(TIMES_S)), INSIDE_S
    )
    np.testing.assert_allclose(
        still[:, :3], np.tile(turned.inv().apply([0, 0, GRAVITY]), (len(INSIDE_S), 1)), atol=1e-6
    )
    np.testing.assert_allclose(still[:, 3:], 0, atol=1e-9)


def test_free_fall_is_felt_as_nothing() -> None:
    path = np.stack([TIMES_S, 0 * TIMES_S, -GRAVITY / 2 * TIMES_S**2], axis=1)
    falling = specific_force_and_rate(TIMES_S, path, Rotation.identity(len(TIMES_S)), INSIDE_S)
    np.testing.assert_allclose(falling[:, :3], 0, atol=1e-5)


def test_a_sensor_on_a_turntable_feels_the_pull_to_the_centre_and_the_rate() -> None:
    rate, radius = 3.0, 0.4
    angle = rate * TIMES_S
    path = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    felt = specific_force_and_rate(TIMES_S, path, Rotation.from_euler("z", angle[:, None]), INSIDE_S)
    expected = [-radius * rate**2, 0, GRAVITY, 0, 0, rate]
    np.testing.assert_allclose(felt, np.tile(expected, (len(INSIDE_S), 1)), atol=1e-4)


def test_rate_is_in_the_sensors_axes_not_the_rooms() -> None:
    tumbling = Rotation.from_euler("z", 2 * TIMES_S[:, None]) * Rotation.from_euler("x", np.pi / 2)
    felt = specific_force_and_rate(TIMES_S, np.zeros((len(TIMES_S), 3)), tumbling, INSIDE_S)
    np.testing.assert_allclose(felt[:, 3:], np.tile([0, 2, 0], (len(INSIDE_S), 1)), atol=1e-6)


def test_errors_depend_on_the_time_alone() -> None:
    times_s = np.random.default_rng(0).uniform(0, 100, 300)
    ideal = np.zeros((300, 9))
    at_once = InertialSensor(3).measure(times_s, ideal)
    sensor = InertialSensor(3)
    one_by_one = [sensor.measure(times_s[[i]], ideal[[i]])[0] for i in reversed(range(300))]
    np.testing.assert_array_equal(at_once, one_by_one[::-1])
    assert not np.array_equal(at_once, InertialSensor(4).measure(times_s, ideal))


def test_noise_is_white_and_bias_wanders_little() -> None:
    times_s = np.arange(0, 600, 0.01)
    error = InertialSensor(1).measure(times_s, np.zeros((len(times_s), 9)))
    np.testing.assert_allclose(
        np.diff(error, axis=0).std(axis=0) / np.sqrt(2), np.repeat([0.03, 0.004, 0.4], 3), rtol=0.05
    )
    by_minute = error.reshape(10, -1, 9).mean(axis=1)
    assert (np.ptp(by_minute[:, :3], axis=0) < 0.3).all()
    assert (np.ptp(by_minute, axis=0) > 0).all()


def test_what_exceeds_the_range_is_clipped() -> None:
    hit = InertialSensor(0).measure(np.zeros(1), np.full((1, 9), -1e4))
    assert hit[0, 0] == pytest.approx(-16 * GRAVITY)
    assert hit[0, 3] == pytest.approx(-np.radians(2000))


def test_a_worn_imu_measures_the_same_alone_and_among_other_times() -> None:
    def path(times_s: np.ndarray) -> Tuple[np.ndarray, Rotation]:
        angle = 3.0 * times_s
        return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1), Rotation.from_euler("z", angle[:, None])

    imu = WornImu(path, np.array([20.0, 0.0, -43.0]), InertialSensor(3))
    whole = imu.measure(INSIDE_S)
    np.testing.assert_array_equal(
        np.concatenate([imu.measure(INSIDE_S[k : k + 1]) for k in range(120, 40, -1)])[::-1], whole[41:121]
    )
    assert np.median(whole[:, 0]) == pytest.approx(-9.0, abs=0.5)  # towards the centre, in m/s²
    assert np.linalg.norm(whole[:, 6:], axis=1).max() == pytest.approx(np.hypot(20, 43), abs=8)
