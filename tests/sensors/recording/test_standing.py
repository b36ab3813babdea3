from __future__ import annotations

import numpy as np

from cosmo_runtime.sensors.events import Correction, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording.standing import Standing

_S = 10**9


def test_the_latest_of_each_sensor_stands_and_what_passed_does_not() -> None:
    standing = Standing()
    assert standing.events(0) == []
    for event in (
        StateChange("imu", 0, "ok"),
        StateChange("radar", 0, "ok"),
        Truth(0, "walk"),
        Correction("imu", _S, 10),
        Sample("imu", _S, _S, np.zeros(9, np.float32)),
        Tick(_S),
        StateChange("imu", 2 * _S, "lost", "unplugged"),
        Correction("imu", 3 * _S, 20),
        Truth(4 * _S, "fall"),
    ):
        standing.note(event)
    assert standing.events(9 * _S) == [
        StateChange("imu", 9 * _S, "lost", "unplugged"),
        StateChange("radar", 9 * _S, "ok"),
        Correction("imu", 9 * _S, 20),
        Truth(4 * _S, "fall"),
    ]
