from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, pass_on, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.selection.policy import Selection
from cosmo_runtime.runtime.selection.settings import SelectionConfig
from cosmo_runtime.runtime.sinks.json_lines import as_json
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.runtime import rigs
from tests.runtime.sync.made_up import bursts, samples, seen

Samples = Callable[..., List[Sample]]
Troubles = Dict[str, List[Tuple[str, float, float]]]
Merge = Callable[..., List[Event]]

_S = 10**9
_NAMES = ("imu", "depth", "radar")


class _Kept(Sink):
    """Remembers all it is given."""

    def __init__(self) -> None:
        self.events: List[Event] = []
        self.outcomes: List[Outcome] = []
        self.idles = 0
        self.empty_windows = 0
        self.outdated_windows: List[Window] = []
        self.silences: List[Silence] = []
        self.behind_ms: List[Dict[str, float]] = []

    def event(self, event: Event) -> None:
        self.events.append(event)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def empty(self, windows: int) -> None:
        self.empty_windows += windows

    def outdated(self, window: Window) -> None:
        self.outdated_windows.append(window)

    def silence(self, silence: Silence) -> None:
        self.silences.append(silence)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        self.behind_ms.append(dict(behind_ms))

    def idle(self) -> None:
        self.idles += 1


Run = Callable[..., _Kept]


@pytest.fixture
def run(spec: ModelSpec, tiny_bundle: Bundle, infos: Dict[str, SensorInfo]) -> Run:
    """Recognises made-up events and returns what a sink was given."""
    engine = OnnxRuntimeEngine(tiny_bundle.onnx)

    def run(events: Iterable[Event], live: bool = False) -> _Kept:
        sink = _Kept()
        aligner = Aligner(spec, infos)
        recognise(events, aligner, Recognizer(tiny_bundle, engine), infos, [sink], live)
        return sink

    return run


def _ticks(start_s: float, stop_s: float) -> List[Event]:
    return [Tick(ms * 10**6) for ms in range(round(start_s * 1000), round(stop_s * 1000), 20)]


def _ok(at_s: float) -> List[Event]:
    return [StateChange(name, round(at_s * _S), "ok") for name in _NAMES]


def _at_present(events: Iterable[Event], ago_s: int = 2) -> List[Event]:
    """Moves events to the present, so that their second 0 is some seconds ago."""
    shift_ns = (time.monotonic_ns() // _S - ago_s) * _S
    moved: List[Event] = []
    for event in events:
        if isinstance(event, Sample):
            moved.append(replace(event, stamp_ns=event.stamp_ns + shift_ns, arrival_ns=event.arrival_ns + shift_ns))
        elif isinstance(event, StateChange):
            moved.append(replace(event, at_ns=event.at_ns + shift_ns))
        elif isinstance(event, Tick):
            moved.append(Tick(event.now_ns + shift_ns))
    return moved


def test_each_window_is_answered_once_in_order_with_the_states_of_the_rigs_sensors(
    run: Run, samples: Samples, by_arrival: Merge
) -> None:
    lost = [StateChange("radar", round(2.1 * _S), "lost", "unplugged")]
    streams = [samples("imu", 0, 4.2), samples("radar", 0, 2.1), samples("depth", 0, 2.1)]
    outcomes = run(by_arrival(_ok(0), *streams, lost, _ticks(0, 4.4))).outcomes
    assert [outcome.window.end_ns / _S for outcome in outcomes] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    assert [outcome.prediction.window_end_ns for outcome in outcomes] == [item.window.end_ns for item in outcomes]
    assert [outcome.sensors["imu"] for outcome in outcomes] == ["ok"] * 7
    assert [outcome.sensors["radar"] for outcome in outcomes] == ["ok"] * 3 + ["lost"] * 4
    assert [outcome.sensors["depth"] for outcome in outcomes] == ["ok"] * 4 + ["absent"] * 3  # silent, not yet lost
    assert all(outcome.window.late for outcome in outcomes[3:])


def test_sensors_that_the_rig_does_not_have_have_no_state(
    run: Run, samples: Samples, infos: Dict[str, SensorInfo]
) -> None:
    del infos["radar"], infos["depth"]
    (outcome,) = run(samples("imu", 0, 1.1)).outcomes
    assert outcome.sensors == {"imu": "ok"}
    assert outcome.prediction.present == {"imu": True, "depth": False, "radar": False}


def test_the_truth_of_a_window_is_that_of_its_middle(run: Run, samples: Samples) -> None:
    truths = [Truth(round(at_s * _S), activity) for at_s, activity in ((0.8, "walk"), (1.9, "wave"))]
    outcomes = run([*truths, *samples("imu", 0, 3.1)]).outcomes
    assert [(outcome.window.end_ns / _S, outcome.truth, outcome.inside) for outcome in outcomes] == [
        (1.0, None, False),
        (1.5, "walk", False),
        (2.0, "walk", False),
        (2.5, "wave", False),
        (3.0, "wave", True),
    ]


def test_waiting_counts_into_the_latency_of_a_live_run_only(run: Run, samples: Samples) -> None:
    earlier = _at_present(samples("imu", 0, 1.1))  # the last sample arrived a second ago or more
    (live,), (replayed,) = run(earlier, live=True).outcomes, run(earlier).outcomes
    assert 900 < live.prediction.latency_ms < 60_000
    assert live.prediction.engine_ms < replayed.prediction.latency_ms + 500 < 900


def test_sinks_get_all_but_the_ticks_that_closed_nothing(run: Run, samples: Samples, by_arrival: Merge) -> None:
    stream = [*_ok(0), *samples("imu", 0, 1.2)]
    sink = run(by_arrival(stream, _ticks(0, 4)))
    ticks = [event for event in sink.events if isinstance(event, Tick)]
    assert [event for event in sink.events if not isinstance(event, Tick)] == stream
    # 1.0 .. 3.5 close on the first tick after their lateness, also those in which there was nothing to see
    assert [tick.now_ns / _S for tick in ticks] == [1.3, 1.8, 2.3, 2.8, 3.3, 3.8]
    assert len(sink.outcomes) == 2


def test_idle_time_comes_after_a_window_and_then_now_and_then(run: Run, samples: Samples, by_arrival: Merge) -> None:
    events = by_arrival(samples("imu", 0, 1.1), _ticks(0, 1.1))
    assert 2 <= run(_at_present(events), live=True).idles < 20
    assert 2 <= run(samples("imu", 0, 1.1)).idles < 20  # a replay has no ticks to wait for


def test_keeping_passes_everything_but_ticks(samples: Samples) -> None:
    sink = _Kept()
    stream = [*_ok(0), *samples("imu", 0, 0.2), Truth(5, "walk")]
    pass_on([*stream, Tick(time.monotonic_ns())], ["imu"], [sink])
    assert sink.events == stream
    assert sink.idles == 1


def test_keeping_says_when_all_sensors_are_lost(samples: Samples, caplog: pytest.LogCaptureFixture) -> None:
    pass_on([StateChange("imu", 1, "lost", "unplugged"), Tick(2)], ["imu", "radar"], [])
    assert not caplog.records
    pass_on([StateChange(name, 1, "lost", "unplugged") for name in ("imu", "radar")], ["imu", "radar"], [])
    assert [record.message for record in caplog.records] == [
        "nothing is recorded, because all sensors are lost: imu, radar"
    ]


def test_a_run_without_a_window_says_at_its_end_what_was_lacking(run: Run, samples: Samples) -> None:
    no_rate = [Sample(item.sensor, item.stamp_ns, item.arrival_ns, item.data.copy()) for item in samples("imu", 0, 4)]
    for sample in no_rate:
        sample.data[3:6] = np.nan
    sink = run([*no_rate, *_ticks(4, 5)])
    assert not sink.outcomes
    assert sink.empty_windows > 4
    (silence,) = sink.silences
    assert silence.reason == "imu: no angular rate; depth: no samples; radar: no samples"
    assert run(samples("imu", 0, 4)).silences == []


def test_memory_is_bounded_where_samples_fill_no_window(
    run: Run, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: List[int] = []
    monkeypatch.setattr("cosmo_runtime.runtime.sync.watch.StepWatch.look", lambda _, now_ns: looked.append(now_ns))
    sparse = [sample for number, sample in enumerate(samples("imu", 0, 20)) if number % 100 == 0]
    assert run([*_ok(0), *sparse, *_ticks(20, 21)]).outcomes == []
    assert looked, "what the watch of the sensors' step keeps is dropped when it looks"


def test_all_sensors_lost_is_said_at_once_to_people_and_machines(
    run: Run, samples: Samples, by_arrival: Merge, caplog: pytest.LogCaptureFixture
) -> None:
    lost = [StateChange(name, round(at_s * _S), "lost", "unplugged") for at_s, name in enumerate(_NAMES, start=2)]
    sink = run(by_arrival(samples("imu", 0, 2), _ticks(0, 5), lost))
    (silence,) = sink.silences
    assert silence.at_ns == 4 * _S  # when the last one was lost
    assert silence.sensors == {"imu": "lost", "depth": "lost", "radar": "lost"}
    (record,) = caplog.records
    assert record.message.startswith("nothing is recognised: imu: lost (unplugged); depth: lost")


def test_a_live_run_that_fell_behind_drops_what_is_old_and_answers_the_newest(
    run: Run, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    events = _at_present(samples("imu", 0, 12.9), ago_s=12)  # windows that end 11 s ago and less
    sink = run(events, live=True)
    outdated = [window.end_ns for window in sink.outdated_windows]
    answered = [outcome.window.end_ns for outcome in sink.outcomes]
    assert sorted(outdated + answered) == sorted({*outdated, *answered})
    assert len(outdated) > 15
    assert 1 <= len(answered) < 6
    assert max(outdated) < min(answered)
    assert f"this machine cannot keep up: {len(outdated)} windows" in caplog.text
    assert len(run(events).outcomes) == len(outdated + answered)  # a replay answers all


def test_a_live_run_held_up_for_three_seconds_answers_every_window(run: Run, samples: Samples) -> None:
    sink = run(_at_present(samples("imu", 0, 4.1), ago_s=4), live=True)
    assert len(sink.outcomes) == 7
    assert not sink.outdated_windows


@st.composite
def _troubles(draw: st.DrawFn) -> Troubles:
    """For each sensor, when it stalls (all comes at the end of it), is silent, or is lost."""
    kinds = st.sampled_from(["stalls", "silent", "lost"])
    times = st.floats(0, 4), st.floats(0.05, 3)
    return {name: draw(st.lists(st.tuples(kinds, *times), max_size=3)) for name in _NAMES}


def _with_troubles(stream: List[Sample], troubles: List[Tuple[str, float, float]]) -> List[Event]:
    """What a host gets of a stream: arrival never before an earlier one's, states told as ``LiveSource`` does."""
    name = stream[0].sensor
    events: List[Event] = []
    for kind, start_s, length_s in troubles:
        if kind == "lost":
            events.append(StateChange(name, round(start_s * _S), "lost"))
            events.append(StateChange(name, round((start_s + length_s) * _S), "ok"))
    newest_ns = 0
    for sample in stream:
        arrival_ns: Optional[int] = sample.arrival_ns
        for kind, start_s, length_s in troubles:
            if start_s * _S <= sample.arrival_ns < (start_s + length_s) * _S:
                arrival_ns = round((start_s + length_s) * _S) if kind == "stalls" and arrival_ns else None
        if arrival_ns:
            newest_ns = max(newest_ns, arrival_ns)
            events.append(Sample(name, sample.stamp_ns, newest_ns, sample.data))
    return events


@settings(max_examples=50)
@given(_troubles())
@example({name: [("stalls", 1.5, 3.0)] for name in _NAMES})  # windows of nothing close before their samples come
def test_what_sinks_get_is_enough_to_cut_the_same_windows_again(
    spec: ModelSpec, samples: Samples, by_arrival: Merge, troubles: Troubles
) -> None:
    def fold(events: List[Event]) -> Tuple[List[Event], Dict[int, str]]:
        sink = _Kept()
        recognise(
            events, Aligner(spec, rigs.infos(imu=100, depth=15, radar=20)), _NoRecognizer(spec), {}, [sink], False
        )
        return sink.events, {outcome.window.end_ns: outcome.window.digest() for outcome in sink.outcomes}

    streams = [_with_troubles(samples(name, 0, 6), troubles[name]) for name in _NAMES]
    kept, digests = fold(by_arrival(_ok(0), *streams, _ticks(0, 6.5)))
    assert fold(kept)[1] == digests


class _NoRecognizer(Recognizer):
    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def predict(self, *_: object) -> None:  # type: ignore[override]
        return None


def test_a_window_whose_answer_is_none_is_told_to_the_sinks_and_the_run_goes_on(
    spec: ModelSpec,
    tiny_bundle: Bundle,
    infos: Dict[str, SensorInfo],
    samples: Samples,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Hiccup(OnnxRuntimeEngine):
        asked = 0

        def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
            self.asked += 1  # for the first time when it is opened
            probabilities, weights = super().infer(inputs)
            return (probabilities * np.nan if self.asked == 3 else probabilities), weights

    class Refused(_Kept):
        def __init__(self) -> None:
            super().__init__()
            self.refused_ends: List[int] = []

        def refused(self, window: Window) -> None:
            self.refused_ends.append(window.end_ns)

    sink = Refused()
    aligner = Aligner(spec, rigs.infos(imu=100))
    recognizer = Recognizer(tiny_bundle, Hiccup(tiny_bundle.onnx))
    events = [StateChange("imu", 0, "ok"), *samples("imu", 0, 3.2)]
    recognise(events, aligner, recognizer, infos, [sink], False)
    assert [outcome.window.end_ns for outcome in sink.outcomes] == [_S, 2 * _S, 5 * _S // 2, 3 * _S]
    assert sink.refused_ends == [3 * _S // 2]
    assert caplog.messages == ["no prediction for a window: tiny: the model answers probabilities that are not finite"]
    for outcome in sink.outcomes:
        json.dumps(as_json(outcome, 0), allow_nan=False)


def test_a_sensor_that_is_out_of_step_is_told_and_logged_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    (behind_ms,) = run(samples(seen(bursts(90), imu=0, radar=0.2))).behind_ms
    assert behind_ms == {"radar": pytest.approx(200, abs=20)}
    assert [record.message for record in caplog.records if "behind the others" in record.message] == [
        f"radar is {behind_ms['radar']:.0f} ms behind the others"
    ]


def test_a_sensor_that_sleeps_is_not_asked_and_says_so(
    spec: ModelSpec, tiny_bundle: Bundle, infos: Dict[str, SensorInfo], samples: Samples, by_arrival: Merge
) -> None:
    stream = by_arrival(*(samples(name, 0, 6.2) for name in _NAMES))
    engine, sinks = OnnxRuntimeEngine(tiny_bundle.onnx), (_Kept(), _Kept())
    for sink, selection in zip(sinks, (None, _sleeps_at_once(infos))):
        recognizer = Recognizer(tiny_bundle, engine, min_confidence=0)
        recognise(stream, Aligner(spec, infos), recognizer, infos, [sink], False, selection=selection)
    awake, asleep = (sink.outcomes for sink in sinks)
    assert [one.window.digest() for one in awake] == [other.window.digest() for other in asleep]
    assert {outcome.sensors["depth"] for outcome in awake} == {"ok"}
    assert [outcome.sensors["depth"] for outcome in asleep[:3]] == ["ok", "asleep", "asleep"]
    for outcome in asleep:
        sleeps = outcome.sensors["depth"] == "asleep"
        assert (outcome.prediction.weights["depth"] == 0) == sleeps
        assert outcome.prediction.present["depth"]
        assert as_json(outcome, 0)["sensors"] == dict(outcome.sensors)
    assert all(outcome.sensors["imu"] == "ok" for outcome in asleep)


def test_a_sensor_that_sleeps_and_is_lost_is_lost(
    spec: ModelSpec, tiny_bundle: Bundle, infos: Dict[str, SensorInfo], samples: Samples, by_arrival: Merge
) -> None:
    lost = [StateChange("depth", round(3.3 * _S), "lost", "unplugged")]
    stream = by_arrival(samples("imu", 0, 6.2), samples("radar", 0, 6.2), samples("depth", 0, 3.1), lost)
    sink, recognizer = _Kept(), Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx), min_confidence=0)
    recognise(stream, Aligner(spec, infos), recognizer, infos, [sink], False, selection=_sleeps_at_once(infos))
    states = [outcome.sensors["depth"] for outcome in sink.outcomes]
    assert states[1:4] == ["asleep"] * 3
    assert set(states[6:]) == {"lost"}


def _sleeps_at_once(infos: Mapping[str, SensorInfo]) -> Selection:
    kinds = {name: info.kind for name, info in infos.items()}
    return Selection(kinds, SelectionConfig(sure=0, doubt=0, depth_after_s=0.1, radar_after_s=0.1))
