from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List

import numpy as np

from models.bundle import Bundle
from models.spec import ModelSpec
from runtime.aligner import Aligner
from runtime.engine import OnnxRuntimeEngine
from runtime.json_lines import as_json
from runtime.loop import Outcome, Sink, recognise
from runtime.recognizer import Recognizer
from runtime.record import RecordingSink
from sensors.events import Event, Sample, StateChange
from sensors.recording import Recording, RecordingWriter
from sensors.sensor import SensorInfo

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
    aligner = Aligner(spec, {name: info.rate_hz for name, info in infos.items()})
    recognise(stream, aligner, recognizer, infos, [sink, kept], live=False)
    sink.close()

    recording = Recording(tmp_path / "run.mcap")
    assert not recording.cut
    events = list(recording.events())
    assert len(events) == len(stream)
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
        (window.end_ns, {"end_ns": window.end_ns, "digest": window.digest(), "late": False})
        for window in (outcome.window for outcome in kept.outcomes)
    ]
    assert list(recording.messages("/predictions")) == [
        (outcome.window.end_ns, as_json(outcome, writer.wall_offset_ns)) for outcome in kept.outcomes
    ]
