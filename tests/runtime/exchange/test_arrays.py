from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from cosmo_runtime import Label, SensorArrays, load_model, read_recording, write_recording
from cosmo_runtime.sensors.recording import RecordingError

_RECORDING = Path(__file__).parents[2] / "data" / "format-1.mcap"
Run = Callable[..., Any]


def _imu(seconds: float = 4.0, hz: float = 50.0) -> SensorArrays:
    stamps_s = np.arange(0, seconds, 1 / hz)
    values = np.stack([np.sin(stamps_s + axis) for axis in range(6)], axis=1)
    return SensorArrays("imu", stamps_s, values)


def test_what_was_read_is_written_and_read_again(tmp_path: Path) -> None:
    """Of an IMU, a camera and a radar."""
    before = read_recording(_RECORDING)
    begin_s = min(before[name].stamps_s[0] for name in before.sensors)
    arrays = {name: before[name]._replace(stamps_s=before[name].stamps_s - begin_s) for name in before.sensors}
    after = write_recording(tmp_path / "again.mcap", arrays, participant="P 17")
    assert after.sensors == before.sensors
    for name, written in arrays.items():
        np.testing.assert_allclose(after[name].stamps_s, written.stamps_s, atol=1e-8)
        assert after[name].units == written.units != ""
        for read, wrote in zip(after[name].values, written.values):
            np.testing.assert_allclose(read, wrote, atol=5e-4)  # a camera's half millimetre
    model = load_model("person")
    windows = list(after.windows(model))
    assert len(windows) >= 1
    assert set(windows[-1].arrays) == {"imu", "depth", "radar"}


def test_a_recording_says_when_it_was_and_whom_it_shows(cosmo: Run, tmp_path: Path) -> None:
    start = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
    write_recording(tmp_path / "a.mcap", {"wrist": _imu()}, start=start, participant="P 17", note="from a paper")
    out = cosmo("info", tmp_path / "a.mcap").out
    began = next(line.split()[1] for line in out.splitlines() if line.startswith("began"))
    assert datetime.fromisoformat(began) == start
    for words in ("P 17", "from a paper", "imu, arrays, 50 Hz", "written to its end"):
        assert words in out


def test_arrays_become_windows_with_labels(tmp_path: Path) -> None:
    own = write_recording(tmp_path / "a.mcap", {"imu": _imu(8)})
    own.write_labels(tmp_path / "a.csv", [Label(1, 4, "wave"), Label(5, 7, "wave")])
    labelled = list(own.labelled_windows(load_model("person"), tmp_path / "a.csv"))
    assert len(labelled) >= 6
    assert {activity for _, activity in labelled} == {"wave"}
    assert all(set(window.arrays) == {"imu"} for window, _ in labelled)


@pytest.mark.parametrize(
    ("name", "arrays", "why"),
    [
        ("imu", _imu()._replace(stamps_s=np.arange(3.0)), "imu: expected as many stamps as values"),
        ("imu", SensorArrays("imu", np.arange(9) * 1e-5, np.zeros((9, 6))), "are the stamps in seconds"),
        ("imu", SensorArrays("imu", np.zeros(0), np.zeros((0, 6))), "at least one"),
        ("imu", SensorArrays("imu", np.zeros(2), np.zeros((2, 6))), "stamps in seconds from the start that rise"),
        ("imu", SensorArrays("imu", np.arange(2) - 1.0, np.zeros((2, 6))), "from the start that rise"),
        ("imu", SensorArrays("imu", np.array([0, np.nan]), np.zeros((2, 6))), "that rise"),
        ("imu", SensorArrays("imu", np.arange(2.0), np.zeros((2, 3))), r"expected 6 or 9 numbers .* \(2, 3\)"),
        ("door", SensorArrays("depth", np.arange(2.0), np.full((2, 4, 4), 900.0)), "door: .* from 0 to 65 m"),
        ("door", SensorArrays("radar", np.arange(2.0), [np.zeros((3, 4))] * 2), r"expected \(points, 5\) a frame"),
        ("Wrist 1", _imu(), "'Wrist 1' is not a sensor name"),
        ("imu", _imu()._replace(kind="sonar"), "unknown kind of sensor 'sonar'"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(tmp_path: Path, name: str, arrays: SensorArrays, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        write_recording(tmp_path / "a.mcap", {name: arrays})
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.mcap", {"imu": _imu()})
    with pytest.raises(RecordingError, match="exists"):
        write_recording(tmp_path / "a.mcap", {"imu": _imu()})
    with pytest.raises(ValueError, match="at least one sensor"):
        write_recording(tmp_path / "b.mcap", {})
