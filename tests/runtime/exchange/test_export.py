"""Tables are read back by the libraries for them, and hold what the recording holds."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import numpy as np
import pytest

import cosmo_runtime as cosmo_python
from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.sensors.recording.flushed import wait_until_flushed

pyarrow = pytest.importorskip("pyarrow", reason="the extra [export] is not installed")
from pyarrow import csv, parquet

Run = Callable[..., Any]
Samples = Callable[..., List[Sample]]


@pytest.fixture
def recorded(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples, by_arrival: Callable[..., List[Event]]
) -> Path:
    """Two seconds of three sensors; the IMU measures no magnetic field for the first second."""
    imu = samples("imu", 0, 2)
    for sample in imu[:100]:
        sample.data[6:] = np.nan
    with RecordingWriter(tmp_path / "session.mcap", infos) as writer:
        writer.write(StateChange("imu", 0, "ok"))
        for event in by_arrival(imu, samples("depth", 0, 2), samples("radar", 0, 2)):
            writer.write(event)
    return tmp_path / "session.mcap"


def _tables(folder: Path, form: str) -> Dict[str, Any]:
    read = parquet.read_table if form == "parquet" else csv.read_csv
    return {path.stem: read(str(path)) for path in sorted(folder.glob(f"*.{form}"))}


def _numbers(table: Any, *names: str) -> np.ndarray:
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def test_tables_say_what_auto_sync_took_off_each_time(
    cosmo: Run, tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    with RecordingWriter(tmp_path / "session.mcap", infos) as writer:
        for sample in samples("imu", 0, 1):
            writer.write(sample)
        writer.write(Correction("imu", 10**9, 3 * 10**8))
        for sample in [*samples("imu", 1, 2), *samples("radar", 1, 2)]:
            writer.write(sample)
    done = cosmo("export", tmp_path / "session.mcap", "--to", "csv")
    assert "imu: --auto-sync corrected the times; taken_off_ms is what it took off each" in done.err
    tables = _tables(tmp_path / "session-csv", "csv")
    assert tables["imu"]["taken_off_ms"].to_pylist() == [0.0] * 100 + [300.0] * 100
    assert "taken_off_ms" not in tables["radar"].column_names


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_tables_hold_what_the_python_interface_gives(cosmo: Run, recorded: Path, form: str) -> None:
    done = cosmo("export", recorded, "--to", form)
    assert done.code == 0, done.err
    assert "samples: imu 200, depth 30, radar 40" in done.err
    folder = recorded.with_name(f"session-{form}")
    tables, arrays = _tables(folder, form), cosmo_python.read_recording(recorded)
    assert list(tables) == ["depth", "imu", "radar"]

    imu = tables["imu"]
    assert imu.column_names[:4] == ["sample", "stamp_s", "time", "acceleration_x_m_s2"]
    assert imu.column_names[-1] == "magnetic_field_z_uT"
    measured = _numbers(imu, *imu.column_names[3:]).astype(np.float32)
    np.testing.assert_array_equal(measured, arrays["imu"].values)
    assert imu["magnetic_field_x_uT"].null_count == 100

    radar = tables["radar"]
    stamps = radar["stamp_s"].to_numpy()
    points = _numbers(radar, "x_m", "y_m", "z_m", "radial_speed_m_s", "snr_db").astype(np.float32)
    for number, frame in enumerate(arrays["radar"].values):
        rows = radar["sample"].to_numpy() == number
        assert set(stamps[rows]) == {arrays["radar"].stamps_s[number]}
        kept = points[rows]
        np.testing.assert_array_equal(kept[~np.isnan(kept[:, 0])], frame)

    depth = tables["depth"]
    if form == "parquet":
        frames = np.stack(depth["depth_m"].to_pylist()).astype(np.float32).reshape(-1, 8, 12)
    else:
        frames = np.load(folder / "depth.npy")
        assert "depth_m" not in depth.column_names
    np.testing.assert_array_equal(frames, arrays["depth"].values)
    assert (depth["height"][0].as_py(), depth["width"][0].as_py()) == (8, 12)
    for name, table in tables.items():
        assert set(table["stamp_s"].to_pylist()) == set(arrays[name].stamps_s)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_recording_whose_name_is_not_utf_8_is_exported(cosmo: Run, recorded: Path, form: str) -> None:
    odd = recorded.rename(os.fsdecode(os.fsencode(recorded.parent) + b"/caf\xe9.mcap"))
    done = cosmo("export", odd, "--to", form)
    assert done.code == 0, done.err
    (folder,) = recorded.parent.glob(f"*-{form}")
    with (folder / f"imu.{form}").open("rb") as file:
        table = parquet.read_table(file) if form == "parquet" else csv.read_csv(file)
    assert table.num_rows == 200
    if form == "parquet":
        assert table.schema.metadata[b"recording"] == b"caf\\udce9.mcap"


def test_wall_times_are_those_of_the_recording(cosmo: Run, recorded: Path) -> None:
    cosmo("export", recorded, "--to", "parquet", "--out", recorded.with_name("out"))
    imu = parquet.read_table(str(recorded.with_name("out") / "imu.parquet"))
    recording = Recording(recorded)
    stamps = [event.stamp_ns for event in recording.events() if isinstance(event, Sample) and event.sensor == "imu"]
    assert imu["time"].cast(pyarrow.int64()).to_pylist() == [recording.wall_ns(stamp) for stamp in stamps]
    assert str(imu.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert imu.schema.metadata[b"device"] == b"an IMU of numbers"


def test_samples_of_many_batches_stand_in_one_table(
    cosmo: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmo_runtime.runtime.exchange.export._MOST_SAMPLES", 7)
    assert cosmo("export", recorded, "--to", "csv").code == 0
    tables = _tables(recorded.with_name("session-csv"), "csv")
    assert tables["imu"]["sample"].to_pylist() == list(range(200))
    assert np.load(recorded.with_name("session-csv") / "depth.npy").shape == (30, 8, 12)


def test_a_sensor_that_brought_nothing_has_a_table_without_rows(
    cosmo: Run, tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    with RecordingWriter(tmp_path / "imu.mcap", infos) as writer:
        for sample in samples("imu", 0, 1):
            writer.write(sample)
    for form in "parquet", "csv":
        assert cosmo("export", tmp_path / "imu.mcap", "--to", form).code == 0
        tables = _tables(tmp_path / f"imu-{form}", form)
        assert [tables[name].num_rows for name in ("depth", "imu", "radar")] == [0, 100, 0]
    assert np.load(tmp_path / "imu-csv" / "depth.npy").size == 0


def test_nothing_is_overwritten_and_nothing_half_is_left(cosmo: Run, recorded: Path) -> None:
    words = ["export", recorded, "--to", "csv"]
    assert cosmo(*words).code == 0
    again = cosmo(*words)
    assert (again.code, "exists already: name another with --out" in again.err) == (1, True)
    assert cosmo(*words, "--out", recorded.parent / "no" / "folder").code == 1
    wrong = cosmo(*words, "--sensors", "imu,sonar")
    assert (wrong.code, "has no sonar; it has imu, depth, radar" in wrong.err) == (2, True)
    assert sorted(path.name for path in recorded.parent.iterdir()) == ["session-csv", "session.mcap"]


def test_of_a_damaged_recording_what_is_sound_is_exported(
    cosmo: Run, tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    path = tmp_path / "session.mcap"
    with RecordingWriter(path, {"imu": infos["imu"]}) as writer:
        for second in range(2):
            for sample in samples("imu", second, second + 1):
                writer.write(sample)
            wait_until_flushed(writer)  # so that a chunk holds the first second, and another one the next
    content = bytearray(path.read_bytes())
    damaged = len(content) // 2 + 1000
    content[damaged : damaged + 40] = bytes(40)
    path.write_bytes(content)
    done = cosmo("export", path, "--to", "parquet")
    assert done.code == 1
    assert "everything before it can be read, and is in" in done.err
    assert parquet.read_table(str(tmp_path / "session-parquet" / "imu.parquet")).num_rows == 100


@pytest.fixture
def signals() -> Iterator[None]:
    """What a command does with signals ends with the test."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_a_termination_leaves_no_tables_of_a_person_behind(
    cosmo: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("cosmo_runtime.runtime.exchange.export._Table.add", terminate)
    assert cosmo("export", recorded, "--to", "csv").code == 1
    assert [path.name for path in recorded.parent.iterdir()] == [recorded.name]
