from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cosmo_runtime.sensors.simulation.activities import ACTIVITIES
from cosmo_runtime.sensors.simulation.body import FOREARM, HEAD, PELVIS
from cosmo_runtime.sensors.simulation.motion import Camera, Motion
from cosmo_runtime.sensors.simulation.person import CAMERA, SimulatedPerson

SMALL = Camera(240, 135, 126.45, 126.45, 119.5, 67.0, 15.0, 0.001)
NAMES = {
    *("walk", "run on the spot", "sit down", "stand up", "squat", "jump", "wave", "clap", "punch", "bend", "fall"),
    *("get up", "stand still"),
}


def spans(person: SimulatedPerson, until_s: float) -> list:
    """Activities with their ends: (name, start, end)."""
    starts = person.activities(until_s)
    return [(now.activity, now.start_s, after.start_s) for now, after in zip(starts, starts[1:])]


def first(person: SimulatedPerson, activity: str) -> tuple:
    return next((start, end) for name, start, end in spans(person, 200) if name == activity)


@pytest.fixture(scope="module")
def person() -> SimulatedPerson:
    return SimulatedPerson(3, SMALL)


def test_is_a_motion() -> None:
    motion: Motion = SimulatedPerson(0)
    assert motion.camera == CAMERA
    assert (motion.imu_rate_hz, motion.radar_rate_hz, motion.duration_s) == (100, 20, np.inf)


def test_does_every_activity_within_two_minutes_and_about_as_often() -> None:
    assert set(ACTIVITIES) == NAMES
    for seed in range(3):
        names = [name for name, _, _ in spans(SimulatedPerson(seed, SMALL), 120)]
        assert set(names) == NAMES
    names = [name for name, _, _ in spans(SimulatedPerson(1), 1500)]
    counts = [names.count(name) for name in NAMES]
    assert max(counts) - min(counts) <= 1


def test_activities_last_long_enough_for_windows_and_rising_follows_what_it_must(person: SimulatedPerson) -> None:
    plan = spans(person, 600)
    assert all(3.2 <= end - start <= 8 for _, start, end in plan)
    for (before, _, _), (after, _, _) in zip(plan, plan[1:]):
        assert before != after
        assert (before == "sit down") == (after == "stand up")
        assert (before == "fall") == (after == "get up")


def test_the_plan_reaches_as_far_as_asked_and_ends_with_the_motion() -> None:
    person = SimulatedPerson(2, SMALL, duration_s=30)
    assert person.activities(0.1)[0].start_s == 0
    assert len(person.activities(0.1)) == 1
    assert 20 < person.activities(1e9)[-1].start_s < 30


def test_the_same_time_gives_the_same_whatever_was_asked_before() -> None:
    times_s = [71.3, 2.05, 40.0, 2.05, 8.888]
    forward, backward = SimulatedPerson(5, SMALL), SimulatedPerson(5, SMALL)
    backward.activities(500)
    asked = [(forward.imu(np.array([t])), forward.depth(t), forward.radar(t)) for t in times_s]
    again = [(backward.imu(np.array([t])), backward.depth(t), backward.radar(t)) for t in reversed(times_s)]
    for one, other in zip(asked, reversed(again)):
        for a, b in zip(one, other):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(forward.imu(np.array(times_s)), np.concatenate([imu for imu, _, _ in asked]))


def test_threads_may_ask_at_once() -> None:
    alone, shared = SimulatedPerson(6, SMALL), SimulatedPerson(6, SMALL)
    times_s = np.arange(0, 30, 0.5)
    answers: dict = {}

    def ask(part: int) -> None:
        answers[part] = [shared.imu(times_s[part::4]), [shared.radar(t) for t in times_s[part::4]]]

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for part in range(4):
        np.testing.assert_array_equal(answers[part][0], alone.imu(times_s[part::4]))
        for t, points in zip(times_s[part::4], answers[part][1]):
            np.testing.assert_array_equal(points, alone.radar(t))


def test_people_differ() -> None:
    one, other = SimulatedPerson(1, SMALL), SimulatedPerson(2, SMALL)
    assert not np.array_equal(one.depth(3), other.depth(3))
    assert not np.allclose(one.imu(np.array([3.0])), other.imu(np.array([3.0])))
    heads = [SimulatedPerson(seed, SMALL).frames(np.zeros(1)).positions[0, HEAD] for seed in range(20)]
    assert np.std(heads, axis=0).min() > 0.05


@pytest.mark.parametrize("seed", range(3))
def test_a_body_moves_smoothly_without_jumps(seed: int) -> None:
    positions = SimulatedPerson(seed, SMALL).frames(np.arange(0, 120, 0.01)).positions
    speeds = np.linalg.norm(np.diff(positions, axis=0), axis=2) / 0.01
    assert speeds.max() < 12
    assert np.linalg.norm(np.diff(positions[:, PELVIS], axis=0), axis=1).max() / 0.01 < 5


def test_who_stands_still_feels_gravity_and_little_else() -> None:
    for seed in range(4):
        person = SimulatedPerson(seed, SMALL)
        start, end = first(person, "stand still")
        imu = person.imu(np.arange(start + 1.5, end, 0.01))
        assert np.median(np.linalg.norm(imu[:, :3], axis=1)) == pytest.approx(9.81, abs=0.25)
        assert np.percentile(np.linalg.norm(imu[:, 3:6], axis=1), 25) < 0.15
        assert np.percentile(imu[:, 0], 75) > 8.5  # the arm hangs, x points to the elbow


def test_acceleration_tells_activities_apart() -> None:
    spread: dict = {}
    for seed in range(3):
        person = SimulatedPerson(seed, SMALL)
        for name, start, end in spans(person, 85):
            force = np.linalg.norm(person.imu(np.arange(start + 1, end, 0.02))[:, :3], axis=1)
            spread.setdefault(name, []).append(force.std())
    middle = {name: np.median(values) for name, values in spread.items()}
    assert middle["stand still"] < 0.6
    assert 1 < middle["walk"] < 5
    assert middle["walk"] < middle["run on the spot"] < middle["jump"]
    assert middle["stand up"] < 2 < middle["punch"]


def test_the_gyroscope_integrates_to_how_the_forearm_turned(person: SimulatedPerson) -> None:
    start, _ = first(person, "squat")
    times_s = np.arange(start, start + 3, 0.005)
    rates = person.imu(times_s)[:, 3:6]
    turned = Rotation.identity()
    for rate in (rates[1:] + rates[:-1]) / 2:
        turned = turned * Rotation.from_rotvec(rate * 0.005)
    ends = person.frames(times_s[[0, -1]])
    errors = []
    for side in (0, 1):
        forearm = Rotation.from_matrix(ends.rotations[:, FOREARM[side]])
        errors.append(abs((forearm[0].inv() * forearm[1]).magnitude() - turned.magnitude()))
    assert min(errors) < 0.06


def test_on_the_thigh_gravity_points_along_it_standing_and_out_of_its_front_sitting(person: SimulatedPerson) -> None:
    start, _ = first(person, "stand still")
    standing = person.imu(np.arange(start + 1, start + 3, 0.01), "thigh")[:, :3].mean(axis=0)
    start, _ = first(person, "sit down")
    sitting = person.imu(np.arange(start + 2.5, start + 3.5, 0.01), "thigh")[:, :3].mean(axis=0)
    assert standing[0] > 9.0  # x points up to the hip
    assert abs(sitting[0]) < 4
    assert np.linalg.norm(sitting[1:]) > 9.0


def test_wrist_and_thigh_are_two_devices_with_noise_of_their_own(person: SimulatedPerson) -> None:
    start, _ = first(person, "stand still")
    times_s = np.arange(start + 1, start + 3, 0.01)
    wrist, thigh = (person.imu(times_s, place)[:, 3:6] for place in person.imu_places)
    assert abs(np.corrcoef(np.diff(wrist[:, 0]), np.diff(thigh[:, 0]))[0, 1]) < 0.5


def test_the_magnetic_field_is_the_earths_and_turns_with_the_wrist(person: SimulatedPerson) -> None:
    field = person.imu(np.arange(0, 60, 0.05))[:, 6:]
    strength = np.linalg.norm(field, axis=1)
    assert 40 < strength.mean() < 56
    assert strength.std() < 2
    assert field.std(axis=0).max() > 5


def test_depth_shows_the_person_where_the_body_is_and_the_room_behind(person: SimulatedPerson) -> None:
    for time_s in np.arange(1, 60, 2.9):
        body = person.frames(np.array([time_s]))
        x, y, z = body.positions[0, PELVIS]
        column = round(SMALL.cx + SMALL.fx * x / y)
        row = round(SMALL.cy - SMALL.fy * (z - 1.1) / y)
        if not (3 < column < 237 and 3 < row < 132):
            continue
        picture = person.depth(time_s)
        here = picture[row - 2 : row + 3, column - 2 : column + 3]
        assert np.median(here[here > 0]) * 0.001 < y + 0.1  # the body, or a limb before it
        assert np.median(here[here > 0]) * 0.001 > y - 1.2
        assert (picture > (y + 0.3) * 1000).mean() > 0.05
        assert (picture == 0).mean() < 0.15


def test_radar_sees_who_comes_and_goes_and_hardly_who_rests() -> None:
    person = SimulatedPerson(4, SMALL)
    start, end = first(person, "walk")
    walking = np.arange(start + 0.8, end - 0.8, 0.1)
    agree, counts = [], []
    for t in walking:
        before, after = person.frames(t + np.array([-0.05, 0.05])).positions[:, PELVIS] - (0, 0, 1.1)
        speed = (np.linalg.norm(after) - np.linalg.norm(before)) / 0.1
        points = person.radar(t)
        counts.append(len(points))
        if abs(speed) > 0.4 and len(points):
            agree.append(np.sign(np.median(points[:, 3])) == np.sign(speed))
    assert np.mean(agree) > 0.9
    assert 5 < np.mean(counts) < 50
    start, end = first(person, "sit down")
    assert np.mean([len(person.radar(t)) for t in np.arange(end - 1, end, 0.05)]) < 2


def test_radar_points_lie_on_the_body() -> None:
    person = SimulatedPerson(4, SMALL)
    start, end = first(person, "walk")
    away = []
    for t in np.arange(start + 1, end - 1, 0.1):
        points = person.radar(t)
        strong = points[points[:, 4] > 20, :3]
        capsules = person.frames(np.array([t])).capsules[0].reshape(-1, 3) - (0, 0, 1.1)
        away += np.linalg.norm(strong[:, None] - capsules, axis=2).min(axis=1).tolist()
    assert len(away) > 100
    assert np.median(away) < 0.25


def test_who_falls_lies_low_in_view_and_gets_up_again() -> None:
    for seed in range(6):
        person = SimulatedPerson(seed, SMALL)
        for name, _, end in spans(person, 150):
            pelvis, head = person.frames(np.array([end - 0.05])).positions[0, [PELVIS, HEAD]]
            if name == "fall":
                assert head[2] < 0.5
                assert pelvis[2] < 0.45
                assert abs(head[0]) < 0.75 * head[1]
                assert 2 < head[1] < 4.7
            elif name == "get up":
                assert head[2] > 1.2
