"""A box gets its time from the network while it records: labels by the clock and the output still mean the same."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.labels.table import LabelsError, read_labels
from cosmo_runtime.runtime.sources.replay import windows_key
from cosmo_runtime.sensors.events import Sample, StateChange
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]

S = 10**9
STEP_S = 40


@pytest.fixture
def stepped(
    tmp_path: Path, infos: Dict[str, SensorInfo], spec: ModelSpec, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Three seconds of an IMU; the wall clock is set forward by 40 s, far from the first and the last window."""
    path, real, began_ns = tmp_path / "session.mcap", time.time_ns, time.monotonic_ns()
    is_set = False
    monkeypatch.setattr(time, "time_ns", lambda: real() + is_set * STEP_S * S)
    with RecordingWriter(path, {"imu": infos["imu"]}, {"windows": windows_key(spec, 300)}) as writer:
        writer.write(StateChange("imu", began_ns, "ok"))
        for sample in samples("imu", 0, 3):
            at_ns = began_ns + sample.stamp_ns
            time.sleep(max(0, at_ns - time.monotonic_ns()) / S)
            is_set = is_set or sample.stamp_ns > 2.0 * S
            writer.write(Sample("imu", at_ns, at_ns, sample.data))
    assert writer.failure is None
    return path


def test_times_of_the_output_label_what_they_are_of(
    cosmo: Any, stepped: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    words = ("--sensors", "imu", "--replay", stepped, "--speed", "max", "--bundle", tiny_bundle.path)
    lines = [json.loads(line) for line in cosmo(*words, "--output", "-").out.splitlines()]
    assert len(lines) >= 4
    first, last = lines[0], lines[-1]
    assert last["window_end_ns"] - first["window_end_ns"] < 3 * S
    table = tmp_path / "labels.csv"
    rows = [f"{first['time']},{_moved(first, 0.1)},wave", f"{_moved(last, -0.1)},{last['time']},wave"]
    table.write_text("\n".join(["start,end,activity", *rows]) + "\n")
    ((_, segments),) = read_labels(table, stepped).items()
    assert abs(segments[0].start_ns - first["window_end_ns"]) <= 10**6
    assert abs(segments[1].end_ns - last["window_end_ns"]) <= 10**6


def test_a_label_in_the_gap_is_refused_and_the_reason_said(stepped: Path, tmp_path: Path) -> None:
    recording = Recording(stepped)
    never_s = (recording.wall_ns(recording.start_ns) + 20 * S) / S
    table = tmp_path / "labels.csv"
    rows = [f"{_iso(never_s)},{_iso(never_s + 0.5)},wave", "0.5,0.7,wave"]
    table.write_text("\n".join(["start,end,activity", *rows]) + "\n")
    with pytest.raises(LabelsError, match=r"line 2: start .* the wall clock may never have shown it: it was set"):
        read_labels(table, stepped)


def _iso(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, timezone.utc).isoformat()


def _moved(line: Dict[str, Any], by_s: float) -> str:
    return (datetime.fromisoformat(line["time"]) + timedelta(seconds=by_s)).isoformat()
