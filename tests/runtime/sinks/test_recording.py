from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sinks.json_lines import as_json
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Event, Sample, StateChange
from cosmo_runtime.sensors.recording import Recording, RecordingWriter, SegmentedWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]


def test_events_fingerprints_and_predictions_stand_in_the_recording_in_the_order_of_the_run(
    tmp_path: Path,
    spec: ModelSpec,
    tiny_bundle: Bundle,
    infos: Dict[str, SensorInfo],
    samples: Samples,
    by_arrival: Merge,
) -> None:
    class Kept(Sink):
        def __init__(self) -> None:
            self.outcomes: List[Outcome] = []

        def outcome(self, outcome: Outcome) -> None:
            self.outcomes.append(outcome)

    stream = by_arrival([StateChange("imu", 0, "ok")], samples("imu", 0, 2.2), samples("radar", 0, 2.2))
    kept = Kept()
    writer = RecordingWriter(tmp_path / "run.mcap", infos)
    sink = RecordingSink(writer)
    recognizer = Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx))
    aligner = Aligner(spec, infos)
    recognise(stream, aligner, recognizer, infos, [sink, kept], live=False)
    sink.close()

    recording = Recording(tmp_path / "run.mcap")
    assert not recording.cut
    events = list(recording.events())
    assert len(events) == len(stream)
    assert sink.samples == Counter(event.sensor for event in events if isinstance(event, Sample))
    for event, original in zip(events, stream):
        assert type(event) is type(original)
        if isinstance(event, Sample) and isinstance(original, Sample):
            assert (event.stamp_ns, event.arrival_ns, event.raw) == (
                original.stamp_ns,
                original.arrival_ns,
                original.raw,
            )
            np.testing.assert_array_equal(event.data, original.data)
    assert len(kept.outcomes) == 3
    assert list(recording.messages("/windows")) == [
        (window.end_ns, {"end_ns": window.end_ns, "features": window.digest(), "late": False})
        for window in (outcome.window for outcome in kept.outcomes)
    ]
    details_ns = list(recording.messages("/predictions/details"))
    assert len(details_ns) == 3
    for (at_ns, details), outcome in zip(details_ns, kept.outcomes):
        assert at_ns == outcome.window.end_ns
        assert {**details, "time": ""} == {**as_json(outcome, 0), "time": ""}
        wall_ns = datetime.fromisoformat(details["time"]).timestamp() * 1e9
        assert abs(wall_ns - at_ns - writer.wall_offset_ns) < 10**9


def test_a_recording_that_is_moved_goes_on_and_one_that_is_deleted_is_lost(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.mcap"
    sink = RecordingSink(RecordingWriter(path, infos))
    sink.idle()
    assert not caplog.records
    path.rename(tmp_path / "moved.mcap")
    for sample in samples("imu", 0, 1):
        sink.event(sample)
    sink.idle()
    sink.idle()
    assert caplog.text.count("run.mcap was moved while it is written: the recording goes on where it is now") == 1
    sink.close()
    assert not sink.deleted
    moved = Recording(tmp_path / "moved.mcap")
    assert (moved.cut, len(list(moved.events()))) == (False, 100)
    assert sink.size == moved.path.stat().st_size

    sink = RecordingSink(RecordingWriter(path, infos))
    path.unlink()
    sink.idle()
    sink.close()
    assert sink.deleted
    assert caplog.text.count("run.mcap was deleted while it is written") == 1


def test_a_segment_that_is_gone_before_it_is_looked_at_ends_nothing(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    writer = SegmentedWriter(tmp_path / "run", infos, segment_s=1)
    sink = RecordingSink(writer)
    for second in range(3):
        for sample in samples("imu", second, second + 1):
            sink.event(sample)
            while writer._opening and writer._opening.is_alive():
                time.sleep(0.001)
        if second == 1:
            writer.file.unlink()
        sink.idle()
    assert sink.size > 0
    sink.close()
    kept = [event.stamp_ns for event in Recording(tmp_path / "run").events() if isinstance(event, Sample)]
    assert max(kept) > 2.5e9


def test_a_window_that_was_not_answered_stands_there_without_a_fingerprint(
    tmp_path: Path, infos: Dict[str, SensorInfo]
) -> None:
    sink = RecordingSink(RecordingWriter(tmp_path / "run.mcap", infos))
    sink.outdated(Window(5, {}, {}, 6))
    sink.close()
    assert list(Recording(tmp_path / "run.mcap").messages("/windows")) == [
        (5, {"end_ns": 5, "features": None, "late": False})
    ]
