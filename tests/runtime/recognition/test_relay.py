from __future__ import annotations

import dataclasses
from typing import Callable, Dict, List, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.recognition.presence import PresenceWatch
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.recognition.relay import Relay
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick
from tests.runtime.rigs import infos

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]

_S = 10**9
_NAMES = ("imu", "depth", "radar")
_INFOS = infos(imu=100.0, depth=15.0, radar=20.0)


class _Named(Recognizer):
    """Stands for a recognizer, of which a relay asks no more than what windows it wants."""

    def __init__(self, name: str, spec: ModelSpec) -> None:
        self.name = name
        self.spec = spec
        self._presence = PresenceWatch(spec)


class _Answer(NamedTuple):
    end_s: float
    by: str
    digest: str


def _changed(spec: ModelSpec, window_s: float, hop_s: float, share: float = 1.0) -> ModelSpec:
    """The same sensors in other windows; ``share`` of their rates."""
    modalities = tuple(item.model_copy(update={"rate_hz": item.rate_hz * share}) for item in spec.modalities)
    return spec.model_copy(update={"window_s": window_s, "hop_s": hop_s, "modalities": modalities})


def _fold(spec: ModelSpec, events: List[Event], successors: Dict[float, Recognizer]) -> List[_Answer]:
    """Plays events, handing over at the times of their arrival that ``successors`` names."""
    relay = Relay(Aligner(spec, _INFOS), _Named("old", spec))
    waiting = sorted(successors)
    answers = []
    for event in events:
        while waiting and _now_ns(event) >= waiting[0] * _S:
            relay.hand_over(successors[waiting.pop(0)])
        answers += [_Answer(window.end_ns / _S, by.name, window.digest()) for window, by in relay.feed(event)]
    return answers


def _now_ns(event: Event) -> int:
    if isinstance(event, Sample):
        return event.arrival_ns
    return event.at_ns if isinstance(event, StateChange) else event.now_ns  # type: ignore[union-attr]


def _ticks(start_s: float, stop_s: float) -> List[Event]:
    return [Tick(ms * 10**6) for ms in range(round(start_s * 1000), round(stop_s * 1000), 20)]


@pytest.fixture
def stream(samples: Samples, by_arrival: Merge) -> List[Event]:
    """Twelve seconds of all sensors."""
    ok = [StateChange(name, 0, "ok") for name in _NAMES]
    return by_arrival(ok, *(samples(name, 0, 12) for name in _NAMES), _ticks(0, 12.4))


def test_the_same_windows_are_answered_by_the_successor_from_the_next_one_on(
    spec: ModelSpec, stream: List[Event]
) -> None:
    before = _fold(spec, stream, {})
    after = _fold(spec, stream, {5.2: _Named("new", spec)})
    assert [answer.by for answer in after] == ["old"] * 9 + ["new"] * 14  # 1.0 .. 5.0, 5.5 .. 12.0
    assert [(answer.end_s, answer.digest) for answer in after] == [(answer.end_s, answer.digest) for answer in before]


@pytest.mark.parametrize("at_s", [2.0, 5.2, 5.49, 7.77])
@pytest.mark.parametrize(
    "window_s, hop_s, share", [(1, 0.25, 1), (1, 0.8, 1), (2, 0.5, 0.5), (3, 0.5, 1), (0.5, 0.5, 1), (1, 0.5, 0.5)]
)
def test_other_windows_take_over_as_soon_as_one_is_full_and_none_on_either_side_is_lost_or_lacks_a_sample(
    spec: ModelSpec, stream: List[Event], at_s: float, window_s: float, hop_s: float, share: float
) -> None:
    other = _changed(spec, window_s, hop_s, share)
    answers = _fold(spec, stream, {at_s: _Named("new", other)})
    first = next(answer.end_s for answer in answers if answer.by == "new")
    assert at_s + window_s <= first <= at_s + window_s + hop_s + 0.25
    old = [answer for answer in _fold(spec, stream, {}) if answer.end_s < first]
    new = [answer._replace(by="new") for answer in _fold(other, stream, {}) if answer.end_s >= first]
    assert answers == old + new
    assert new


def test_of_two_successors_the_later_one_takes_over(spec: ModelSpec, stream: List[Event]) -> None:
    long, longer = (_Named(name, _changed(spec, window_s, 0.5)) for name, window_s in (("long", 2), ("longer", 3)))
    assert {answer.by for answer in _fold(spec, stream, {4: long, 5: longer})} == {"old", "longer"}
    back = _fold(spec, stream, {4: long, 5: _Named("back", spec)})
    assert {answer.by for answer in back} == {"old", "back"}
    assert [answer.end_s for answer in back] == [answer.end_s for answer in _fold(spec, stream, {})]


def test_a_successor_may_come_before_the_first_sample(spec: ModelSpec, stream: List[Event]) -> None:
    other = _changed(spec, 2, 0.5)
    answers = _fold(spec, stream, {0: _Named("new", other)})
    assert [answer.end_s for answer in answers if answer.by == "old"] == [1, 1.5]
    assert answers[2:] == [answer._replace(by="new") for answer in _fold(other, stream, {})]


def test_a_long_silence_is_not_made_up_for(spec: ModelSpec, samples: Samples, by_arrival: Merge) -> None:
    """All sensors are lost for an hour, in which a successor comes."""
    hour = 3600.0
    lost = [StateChange(name, round(3.1 * _S), "lost") for name in _NAMES]
    back = [StateChange(name, round(hour * _S), "ok") for name in _NAMES]
    ticks = [Tick(s * _S) for s in range(4, 3600)]
    events = by_arrival(
        *(samples(name, 0, 3) for name in _NAMES), lost, ticks, back, *(samples(n, hour, hour + 5) for n in _NAMES)
    )
    answers = _fold(spec, events, {3000: _Named("new", _changed(spec, 2, 0.5))})
    ends = {by: [answer.end_s for answer in answers if answer.by == by] for by in ("old", "new")}
    assert [end_s for end_s in ends["old"] if end_s < hour] == [1, 1.5, 2, 2.5, 3]
    assert hour < ends["old"][-1] < ends["new"][0] <= hour + 2
    assert ends["new"][-1] == hour + 4.5


def _stalled(stream: List[Sample], start_s: float, stop_s: float) -> List[Sample]:
    """What would arrive between two times arrives at the end of them."""
    stop_ns = round(stop_s * _S)
    return [
        dataclasses.replace(item, arrival_ns=stop_ns) if start_s * _S <= item.arrival_ns < stop_ns else item
        for item in stream
    ]


def test_a_successor_waits_for_a_sensor_that_stalls_as_the_one_before_did(
    spec: ModelSpec, samples: Samples, by_arrival: Merge
) -> None:
    ok = [StateChange(name, 0, "ok") for name in _NAMES]
    radar = _stalled(samples("radar", 0, 8), 5.0, 5.65)
    events = by_arrival(ok, samples("imu", 0, 8), samples("depth", 0, 8), radar, _ticks(0, 8))
    other = _changed(spec, 0.3, 0.1, 3)
    answers = _fold(spec, events, {5.05: _Named("new", other)})
    alone = {answer.end_s: answer.digest for answer in _fold(other, events, {})}
    assert [answer.digest for answer in answers if answer.by == "new"] == [
        alone[answer.end_s] for answer in answers if answer.by == "new"
    ]


@pytest.mark.parametrize("at_s", np.arange(5, 6, 0.07).tolist())
def test_a_successor_takes_over_where_it_lacks_no_frame_of_a_slow_camera(
    spec: ModelSpec, samples: Samples, by_arrival: Merge, at_s: float
) -> None:
    ok = [StateChange(name, 0, "ok") for name in _NAMES]
    events = by_arrival(ok, samples("imu", 0, 8), samples("depth", 0, 8)[::4], samples("radar", 0, 8), _ticks(0, 8))
    other = _changed(spec, 1, 0.05, 4)
    answers = _fold(spec, events, {at_s: _Named("new", other)})
    first = next(answer.end_s for answer in answers if answer.by == "new")
    alone = [answer._replace(by="new") for answer in _fold(other, events, {})]
    assert [it for it in answers if it.by == "new"] == [answer for answer in alone if answer.end_s >= first]


def test_what_was_closed_without_a_sensor_is_not_opened_again(
    spec: ModelSpec, samples: Samples, by_arrival: Merge
) -> None:
    """All stall for longer than windows wait, and come at once just after a successor did."""
    ok = [StateChange(name, 0, "ok") for name in _NAMES]
    streams = [_stalled(samples(name, 0, 8), 4.0, 5.01) for name in _NAMES]
    events = by_arrival(ok, *streams, _ticks(0, 8))
    answers = _fold(_changed(spec, 0.5, 0.1), events, {5.005: _Named("new", _changed(spec, 0.2, 0.05, 2))})
    assert all(np.diff([answer.end_s for answer in answers]) > 0)
    assert next(answer.end_s for answer in answers if answer.by == "new") > 4.7  # closed by the tick at 5.0


@st.composite
def _troubled(draw: st.DrawFn) -> Dict[str, List[float]]:
    """For each sensor, pairs of when it is lost and when it is back."""
    return {name: sorted(draw(st.lists(st.floats(0.5, 11), max_size=4))) for name in _NAMES}


@settings(max_examples=20, deadline=None)
@given(
    _troubled(),
    st.floats(1, 8),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0.2, 0.5, 0.75]),
)
def test_whatever_the_sensors_do_windows_stay_in_order_and_on_their_grids(
    spec: ModelSpec,
    samples: Samples,
    by_arrival: Merge,
    troubles: Dict[str, List[float]],
    at_s: float,
    window_s: float,
    hop_s: float,
) -> None:
    streams: List[List[Event]] = []
    for name in _NAMES:
        times = troubles[name]
        gaps = list(zip(times[::2], times[1::2]))
        streams.append(
            [
                item
                for item in samples(name, 0, 12)
                if not any(start <= item.arrival_ns / _S < stop for start, stop in gaps)
            ]
        )
        for start, stop in gaps:  # a silence is told half a second after it began
            if stop - start > 0.5:
                streams.append([StateChange(name, round((start + 0.5) * _S), "lost")])
                streams.append([StateChange(name, round(stop * _S), "ok")])
    events = by_arrival([StateChange(name, 0, "ok") for name in _NAMES], *streams, _ticks(0, 12.4))
    other = _changed(spec, window_s, hop_s)
    answers = _fold(spec, events, {at_s: _Named("new", other)})
    ends = [answer.end_s for answer in answers]
    assert all(np.diff(ends) > 0)
    first = next((answer.end_s for answer in answers if answer.by == "new"), 99.0)
    old_alone, new_alone = _fold(spec, events, {}), _fold(other, events, {})
    assert [answer for answer in answers if answer.by == "old"] == [it for it in old_alone if it.end_s < first]
    assert [end for end in ends if end >= first] == [it.end_s for it in new_alone if it.end_s >= first]
