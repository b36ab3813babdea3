from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.sensors.simulation.returns import MAX_POINTS, RANGE_BIN_M, SPEED_BIN_MPS, detect


def frames(centre: tuple, velocity: tuple, radius: float = 0.15, count: int = 60) -> np.ndarray:
    """Detections of an upright limb in many frames, weak ones (false alarms) left out."""
    capsule = np.array([[[0, 0, -0.3], [0, 0, 0.3]]]) + centre
    speeds = np.tile(np.array(velocity, float), (1, 2, 1))
    points = [detect(capsule, speeds, np.array([radius]), np.random.default_rng(k)) for k in range(count)]
    found = np.concatenate(points)
    return found[found[:, 4] > 20]


def test_a_limb_is_found_where_it_is() -> None:
    found = frames((1.0, 2.0, 0.2), (0, 1, 0))
    assert len(found) > 50
    np.testing.assert_allclose(np.median(found[:, :3], axis=0), [0.93, 1.87, 0.19], atol=0.08)
    ranges = np.linalg.norm(found[:, :3], axis=1)
    np.testing.assert_allclose((ranges / RANGE_BIN_M) % 1, 0.5, atol=1e-3)


@pytest.mark.parametrize(("velocity", "radial"), [((0, 1.5, 0), 1.5), ((0, -1.5, 0), -1.5), ((0, -0.9, 0), -0.9)])
def test_receding_is_positive_and_speeds_fall_into_bins(velocity: tuple, radial: float) -> None:
    speeds = frames((0, 3, 0), velocity)[:, 3]
    assert np.median(speeds) == pytest.approx(radial, abs=SPEED_BIN_MPS / 2 + 0.02)
    np.testing.assert_allclose(speeds / SPEED_BIN_MPS, np.round(speeds / SPEED_BIN_MPS), atol=1e-4)


def test_movement_across_has_no_radial_speed_and_is_removed_as_clutter() -> None:
    assert len(frames((0, 3, 0), (2, 0, 0))) < 5


def test_speeds_beyond_the_chirps_limit_alias() -> None:
    assert np.median(frames((0, 3, 0), (0, 6.0, 0))[:, 3]) == pytest.approx(6.0 - 10.4, abs=0.1)
    assert np.median(frames((0, 3, 0), (0, -6.0, 0))[:, 3]) == pytest.approx(-6.0 + 10.4, abs=0.1)


def test_what_stands_still_vanishes() -> None:
    still, swaying = frames((0, 2, 0), (0, 0, 0)), frames((0, 2, 0), (0, 0.03, 0))
    assert len(still) == len(swaying) == 0


def test_power_falls_with_the_fourth_power_of_range_and_rises_with_size() -> None:
    def snr(distance: float, radius: float = 0.15) -> float:
        found = frames((0, distance, 0), (0, 1, 0), radius)
        return float(10 * np.log10(np.mean(10 ** (found[:, 4] / 10))))

    assert snr(2) - snr(4) == pytest.approx(40 * np.log10(2), abs=2.5)
    assert snr(3, 0.2) > snr(3, 0.05) + 2


def test_weak_strong_and_many() -> None:
    rng = np.random.default_rng(0)
    crowd = rng.uniform([-1, 1, -0.5], [1, 3, 0.5], (60, 2, 3))
    points = detect(crowd, rng.normal(0, 2, (60, 2, 3)), np.full(60, 0.1), rng)
    assert points.dtype == np.float32
    assert points.shape == (MAX_POINTS, 5)
    assert (np.diff(points[:, 4]) <= 0).all()
    assert points[:, 4].min() >= 13


def test_the_view_ends_at_its_angles_and_its_range() -> None:
    assert len(frames((3, 0.5, 0), (1, 0, 0))) == 0
    assert len(frames((0, 6, 0), (0, 1, 0), radius=0.8)) > 50
    assert len(frames((0, 7.5, 0), (0, 1, 0), radius=0.8)) == 0


def test_a_few_false_alarms_and_no_points_are_frames_too() -> None:
    away = np.array([[[0.0, 50, 0], [0, 50, 1]]])
    counts = [len(detect(away, away * 0, np.array([0.1]), np.random.default_rng(k))) for k in range(400)]
    assert 0.02 < np.mean(counts) < 0.4
    assert min(counts) == 0
    assert detect(away, away * 0, np.array([0.1]), np.random.default_rng(0)).shape[1] == 5
