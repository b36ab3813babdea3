from __future__ import annotations

from typing import Optional

import numpy as np
import pytest

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.recognition.presence import FALL_S, PATIENCE_S, Presence, PresenceWatch

_NS = 10**9


class _Room:
    """Shows a watch windows in which some sensors move."""

    def __init__(self, spec: ModelSpec, watch: Optional[PresenceWatch] = None) -> None:
        self.watch = watch or PresenceWatch(spec)
        self._spec = spec

    def look(self, at_s: float, moving: str = "", present: str = "imu depth radar") -> Presence:
        inputs = {m.sensor: np.zeros((self._spec.steps(m), *m.shape), np.float32) for m in self._spec.modalities}
        if "imu" in moving:
            inputs["imu"][::2] = 1.0
        if "depth" in moving:
            inputs["depth"][len(inputs["depth"]) // 2 :] = 2.0
        if "radar" in moving:
            inputs["radar"][...] = 1.0
        there = {name: name in present for name in self._spec.sensors}
        return self.watch.look(inputs, there, round(at_s * _NS))


@pytest.fixture
def room(spec: ModelSpec) -> _Room:
    return _Room(spec)


def test_nobody_is_there_before_the_first_evidence(room: _Room) -> None:
    assert room.look(1) == Presence(someone=False, moving=False, unworn=frozenset({"imu"}))


@pytest.mark.parametrize("sensor", ["imu", "depth", "radar"])
def test_each_sensor_alone_is_evidence_for_a_while(room: _Room, sensor: str) -> None:
    first = room.look(1, moving=sensor)
    assert first.someone
    assert first.moving
    assert (not first.unworn) == (sensor == "imu")
    assert room.look(1 + FALL_S).moving
    later = room.look(1 + FALL_S + 0.5)
    assert (later.someone, later.moving) == (True, False)
    assert room.look(1 + PATIENCE_S).someone
    assert room.look(1 + PATIENCE_S + 0.5) == Presence(False, False, frozenset({"imu"}))


def test_an_imu_on_the_table_is_not_worn_however_much_somebody_else_moves(room: _Room) -> None:
    for at_s in range(1, 100):
        seen = room.look(at_s, moving="depth radar")
        assert seen.unworn == {"imu"}
        assert seen.someone
        assert seen.moving


def test_an_absent_imu_is_absent_and_not_unworn(room: _Room) -> None:
    assert room.look(1, present="depth radar") == Presence(False, False, frozenset())


def test_windows_that_go_back_in_time_begin_anew(room: _Room) -> None:
    assert room.look(5, moving="imu").someone
    assert not room.look(4).someone


def test_who_takes_over_remembers(spec: ModelSpec, room: _Room) -> None:
    room.look(5, moving="imu")
    after = PresenceWatch(spec)
    after.take_over(room.watch)
    assert not _Room(spec, after).look(6).unworn


def test_sensors_that_can_tell_nothing_leave_everything_to_the_model(spec: ModelSpec) -> None:
    modality = spec.modalities[0].model_copy(update={"kind": "accelerometer"})
    blind = spec.model_copy(update={"modalities": (modality,), "quality": (1.0,)})
    seen = PresenceWatch(blind).look({"imu": np.zeros((20, 6), np.float32)}, {"imu": True}, _NS)
    assert seen == Presence(someone=True, moving=True, unworn=frozenset())


def test_a_sensor_that_has_just_shown_somebody_is_not_looked_at_in_each_of_many_windows(room: _Room) -> None:
    room.look(1, moving="depth")
    room.look(1.4, moving="depth")
    assert not room.look(1.1 + FALL_S).moving  # so the window of 1.4 was not looked at
    room.look(20, moving="depth")
    room.look(20.5, moving="depth")
    assert room.look(20.1 + FALL_S).moving


def test_who_comes_and_what_is_put_on_shows_in_the_next_window_however_short_the_hop(room: _Room) -> None:
    assert not room.look(1).someone
    assert room.look(1.07, moving="depth").unworn == {"imu"}
    assert not room.look(1.14, moving="imu depth").unworn
