"""Proposed labels as people meet them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest

from cosmo_runtime.runtime.labels.table import LabelsError, read_labels
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Run = Callable[..., Any]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def recording(tmp_path: Path, infos: Dict[str, SensorInfo]) -> Path:
    """Twenty seconds of an IMU with three bouts of motion, the first at once; samples arrive after they were taken."""
    path = tmp_path / "session.mcap"
    rng, began_ns = np.random.default_rng(1), time.monotonic_ns()
    with RecordingWriter(path, {"imu": infos["imu"]}) as writer:
        for number in range(2000):
            moves = number < 200 or 400 <= number < 800 or 1100 <= number < 1600
            data = rng.normal(0, 3.0 if moves else 0.05, 9).astype(np.float32)
            stamp_ns = began_ns + number * 10_000_000
            writer.write(Sample("imu", stamp_ns, stamp_ns + 30_000_000, data))
    return path


def rows(path: Path) -> List[List[str]]:
    return [line.split(",") for line in path.read_text().splitlines()]


def test_a_table_is_written_beside_the_recording_for_a_person_to_correct(
    cosmo: Run, recording: Path, tiny_bundle: Any
) -> None:
    done = cosmo("label", recording, "--bundle", tiny_bundle.path)
    assert done.code == 0
    table = recording.with_suffix(".csv")
    assert f"{table}: 3 activities in 20 s" in done.err
    assert "Correct them by hand" in done.err
    _, header, *found = rows(table)
    assert header == ["start", "end", "activity"]
    assert found[0][0] == "0"
    for (start, end, _), (true_start_s, true_end_s) in zip(found, [(0, 2), (4, 8), (11, 16)]):
        assert abs(float(start) - true_start_s) < 0.4
        assert abs(float(end) - true_end_s) < 0.4


def test_a_recording_that_goes_on_is_told_and_so_is_a_sensor_that_the_model_does_not_know(
    cosmo: Run, tmp_path: Path, infos: Dict[str, SensorInfo], tiny_bundle: Any
) -> None:
    rng, began_ns = np.random.default_rng(1), time.monotonic_ns()
    rig = {"imu": infos["imu"], "thigh": SensorInfo("thigh", "none", 100, kind="imu")}
    with RecordingWriter(tmp_path / "now.mcap", rig) as writer:
        for number in range(1000):
            stamp_ns = began_ns + number * 10_000_000
            while writer.queued > 100:  # it drops what comes too fast
                time.sleep(0.001)
            for name in rig:
                writer.write(Sample(name, stamp_ns, stamp_ns, rng.normal(0, 3, 9).astype(np.float32)))
        while writer.path.stat().st_size < 50_000:
            time.sleep(0.05)
        done = cosmo("label", tmp_path / "now.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 0, done.err
    assert "now.mcap: was cut short, or is still being written; the table covers what is there now\n" in done.err
    assert "now.mcap: thigh left out: tiny knows no such sensor" in done.err


def test_a_person_who_names_what_the_model_does_not_know_has_labels_to_learn_from(
    cosmo: Run, recording: Path, tiny_bundle: Any, tmp_path: Path
) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text("[recognition]\nmin_confidence = 1.0\n")
    table = tmp_path / "mine.csv"
    done = cosmo("label", recording, "--bundle", tiny_bundle.path, "--config", config, "--out", table)
    assert "3 of them uncertain" in done.err
    with pytest.raises(LabelsError, match=r"lines 3 to 5: 'uncertain' is not an activity"):
        read_labels(table, recording)
    table.write_text(table.read_text().replace("uncertain", "juggle"))
    ((path, segments),) = read_labels(table, recording).items()
    assert path == recording
    assert [segment.activity for segment in segments] == ["juggle"] * 3


def test_nothing_is_ever_overwritten(cosmo: Run, recording: Path, tiny_bundle: Any) -> None:
    table = recording.with_suffix(".csv")
    table.write_text("mine")
    done = cosmo("label", recording, "--bundle", tiny_bundle.path)
    assert done.code == 1
    assert f"{table} exists already: choose another name, or move it away" in done.err
    assert table.read_text() == "mine"
    recording.rename(recording.with_name("moved.mcap"))
    assert "exists already" in cosmo("label", recording, "--bundle", tiny_bundle.path).err  # before it is read
    recording.with_name("moved.mcap").rename(recording)
    before = recording.read_bytes()
    assert cosmo("label", recording, "--bundle", tiny_bundle.path, "--out", recording).code == 1
    assert recording.read_bytes() == before


def test_a_recording_that_cannot_be_labelled_is_explained(
    cosmo: Run, tmp_path: Path, tiny_bundle: Any, infos: Dict[str, SensorInfo]
) -> None:
    done = cosmo("label", tmp_path / "none.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 1
    assert "none.mcap cannot be read: No such file" in done.err
    RecordingWriter(tmp_path / "empty.mcap", {"imu": infos["imu"]}).close()
    done = cosmo("label", tmp_path / "empty.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 1
    assert "empty.mcap: no activity found in 0.0 s; no table was written" in done.err
    RecordingWriter(tmp_path / "blind.mcap", {}).close()
    done = cosmo("label", tmp_path / "blind.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 1
    assert "has no sensor, but the model" in done.err
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_simulated_person_did_is_found(cosmo: Run, tmp_path: Path) -> None:
    from cosmo_runtime.models.shelf import SIMULATED_BUNDLE

    recording, table = tmp_path / "person.mcap", tmp_path / "person.csv"
    rig = ["--sensors", "imu,depth,radar", "--emulate", "person:1003", "--duration", "60"]
    assert cosmo("record", *rig, recording).code == 0
    assert Recording(recording).duration_s > 59
    assert cosmo("label", recording, "--bundle", SIMULATED_BUNDLE).code == 0
    command = [sys.executable, "-m", "cosmo_runtime.tools.label_check", str(recording), str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found, right = (float(line.split(word)[1].split("%")[0]) for line, word in _figures(done.stdout))
    assert found >= 80
    assert right >= 80


def _figures(out: str) -> List[Any]:
    lines = out.splitlines()
    return [(lines[0], "found "), (lines[2], "right ")]
