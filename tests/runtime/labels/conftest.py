"""The recording that tests of label tables use."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List
from unittest import mock

import pytest

from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

SECOND = 10**9


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, samples: Callable[..., List[Sample]]) -> Recording:
    """Twenty seconds of an IMU, from second 5 of the monotonic clock on."""
    path = tmp_path_factory.mktemp("sessions") / "monday.mcap"
    infos = {"imu": SensorInfo("imu", "an IMU of numbers", 100)}
    with mock.patch.object(RecordingWriter, "_add_clock"), RecordingWriter(path, infos) as writer:  # it is not second 5
        for sample in samples("imu", 5, 25.01, delay_s=0)[::10]:
            writer.write(sample)
    recording = Recording(path)
    assert (recording.start_ns, recording.duration_s) == (5 * SECOND, 20.0)
    return recording


@pytest.fixture
def table(session: Recording, tmp_path: Path) -> Callable[[str], Path]:
    """Writes a table of labels into a folder where the recording ``monday.mcap`` lies."""
    (tmp_path / "monday.mcap").symlink_to(session.path)

    def write(text: str) -> Path:
        path = tmp_path / "monday.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write
