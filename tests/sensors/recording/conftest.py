"""A rig and a short run of it, recorded in several chunks."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest

from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.sensors.recording.flushed import wait_until_flushed


def rig() -> Dict[str, SensorInfo]:
    intrinsics = {"width": 24, "height": 13, "fx": 12.5, "fy": 12.25, "cx": 11.5, "cy": 6.0}
    return {
        "imu": SensorInfo("imu", "WitMotion on /dev/ttyUSB0", 100.0),
        "radar": SensorInfo("radar", "IWR6843 on /dev/ttyACM1", 20.0),
        "depth": SensorInfo("depth", "D435 123456", 15.0, depth_scale_m=0.001, intrinsics=intrinsics),
    }


@pytest.fixture
def infos() -> Dict[str, SensorInfo]:
    return rig()


@pytest.fixture(scope="session")
def run() -> List[Event]:
    """Three seconds of a rig, with stamps before arrivals and sensors out of step."""
    random = np.random.default_rng(0)
    begin_ns = time.monotonic_ns()
    correction = Correction("radar", begin_ns, 180_000_000)
    events: List[Event] = [StateChange("imu", begin_ns, "ok"), correction, Truth(begin_ns, "walk")]
    for step in range(300):
        now_ns = begin_ns + step * 10**7
        acceleration = random.normal(size=9).astype(np.float32)
        acceleration[6:] = np.nan
        events.append(Sample("imu", now_ns - 3 * 10**6, now_ns, acceleration, random.bytes(44)))
        if step % 5 == 0:
            points = random.normal(size=(step % 7, 5)).astype(np.float32)
            events.append(Sample("radar", now_ns - 4 * 10**7, now_ns - 10**6, points, random.bytes(64)))
        if step % 7 == 0:
            depth = random.integers(0, 2**16, (13, 24), dtype=np.uint16)
            events.append(Sample("depth", now_ns - 2 * 10**7, now_ns - 2 * 10**6, depth))
        if step % 50 == 0:
            events.append(Tick(now_ns))
    return events


@pytest.fixture(scope="session")
def recorded_once(tmp_path_factory: pytest.TempPathFactory, run: List[Event]) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "run.mcap"
    with RecordingWriter(path, rig(), {"command": "record"}) as writer:
        for third in range(3):
            for event in run[third * len(run) // 3 : (third + 1) * len(run) // 3]:
                writer.write(event)
            wait_until_flushed(writer)
    assert writer.failure is None
    assert writer.dropped == 0
    return path


@pytest.fixture
def recorded(tmp_path: Path, recorded_once: Path) -> Path:
    """The run as a file of at least three chunks; a test may spoil it."""
    return Path(shutil.copy(recorded_once, tmp_path))
