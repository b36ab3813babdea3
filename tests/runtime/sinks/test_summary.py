from __future__ import annotations

import io
import json
import pickle
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import pytest
from rich.console import Console

from cosmo_runtime.runtime.recognition.loop import Outcome
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.sensor import SensorInfo

_S = 10**9
_CLASSES = ("walk", "wave", "none")


def _outcome(
    end_s: float,
    probabilities: Sequence[float] = (0.8, 0.1, 0.1),
    truth: Optional[str] = None,
    inside: bool = False,
    latency_ms: float = 5.0,
    activity: Optional[str] = None,
    late: bool = False,
    present: bool = True,
    asleep: Sequence[str] = (),
    bundle: str = "person",
) -> Outcome:
    end_ns = round(end_s * _S)
    prediction = Prediction(
        bundle=bundle,
        window_end_ns=end_ns,
        activity=activity or _CLASSES[int(np.argmax(probabilities))],
        confidence=max(probabilities),
        probabilities=dict(zip(_CLASSES, probabilities)),
        weights={"imu": 1.0},
        present={"imu": True, "radar": present},
        engine_ms=latency_ms / 2,
        latency_ms=latency_ms,
        asleep=frozenset(asleep),
    )
    return Outcome(
        prediction, Window(end_ns, {}, prediction.present, end_ns, late), {}, end_ns - _S, truth, inside, _S // 2
    )


def _summary(
    truths: Sequence[Tuple[float, str]] = (), outcomes: Sequence[Outcome] = (), infos: Optional[Dict] = None
) -> Summary:
    summary = Summary(infos or {})
    for at_s, activity in truths:
        summary.event(Truth(round(at_s * _S), activity))
    for outcome in outcomes:
        summary.outcome(outcome)
    return summary


def _text(summary: Summary) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(summary.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def infos() -> Dict[str, SensorInfo]:
    infos = {"imu": SensorInfo("imu", "an IMU", 100), "radar": SensorInfo("radar", "a radar", 20)}
    infos["imu"].counts.update(samples=1200, lost_samples=7, bad_checksums=2, reconnections=0)
    infos["radar"].counts.update(samples=240)
    return infos


def test_a_run_without_windows_has_a_summary_too(infos: Dict[str, SensorInfo]) -> None:
    summary = _summary(infos=infos)
    assert summary.as_dict()["windows"] == 0
    assert "latency_ms" not in summary.as_dict()
    assert "0 windows" in _text(summary)


def test_windows_without_an_answer_are_told_with_the_reason(infos: Dict[str, SensorInfo]) -> None:
    summary = _summary(outcomes=[_outcome(1)], infos=infos)
    assert summary.as_dict()["windows_lost"] == {"empty": 0, "outdated": 0, "refused": 0}
    assert "lost: " not in _text(summary)
    summary.empty(48)
    for _ in range(2):
        summary.outdated(_outcome(2).window)
    assert summary.as_dict()["windows_lost"] == {"empty": 48, "outdated": 2, "refused": 0}
    assert "48 windows lost: no sensor had enough data in them" in _text(summary)
    assert "2 windows lost: this machine could not keep up" in _text(summary)


def test_latencies_are_told_as_percentiles() -> None:
    summary = _summary(outcomes=[_outcome(n / 2, latency_ms=float(n)) for n in range(1, 102)])
    figures = json.loads(json.dumps(summary.as_dict()))
    assert figures["windows"] == 101
    assert figures["latency_ms"] == {"p50": 51, "p99": 100, "max": 101}
    assert figures["engine_ms"] == {"p50": 25.5, "p99": 50, "max": 50.5}
    assert "latency: p50 51.0 ms, p99 100.0 ms, max 101.0 ms" in _text(summary)


def test_uncertain_late_and_absent_windows_are_counted(infos: Dict[str, SensorInfo]) -> None:
    outcomes = [_outcome(1), _outcome(2, activity="uncertain"), _outcome(3, late=True, present=False)]
    summary = _summary(outcomes=outcomes, infos=infos)
    figures = summary.as_dict()
    assert (figures["windows"], figures["uncertain"], figures["late"]) == (3, 1, 1)
    assert figures["sensors"] == {
        "imu": {"samples": 1200, "lost_samples": 7, "bad_checksums": 2, "reconnections": 0, "absent_windows": 0},
        "radar": {"samples": 240, "absent_windows": 1},
    }


def test_windows_in_which_a_sensor_slept_are_counted_and_are_not_absent(infos: Dict[str, SensorInfo]) -> None:
    summary = _summary(outcomes=[_outcome(1), _outcome(2, asleep=["radar"])], infos=infos)
    sensors = json.loads(json.dumps(summary.as_dict()))["sensors"]
    assert (sensors["radar"]["asleep_windows"], sensors["imu"]["asleep_windows"]) == (1, 0)
    assert sensors["radar"]["absent_windows"] == 0
    assert "asleep windows 1" in _text(summary)


def test_people_read_losses_by_sensor_and_only_counts_that_count(infos: Dict[str, SensorInfo]) -> None:
    rows = [line.split() for line in _text(_summary(infos=infos)).splitlines()]
    assert ["imu", "1200", "7", "0", "bad", "checksums", "2"] in rows
    assert ["radar", "240", "0", "0", "–"] in rows


def test_windows_wholly_inside_an_activity_are_scored() -> None:
    outcomes = [
        _outcome(2, truth="walk", inside=True),
        _outcome(3, truth="wave", inside=True),
        _outcome(4, truth="walk", inside=True, activity="uncertain"),
        _outcome(5, truth="wave", inside=False),
        _outcome(6),
    ]
    summary = _summary(outcomes=outcomes)
    assert summary.as_dict()["inside"] == {"windows": 3, "right": 1}
    assert "inside one activity: 1 of 3 right (33.3%)" in _text(summary)


def test_nothing_is_scored_where_the_truth_is_not_known() -> None:
    summary = _summary(outcomes=[_outcome(2), _outcome(3)])
    assert summary.activities() is None
    assert not {"inside", "activities"} & set(summary.as_dict())
    assert "right" not in _text(summary)


_TIMELINE = [(0.0, "none"), (10.0, "walk"), (13.0, "none"), (14.0, "wave"), (17.0, "none")]


def _told(guesses: Sequence[Tuple[float, Sequence[float]]]) -> List[Outcome]:
    """Outcomes whose windows of 2 s have their middle at the given seconds."""
    return [_outcome(middle_s + 1, probabilities, truth="known") for middle_s, probabilities in guesses]


@pytest.mark.parametrize(
    "guesses, expected",
    [
        ([(11, (0.9, 0.1, 0.0)), (15, (0.1, 0.9, 0.0))], (2, 2)),
        ([(11, (0.1, 0.9, 0.0)), (15, (0.1, 0.9, 0.0))], (1, 2)),
        # the most confident window speaks, whatever the others say
        ([(10.5, (0.3, 0.7, 0.0)), (11, (0.8, 0.2, 0.0)), (11.5, (0.4, 0.6, 0.0)), (15, (0.1, 0.9, 0.0))], (2, 2)),
        # an activity that is taken for a rest is wrong
        ([(11, (0.3, 0.1, 0.6)), (15, (0.05, 0.91, 0.04))], (1, 2)),
        # a rest is not asked for: no guess during it counts, right or wrong
        ([(5, (0.99, 0.01, 0.0)), (11, (0.9, 0.1, 0.0)), (13.5, (0.0, 1.0, 0.0)), (15, (0.9, 0.1, 0.0))], (1, 2)),
        # the middle decides to whom a window belongs: the start belongs to the activity, the end does not
        ([(10, (0.6, 0.4, 0.0)), (13, (0.1, 0.9, 0.0)), (14, (0.1, 0.9, 0.0)), (17, (0.99, 0.0, 0.0))], (2, 2)),
        # an activity without a single window was never seen, and is not counted
        ([(11, (0.9, 0.1, 0.0))], (1, 1)),
        ([(5, (0.9, 0.1, 0.0))], None),
    ],
)
def test_an_activity_is_right_when_its_most_confident_window_names_it(
    guesses: Sequence[Tuple[float, Sequence[float]]], expected: Optional[Tuple[int, int]]
) -> None:
    summary = _summary(_TIMELINE, _told(guesses))
    assert summary.activities() == expected
    if expected:
        assert summary.as_dict()["activities"] == {"right": expected[0], "total": expected[1]}
        assert f"right: {expected[0]} of {expected[1]}" in _text(summary)


def test_a_rest_is_right_when_the_window_in_its_middle_says_so() -> None:
    said_none, said_walk = (0.1, 0.0, 0.9), (0.9, 0.1, 0.0)
    summary = _summary(_TIMELINE, _told([(5, said_none), (11, said_none), (13.5, said_walk)]))
    assert (summary.rests, summary.rests_right) == (2, 1)
    assert summary.as_dict()["rests"] == {"windows": 2, "right": 1}
    assert "rests between activities: 1 of 2 right (50.0%)" in _text(summary)
    unsure = _outcome(6, (0.3, 0.3, 0.4), truth="known", activity="uncertain")
    assert _summary(_TIMELINE, [unsure]).rests_right == 0


def test_the_last_activity_counts_once_it_has_ended() -> None:
    summary = _summary(_TIMELINE[:2], _told([(11, (0.9, 0.1, 0.0))]))
    assert summary.activities() is None
    summary.event(Truth(13 * _S, "none"))
    assert summary.activities() == (1, 1)


def test_windows_are_counted_by_bundle_and_told_where_more_than_one_answered() -> None:
    one = _summary(outcomes=[_outcome(2), _outcome(2.5)])
    assert one.as_dict()["bundles"] == {"person": 2}
    assert "person" not in _text(one)
    two = _summary(outcomes=[_outcome(2), _outcome(2.5, bundle="my-room"), _outcome(3, bundle="my-room")])
    assert two.as_dict()["bundles"] == {"person": 1, "my-room": 2}
    assert "answered by person 1, my-room 2" in _text(two)


def test_names_are_never_markup() -> None:
    two = _summary(outcomes=[_outcome(2), _outcome(2.5, bundle="room [2] [/]")])
    assert "answered by person 1, room [2] [/] 1" in _text(two)


def test_windows_whose_answer_was_none_are_counted() -> None:
    summary = _summary(outcomes=[_outcome(2)])
    assert summary.as_dict()["windows_lost"]["refused"] == 0  # type: ignore[index]
    summary.refused(Window(3 * _S, {}, {}, 3 * _S))
    assert summary.as_dict()["windows_lost"]["refused"] == 1  # type: ignore[index]
    assert "1 windows lost: the model's output was invalid" in _text(summary)


def test_activities_that_the_model_has_no_name_for_are_counted_apart() -> None:
    truths = [(0, "walk"), (4, "juggle"), (8, "wave"), (12, "none")]
    summary = _summary(
        truths,
        [
            _outcome(3, truth="walk", inside=True),
            _outcome(6, truth="juggle", inside=True),
            _outcome(7, truth="juggle", inside=True),
            _outcome(10, (0.1, 0.8, 0.1), truth="wave", inside=True),
        ],
    )
    figures = summary.as_dict()
    assert figures["inside"] == {"windows": 2, "right": 2}
    assert figures["unnamed"] == {"juggle": 2}
    assert figures["activities"] == {"total": 2, "right": 2}
    assert "2 windows are not counted, because the model has no name for juggle" in _text(summary)


def test_what_would_put_sensors_in_step_for_good_is_told() -> None:
    infos = {"depth": SensorInfo("depth", "a camera", 15, latency_ms=30), "imu": SensorInfo("imu", "an IMU", 100)}
    summary = _summary(outcomes=[_outcome(1)], infos=infos)
    assert "put in step" not in _text(summary)
    summary.corrected({"depth": 180.4})
    assert "sensors were put in step; to make it permanent, set depth latency_ms = 210" in _text(summary)
    assert summary.as_dict()["corrected_ms"] == {"depth": 180.4}


def test_what_is_counted_is_not_kept() -> None:
    summary = _summary()
    for start_s in range(0, 6000, 10):
        summary.event(Truth(start_s * _S, "walk" if start_s % 20 else "wave"))
        for outcome in _told([(start_s + middle_s, (0.9, 0.1, 0.0)) for middle_s in range(1, 10)]):
            summary.outcome(outcome)
    assert len(pickle.dumps(summary._guesses)) < 5000  # of a tenth of its 5400 windows
    assert summary.activities() == (299, 599)


def test_of_an_activity_that_goes_on_for_hours_only_the_most_confident_window_is_kept() -> None:
    summary = _summary([(0, "wave")])
    surest = [(100, (0.1, 0.9, 0.0))]
    for outcome in _told([*surest, *((middle_s, (0.6, 0.4, 0.0)) for middle_s in range(101, 6000))]):
        summary.outcome(outcome)
    assert len(summary._guesses) < 70  # a true activity may be told a minute late
    summary.event(Truth(6000 * _S, "walk"))
    assert summary.activities() == (1, 1)
