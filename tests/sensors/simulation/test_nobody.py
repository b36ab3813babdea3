"""Rooms with nobody in them, and IMUs on a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmo_runtime.names import NOBODY
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.data_files import read_inertial
from cosmo_runtime.sensors.events import Sample, Truth
from cosmo_runtime.sensors.imu.witmotion import WitMotionParser
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.motion import Camera, Motion
from cosmo_runtime.sensors.simulation.nobody import EmptyRoom, RestingImu, Unworn
from cosmo_runtime.sensors.simulation.offline import events
from cosmo_runtime.sensors.simulation.person import SimulatedPerson

SMALL = Camera(240, 135, 126.45, 126.45, 119.5, 67.0, 15.0, 0.001)


def test_an_empty_room_is_a_motion_in_which_there_is_nobody() -> None:
    motion: Motion = EmptyRoom(1, SMALL)
    assert [tuple(start) for start in motion.activities(9)] == [(0.0, NOBODY)]
    assert motion.activities(0) == []


def test_the_same_time_is_always_the_same_and_another_seed_is_another_room() -> None:
    one, same, other = EmptyRoom(1, SMALL), EmptyRoom(1, SMALL), EmptyRoom(2, SMALL)
    times = np.arange(500, 520) / 7
    np.testing.assert_array_equal(one.imu(times)[10:], same.imu(times[10:]))
    np.testing.assert_array_equal(one.depth(3.0), same.depth(3.0))
    np.testing.assert_array_equal(one.radar(3.0), same.radar(3.0))
    assert np.abs(one.imu(times).mean(0) - other.imu(times).mean(0)).max() > 0.01
    assert np.mean(one.depth(3.0) == other.depth(3.0)) < 0.5


def test_nothing_in_it_moves() -> None:
    for seed in range(6):
        room = EmptyRoom(seed, SMALL)
        images = np.stack([room.depth(k / 15) for k in range(30)]).astype(float)
        seen = (images > 0).all(0)
        early, late = images[:15, seen].mean(0), images[15:, seen].mean(0)
        assert np.quantile(np.abs(late - early), 0.99) < 120  # millimetres, of which noise has 30
        frames = [room.radar(k / 20) for k in range(400)]
        assert np.mean([len(frame) for frame in frames]) < 0.4
        assert max(len(frame) for frame in frames) < 5


def test_there_are_bare_walls_and_furnished_rooms() -> None:
    depths = np.array([np.median(EmptyRoom(seed, SMALL).depth(0.0)) for seed in range(20)])
    assert depths.min() < 2700
    assert depths.max() > 4000


def test_an_imu_at_rest_measures_gravity_and_the_noise_of_a_real_one(data_dir: Path) -> None:
    parser = WitMotionParser()
    capture = (data_dir / "captures" / "witmotion_wt901_first_half.bin").read_bytes()
    real = np.array([reading.values[:6] for reading in parser.feed(capture, 0)])
    simulated = np.array([RestingImu(seed).measure(np.arange(0, 5, 0.01))[:, :6].std(0) for seed in range(20)])
    assert (real.std(0)[:3] < simulated[:, :3].max(0)).all()
    assert np.median(simulated[:, 3:]) < 2 * real.std(0)[3:].max()
    assert simulated.min() > 0
    assert np.quantile(simulated, 0.9) < 0.1  # of the others the table was knocked
    for seed in range(20):
        force = RestingImu(seed).measure(np.arange(0, 5, 0.01))[:, :3]
        assert np.linalg.norm(force.mean(0)) == pytest.approx(9.80665, rel=0.06)


def test_most_tables_are_flat_and_each_is_knocked_now_and_then() -> None:
    upright = [abs(RestingImu(seed).measure(np.arange(0, 1, 0.01))[:, 2].mean()) > 9 for seed in range(60)]
    assert 0.6 < np.mean(upright) < 0.9
    force = RestingImu(3).measure(np.arange(0, 600, 0.02))[:, :3]
    shaken = np.abs(force - np.median(force, 0)).max(1) > 0.25
    knocked_seconds = {int(k * 0.02) for k in np.flatnonzero(shaken)}
    assert 2 <= len(knocked_seconds) <= 30


def test_who_left_the_imu_on_the_table_is_seen_and_not_felt() -> None:
    unworn, worn = Unworn(5, SMALL), SimulatedPerson(5, SMALL)
    assert unworn.activities(60) == worn.activities(60)
    np.testing.assert_array_equal(unworn.depth(8.0), worn.depth(8.0))
    np.testing.assert_array_equal(unworn.radar(8.0), worn.radar(8.0))
    times = np.arange(0, 20, 0.01)
    for place in unworn.imu_places:
        assert np.median(np.abs(np.diff(unworn.imu(times, place)[:, 3:6], axis=0))) < 0.01
    assert np.abs(unworn.imu(times, "wrist").mean(0) - unworn.imu(times, "thigh").mean(0))[:3].max() > 0.01
    assert worn.imu(times)[:, 3:6].std() > 0.3


def test_an_empty_room_passes_the_drivers() -> None:
    try:
        made = list(events(EmptyRoom(4, SMALL), 1.0, DepthConfig(decimation=2)))
    except SensorError as error:
        pytest.skip(str(error))
    assert [event.activity for event in made if isinstance(event, Truth)] == [NOBODY]
    assert {event.sensor for event in made if isinstance(event, Sample)} == {"imu", "depth", "radar"}


def test_people_of_a_real_data_set_never_keep_a_worn_imu_as_still(data_dir: Path) -> None:
    still = np.sqrt(RestingImu(0).measure(np.arange(0, 3, 0.02))[:, 3:6].var(0).sum())
    for trial in "a1_s1_t1", "a16_s3_t2", "a24_s5_t1":
        path = data_dir / "utd-mhad" / "Inertial" / f"{trial}_inertial.mat"
        rate = np.radians(read_inertial(path, "d_iner", "UTD-MHAD")[:, 3:6])
        assert np.sqrt(rate.var(0).sum()) > 10 * still
