from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Tuple

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.sources.replay import WindowCheck, replay
from cosmo_runtime.runtime.sync import watch
from cosmo_runtime.runtime.sync.correction import Corrector
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick, host_ns
from cosmo_runtime.sensors.recording import Recording, writer
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.runtime.rigs import infos
from tests.runtime.sync.made_up import BEGIN_NS, bursts, samples, seen

LATE_S = 0.45  # longer than windows wait for a late sensor


class _Kept(Sink):
    def __init__(self) -> None:
        self.outcomes: List[Outcome] = []
        self.corrections: List[Correction] = []
        self.steps: List[Mapping[str, float]] = []
        self.taken_off_ms: Mapping[str, float] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, Correction):
            self.corrections.append(event)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        self.steps.append(dict(behind_ms))

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        self.taken_off_ms = taken_off_ms

    @property
    def answers(self) -> List[Tuple[int, str, Mapping[str, float]]]:
        return [(one.window.end_ns, one.window.digest(), one.prediction.probabilities) for one in self.outcomes]


Recognise = Callable[..., _Kept]


@pytest.fixture
def run(spec: ModelSpec, tiny_bundle: Bundle) -> Recognise:
    def run(events: Iterator[Event], *sinks: Sink, rig: Dict[str, SensorInfo]) -> _Kept:
        kept = _Kept()
        recognizer = Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx))
        recognise(events, Aligner(spec, rig), recognizer, rig, [*sinks, kept], live=False)
        return kept

    return run


def _rig() -> Dict[str, SensorInfo]:
    return infos(imu=100.0, radar=20.0)


def _events(of: List[Sample]) -> List[Event]:
    """These samples, and the ticks of a live run."""
    states = [StateChange(name, BEGIN_NS, "ok") for name in _rig()]
    ticks = [Tick(at_ns) for at_ns in range(BEGIN_NS, of[-1].arrival_ns, 20_000_000)]
    return sorted([*states, *of, *ticks], key=host_ns)


def _of_a_late_radar(seconds: float) -> List[Sample]:
    return samples(seen(bursts(seconds), imu=0, radar=LATE_S))


def test_a_late_sensor_is_put_in_step_and_a_replay_sees_the_same_bit_for_bit(
    run: Recognise, spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_QUEUE_LENGTH", 10**6)  # a minute's run in a second
    monkeypatch.setattr(watch, "_LEAST_NS", 30 * 10**9)  # irregular enough to tell
    monkeypatch.setattr(watch, "_ENOUGH_NS", 25 * 10**9)
    rig, late = _rig(), _of_a_late_radar(55)
    corrector, recorder = Corrector(rig), RecordingSink(writer.RecordingWriter(tmp_path / "run.mcap", rig))
    live = run(corrector.through(_events(late)), recorder, corrector, rig=rig)
    recorder.close()
    (correction,) = live.corrections
    assert correction.sensor == "radar"
    assert correction.taken_off_ns == pytest.approx(LATE_S * 1e9, abs=2e7)
    assert live.steps == [live.taken_off_ms, {}]

    after = [outcome for outcome in live.outcomes if outcome.window.end_ns > correction.at_ns]
    assert len(after) >= 24
    assert all(outcome.sensors == {"imu": "ok", "radar": "ok"} and not outcome.window.late for outcome in after)
    earlier = [
        replace(one, stamp_ns=one.stamp_ns - correction.taken_off_ns) if one.sensor == "radar" else one for one in late
    ]
    in_step = {window.end_ns: window.digest() for window in Aligner(spec, rig).windows(earlier)}
    assert [outcome.window.digest() for outcome in after] == [in_step[outcome.window.end_ns] for outcome in after]

    recording = Recording(tmp_path / "run.mcap")
    check = WindowCheck(recording, Aligner(spec, recording.infos, raw=True))
    events = replay(recording, list(rig), own_ticks=True, paced=False, check=check)
    again = run(events, check, rig=recording.infos)
    assert again.answers == live.answers
    assert (again.corrections, again.steps, again.taken_off_ms) == (live.corrections, live.steps, live.taken_off_ms)
    assert (check.same, check.different, check.missing) == (len(live.outcomes), [], {})


def _decided(rig: Dict[str, SensorInfo], *told_ms: Dict[str, float]) -> List[Dict[str, float]]:
    """The milliseconds that are taken off after each telling, by sensor."""
    corrector, taken_off_ms, found = Corrector(rig), {}, []
    for number, behind_ms in enumerate(told_ms):
        for event in corrector.through([Tick(number)]):
            if isinstance(event, Tick):
                corrector.out_of_step(behind_ms)
            elif isinstance(event, Correction):
                taken_off_ms[event.sensor] = event.taken_off_ns / 1e6
        found.append(dict(taken_off_ms))
    return found


def test_a_later_estimate_adds_to_what_was_taken_off_and_none_changes_nothing() -> None:
    assert _decided(infos(imu=100, depth=15), {"depth": 300}, {}, {"depth": -120}, {"imu": 101}) == [
        {"depth": 300}, {"depth": 300}, {"depth": 180}, {"depth": 180, "imu": 101},
    ]  # fmt: skip


def test_a_sensor_ahead_gets_its_latency_back_and_beyond_that_the_others_are_made_earlier() -> None:
    rig = infos(imu=100, depth=15, radar=20)
    rig["imu"].latency_ms = 40
    assert _decided(rig, {"imu": -140}) == [{"imu": -40, "depth": 100, "radar": 100}]
    rig["imu"].latency_ms = 200
    assert _decided(rig, {"imu": -140}) == [{"imu": -140}]


def test_the_stamps_of_a_sensor_never_go_back_and_none_of_its_samples_is_lost(spec: ModelSpec) -> None:
    rig = _rig()
    aligner, corrector = Aligner(spec, rig), Corrector(rig)
    newest_ns, changed = -1, 0
    for number, event in enumerate(corrector.through(_of_a_late_radar(8))):
        if number % 200 == 150:
            corrector.out_of_step({"radar": 300 if number % 400 == 150 else -250, "imu": -20})
        aligner.feed(event)
        ring = aligner.rings["radar"]
        if isinstance(event, Correction):
            newest_ns, changed = ring.newest_stamp_ns, changed + 1
        elif isinstance(event, Sample) and event.sensor == "radar":
            assert newest_ns < event.stamp_ns == ring.newest_stamp_ns
            newest_ns = event.stamp_ns
            assert (ring.stamps_ns()[1:] > ring.stamps_ns()[:-1]).all()
    assert changed == 5
    assert [ring.out_of_order for ring in aligner.rings.values()] == [0, 0, 0]


def test_a_model_with_other_windows_that_takes_over_waits_as_long(spec: ModelSpec) -> None:
    aligner = Aligner(spec, _rig())
    aligner.feed(Correction("radar", BEGIN_NS, 450_000_000))
    longer = spec.model_copy(update={"window_s": 2.0})
    assert aligner.lateness_ns == aligner.with_spec(longer).lateness_ns == 750_000_000
