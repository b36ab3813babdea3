"""People who act on request, and the takes that a data set plays of them."""

from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.simulation.acting import any_act
from cosmo_runtime.sensors.simulation.activities import ACTIVITIES
from cosmo_runtime.sensors.simulation.activities.pose import standing
from cosmo_runtime.sensors.simulation.activities.scene import Place, Scene
from cosmo_runtime.sensors.simulation.body import RIGHT, Body
from cosmo_runtime.sensors.simulation.person import SimulatedPerson
from cosmo_runtime.sensors.simulation.setting import acted_setting
from cosmo_runtime.sensors.simulation.takes import REST, Takes


@pytest.fixture(scope="module")
def takes() -> Takes:
    return Takes(SimulatedPerson(4, setting=acted_setting(4)), 60.0, seed=4)


def _scene(seed: int) -> Scene:
    place = Place(0.0, 2.8, np.pi)
    before = standing(np.zeros(1), place)[0]
    return Scene(np.random.default_rng(seed), Body(1.7), 1.0, place, (0.5, 0.5), 3.0, 0.7, 0.0, RIGHT, before)


@pytest.mark.parametrize("activity", ["walk", "run on the spot", "wave", "clap", "punch", "bend", NONE])
def test_who_acts_begins_and_ends_standing(activity: str) -> None:
    for seed in range(6):
        scene = _scene(seed)
        motion = any_act(activity, scene.rng)(scene)(np.linspace(0, scene.seconds, 90))
        upright = standing(np.zeros(1), scene.place)[0]
        assert np.abs(motion[0] - upright).max() < 0.1
        assert np.abs(motion[-1] - upright).max() < 0.1
        assert np.abs(motion - upright).max() > 0.15
        assert np.isfinite(motion).all()


def test_every_activity_can_be_acted_and_gestures_differ() -> None:
    for activity in ACTIVITIES:
        assert any_act(activity, np.random.default_rng(0))
    one, other = (any_act(NONE, _scene(seed).rng)(_scene(seed))(np.linspace(0, 3, 60)) for seed in (1, 2))
    assert np.abs(one - other).max() > 0.3


def test_whoever_acts_is_large_in_the_picture_alone_and_faces_the_camera() -> None:
    for seed in range(4):
        image = SimulatedPerson(seed, setting=acted_setting(seed)).depth(0.0)
        rows, columns = np.nonzero(image)
        assert 0.5 < (np.ptp(rows) + 1) / image.shape[0] <= 1
        assert abs(columns.mean() / image.shape[1] - 0.5) < 0.2
        inside = image[rows.min() + 30 : rows.max() - 40, int(columns.mean()) - 3 : int(columns.mean()) + 3]
        assert (inside > 0).mean() > 0.9  # few holes


def test_a_take_shows_an_act_and_a_rest_is_frozen(takes: Takes) -> None:
    starts = takes.activities(60.0)
    assert [start.activity == REST for start in starts] == [i % 2 == 0 for i in range(len(starts))]
    assert {start.activity for start in starts} >= {REST, NONE}
    first, second = takes.takes[:2]
    middle = (first.end_s + second.start_s) / 2
    resting = np.array([first.end_s + 0.1, middle - 0.05, middle + 0.05, second.start_s - 0.1])
    seen = list(takes.depths(resting))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    assert (seen[1] != seen[2]).any()
    assert np.mean([len(points) for points in takes.radars(resting)]) < 2
    acting = np.linspace(first.start_s, first.end_s, 5)[1:-1]
    own_s = acting - first.start_s + first.from_s
    np.testing.assert_array_equal(list(takes.depths(acting)), list(takes._person.depths(own_s)))


def test_the_imu_passes_smoothly_through_a_rest(takes: Takes) -> None:
    first, second = takes.takes[:2]
    force = takes.imu(np.arange(first.end_s - 0.02, second.start_s + 0.02, 0.01))[:, :3]
    assert np.abs(np.diff(force[2:-2], axis=0)).max() < 1.0
    np.testing.assert_allclose(force[0], force[2], atol=2.0)
