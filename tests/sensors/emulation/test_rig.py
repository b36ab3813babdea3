"""A motion served as devices by another process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import List

import psutil
import pytest

from cosmo_runtime.sensors.config import ImuConfig, RigConfig
from cosmo_runtime.sensors.emulation.rig import EmulatedRig
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.sensor import SensorError, SensorLost
from cosmo_runtime.sensors.simulation.person import SimulatedPerson
from tests.realsense import librealsense


def test_a_rig_speaks_the_protocol_asked_for_and_tells_the_truth() -> None:
    truths: List[Truth] = []
    with EmulatedRig("person:5", ("imu",), RigConfig(imu=ImuConfig(protocol="xsens"))) as rig:
        (imu,) = rig.sensors()
        with imu:
            rig.listen(truths.append, lambda: None)
            samples = []
            while len(samples) < 50:
                samples += imu.read(1.0)
        assert "xsens" in imu.info.device
        (devices,) = (
            child for child in psutil.Process().children() if "devices import serve" in " ".join(child.cmdline())
        )
    plan = SimulatedPerson(5).activities(3.0)
    assert [truth.activity for truth in truths][: len(plan)] == [start.activity for start in plan]
    assert truths[0].stamp_ns <= samples[0].stamp_ns
    assert not devices.is_running()


def test_a_cable_can_be_pulled_and_put_back() -> None:
    with EmulatedRig("person:5", ("imu",)) as rig:
        (imu,) = rig.sensors()
        with imu:
            assert imu.read(30)
            rig.unplug("imu")
            with pytest.raises(SensorLost):
                while True:
                    imu.read(0.2)
            imu.disconnect()
            rig.plug("imu")
            deadline = time.monotonic() + 60
            while True:
                try:
                    imu.connect()
                    break
                except SensorError:
                    assert time.monotonic() < deadline
            assert imu.read(30)


def test_when_it_ends_no_thread_is_left_in_librealsense() -> None:
    librealsense()
    with EmulatedRig("person:5", ("depth",)) as rig:
        (camera,) = rig.sensors()
        camera.connect()
        camera.disconnect()
    assert "emulated rig" not in [thread.name for thread in threading.enumerate()]


def test_corrupt_bytes_are_counted_and_bear_no_exception() -> None:
    with EmulatedRig("person:5", ("imu",)) as rig:
        (imu,) = rig.sensors()
        with imu:
            rig.corrupt("imu", 0.05)
            deadline = time.monotonic() + 60
            while not imu.info.counts["skipped_bytes"] or imu.info.counts["samples"] < 50:
                assert time.monotonic() < deadline
                imu.read(0.2)


def test_a_motion_without_its_data_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=str(tmp_path / "nowhere")), EmulatedRig(f"utd:{tmp_path}/nowhere", ("imu",)):
        pass


RIG_UNTIL_KILLED = """
import time
from cosmo_runtime.sensors.emulation.rig import EmulatedRig

with EmulatedRig("person:5", ("imu",)) as rig:  # as people write scripts: without asking for __main__
    print(rig._folder.name, flush=True)
    time.sleep(60)
"""


def test_the_folder_of_a_killed_rig_is_swept_by_the_next_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = tmp_path / "rig.py"
    script.write_text(RIG_UNTIL_KILLED)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    children, folders = [], []
    for _ in range(2):
        child = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment)
        assert child.stdout is not None
        children.append(child)
        folders.append(Path(child.stdout.readline().decode().strip()))
    killed, living = folders
    children[0].kill()
    children[0].wait()
    mine = tmp_path / "cosmo-rigs"
    mine.mkdir()
    try:
        with EmulatedRig("person:5", ("imu",)):
            assert killed.is_dir()  # it may be of one that is just starting
        for folder in folders:
            os.utime(folder, (time.time() - 100, time.time() - 100))
        with EmulatedRig("person:5", ("imu",)):
            assert not killed.exists()
            assert living.is_dir()
            assert mine.is_dir()
    finally:
        children[1].terminate()
        children[1].wait()
