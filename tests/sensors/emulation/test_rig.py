"""A motion served as devices by another process."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import List

import pytest

from sensors.config import RigConfig
from sensors.emulation.person import SimulatedPerson
from sensors.emulation.rig import EmulatedRig, open_motion
from sensors.events import Truth
from sensors.sensor import SensorError, SensorLost


def test_a_rig_speaks_the_protocol_asked_for_and_tells_the_truth() -> None:
    truths: List[Truth] = []
    with EmulatedRig("person:5", ("imu",), "xsens") as rig:
        (imu,) = rig.sensors(RigConfig())
        with imu:
            rig.listen(truths.append, lambda: None)
            samples = []
            while len(samples) < 50:
                samples += imu.read(1.0)
        assert "xsens" in imu.info.device
        assert multiprocessing.active_children()
    plan = SimulatedPerson(5).activities(3.0)
    assert [truth.activity for truth in truths][: len(plan)] == [start.activity for start in plan]
    assert truths[0].stamp_ns <= samples[0].stamp_ns
    assert not multiprocessing.active_children()


def test_a_cable_can_be_pulled_and_put_back() -> None:
    with EmulatedRig("person:5", ("imu",)) as rig:
        (imu,) = rig.sensors(RigConfig())
        with imu:
            assert imu.read(1.0)
            rig.unplug("imu")
            with pytest.raises(SensorLost):
                while True:
                    imu.read(0.2)
            imu.disconnect()
            rig.plug("imu")
            deadline = time.monotonic() + 5
            while True:
                try:
                    imu.connect()
                    break
                except SensorError:
                    assert time.monotonic() < deadline
            assert imu.read(1.0)


def test_corrupt_bytes_are_counted_and_bear_no_exception() -> None:
    with EmulatedRig("person:5", ("imu",)) as rig:
        (imu,) = rig.sensors(RigConfig())
        with imu:
            rig.corrupt("imu", 0.05)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                imu.read(0.2)
        assert imu.info.counts["skipped_bytes"] > 0
        assert imu.info.counts["samples"] > 0


def test_a_motion_without_its_data_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=str(tmp_path / "nowhere")), EmulatedRig(f"utd:{tmp_path}/nowhere", ("imu",)):
        pass


def test_motions_by_description(tmp_path: Path) -> None:
    assert open_motion("person").activities(9) != open_motion("person:7").activities(9)
    with pytest.raises(SensorError, match="expected person, person:SEED or utd:PATH"):
        open_motion("dance")
    with pytest.raises(SensorError, match="expected person, person:SEED or utd:PATH"):
        open_motion("utd:")
