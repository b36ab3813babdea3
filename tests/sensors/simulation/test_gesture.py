"""Gestures without a name."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.sensors.simulation.activities.pose import standing
from cosmo_runtime.sensors.simulation.activities.scene import Place, Scene
from cosmo_runtime.sensors.simulation.body import RIGHT, Body
from cosmo_runtime.sensors.simulation.gesture import gesture


def _gesture(seed: int) -> np.ndarray:
    place = Place(0.0, 2.8, np.pi)
    before = standing(np.zeros(1), place)[0]
    scene = Scene(np.random.default_rng(seed), Body(1.7), 1.0, place, (0.5, 0.5), 3.0, 0.7, 0.0, RIGHT, before)
    return gesture(scene)(np.linspace(0, 3, 60))


def test_gestures_differ_and_the_same_seed_repeats_one() -> None:
    assert np.abs(_gesture(1) - _gesture(2)).max() > 0.3
    np.testing.assert_array_equal(_gesture(1), _gesture(1))


def test_a_gesture_moves_an_arm_far_and_the_feet_stay_on_the_floor() -> None:
    for seed in range(8):
        motion = _gesture(seed)
        assert np.ptp(motion, axis=0).max() > 0.5
        assert np.isfinite(motion).all()
        feet = Body(1.7).frames(motion).positions[:, -2:, 2].min(axis=1)
        assert feet.max() < 0.12
