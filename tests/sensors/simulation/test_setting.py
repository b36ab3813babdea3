from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.simulation.person import CAMERA, SimulatedPerson
from cosmo_runtime.sensors.simulation.setting import Setting, any_setting

GRAVITY = 9.80665
SMALL = CAMERA._replace(width=96, height=54, fx=50.6, fy=50.6, cx=47.5, cy=26.5)


def test_the_usual_setting_is_that_of_the_shipped_rig() -> None:
    plain, set_up = SimulatedPerson(3, SMALL), SimulatedPerson(3, setting=Setting(SMALL))
    np.testing.assert_array_equal(plain.depth(4.0), set_up.depth(4.0))
    np.testing.assert_array_equal(plain.radar(4.0), set_up.radar(4.0))
    times_s = np.arange(0, 1, 0.05)
    np.testing.assert_array_equal(plain.imu(times_s), set_up.imu(times_s))


def test_many_times_at_once_are_the_same_as_one_by_one() -> None:
    person = SimulatedPerson(3, SMALL)
    times_s = np.array([1.0, 4.2, 9.9])
    for time_s, image, points in zip(times_s, person.depths(times_s), person.radars(times_s)):
        np.testing.assert_array_equal(image, person.depth(time_s))
        np.testing.assert_array_equal(points, person.radar(time_s))


def test_a_rig_that_looks_down_sees_the_person_higher_up_and_as_far() -> None:
    level, down = (SimulatedPerson(3, setting=Setting(SMALL, pitch=pitch, room=False)).depth(0.0) for pitch in (0, 0.2))
    rows = [np.nonzero(image)[0].mean() for image in (level, down)]
    assert rows[0] - rows[1] == pytest.approx(50.6 * 0.2, rel=0.3)
    assert np.median(down[down > 0]) == pytest.approx(np.median(level[level > 0]), rel=0.1)


def test_without_a_room_only_the_person_is_seen_and_an_empty_room_has_nobody() -> None:
    bare, furnished = (SimulatedPerson(3, setting=Setting(SMALL, room=room)) for room in (False, True))
    assert 0.01 < (bare.depth(0.0) > 0).mean() < 0.4
    assert not bare.empty_room(0.0).any()
    assert (furnished.empty_room(0.0) > 0).mean() > 0.9
    seen = bare.depth(0.0) > 0
    assert np.median(furnished.empty_room(0.0)[seen].astype(int) - furnished.depth(0.0)[seen]) > 200


def test_the_sensor_can_be_worn_in_any_direction() -> None:
    turn = Rotation.from_euler("xyz", [0.3, -1.0, 2.0])
    times_s = np.arange(0, 2, 0.05)
    usual, turned = (
        SimulatedPerson(3, setting=Setting(SMALL, wrist=w)).imu(times_s) for w in (Rotation.identity(), turn)
    )
    np.testing.assert_allclose(turn.apply(turned[:, :3]), usual[:, :3], atol=1.0)
    assert np.abs(turned[:, :3] - usual[:, :3]).max() > 3


def test_brisk_people_pause_between_short_activities_of_many_ways() -> None:
    person = SimulatedPerson(3, setting=Setting(SMALL, brisk=True))
    starts = person.activities(120.0)
    names = [start.activity for start in starts]
    lasting = np.diff([start.start_s for start in starts])
    assert {"walk", "fall", "get up", "sit down", "stand up"} <= set(names)
    assert all("stand still" in (one, after) or one in ("sit down", "fall") for one, after in zip(names, names[1:]))
    assert np.median(lasting) < 3.5
    assert np.isfinite(person.imu(np.arange(0, 120, 0.5))).all()


def test_settings_differ_and_what_is_held_fixed_does_not() -> None:
    drawn = [any_setting(seed) for seed in range(40)]
    fixed = [any_setting(seed, camera=False, rotation=False, room=False, brisk=False) for seed in range(40)]
    assert len({setting.height_m for setting in drawn}) == 40
    assert {setting.room for setting in drawn} == {setting.brisk for setting in drawn} == {True, False}
    assert all(0.7 <= setting.height_m <= 1.7 and abs(setting.pitch) < 0.6 for setting in drawn)
    assert {(setting.height_m, setting.pitch, setting.room, setting.brisk) for setting in fixed} == {
        (1.1, 0.0, True, False)
    }
    assert all(setting.wrist.magnitude() == 0 for setting in fixed)
    assert len({setting.camera for setting in fixed}) == 1
