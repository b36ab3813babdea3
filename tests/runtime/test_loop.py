from __future__ import annotations

import time
from typing import Callable, Dict, Iterable, List, Optional, Tuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.bundle import Bundle
from models.spec import ModelSpec
from runtime.aligner import Aligner
from runtime.engine import OnnxRuntimeEngine
from runtime.loop import Outcome, Sink, keep, recognise
from runtime.recognizer import Recognizer
from sensors.events import Event, Sample, StateChange, Tick, Truth
from sensors.sensor import SensorInfo

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

    def event(self, event: Event) -> None:
        self.events.append(event)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def idle(self) -> None:
        self.idles += 1


Run = Callable[..., _Kept]


@pytest.fixture
def run(spec: ModelSpec, tiny_bundle: Bundle, infos: Dict[str, SensorInfo]) -> Run:
    """Recognises made-up events and returns what a sink was given."""
    engine = OnnxRuntimeEngine(tiny_bundle.onnx)

    def run(events: Iterable[Event], live: bool = False) -> _Kept:
        sink = _Kept()
        aligner = Aligner(spec, {name: info.rate_hz for name, info in infos.items()})
        recognise(events, aligner, Recognizer(tiny_bundle, engine), infos, [sink], live)
        return sink

    return run


def _ticks(start_s: float, stop_s: float) -> List[Event]:
    return [Tick(ms * 10**6) for ms in range(round(start_s * 1000), round(stop_s * 1000), 20)]


def _ok(at_s: float) -> List[Event]:
    return [StateChange(name, round(at_s * _S), "ok") for name in _NAMES]


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
    stream = samples("imu", 0, 1.1)
    shift_ns = time.monotonic_ns() // _S * _S - 2 * _S  # the last sample arrived a second ago or more
    earlier = [Sample("imu", item.stamp_ns + shift_ns, item.arrival_ns + shift_ns, item.data) for item in stream]
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
    assert 2 <= run(events, live=True).idles < 20
    assert 2 <= run(samples("imu", 0, 1.1)).idles < 20  # a replay has no ticks to wait for


def test_keeping_passes_everything_but_ticks(samples: Samples) -> None:
    sink = _Kept()
    stream = [*_ok(0), *samples("imu", 0, 0.2), Truth(5, "walk")]
    keep([*stream, Tick(time.monotonic_ns())], [sink])
    assert sink.events == stream
    assert sink.idles == 1


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
        recognise(events, Aligner(spec, {"imu": 100, "depth": 15, "radar": 20}), _NoRecognizer(spec), {}, [sink], False)
        return sink.events, {outcome.window.end_ns: outcome.window.digest() for outcome in sink.outcomes}

    streams = [_with_troubles(samples(name, 0, 6), troubles[name]) for name in _NAMES]
    kept, digests = fold(by_arrival(_ok(0), *streams, _ticks(0, 6.5)))
    assert fold(kept)[1] == digests


class _NoRecognizer(Recognizer):
    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def predict(self, *_: object) -> None:  # type: ignore[override]
        return None
