"""Stretches of activity are found by motion where the model knows nothing, and by the model where nothing rests."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.runtime.labels.segmentation import Segmenter, TooLong
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.recognition.loop import Outcome
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import SensorInfo

S = 10**9
BEGAN_S = 1000

Plan = Sequence[Tuple[float, float, Optional[str]]]  # seconds from the start, and what the model takes it for


def watched(
    spec: ModelSpec,
    infos: Dict[str, SensorInfo],
    seconds: float,
    moving: Sequence[Tuple[float, float]],
    known: Plan,
    sensors: Sequence[str] = ("imu", "depth", "radar"),
    unseeing: Sequence[str] = (),
    accelerations: Optional[Tuple[float, float]] = None,
    min_confidence: Callable[[float], float] = lambda middle_s: 0.5,
) -> Segmenter:
    """Feeds a segmenter with sensors that see motion at times, and with a model that knows activities at times.

    ``accelerations``, of motion and of rest, are those of an IMU that measures nothing else.
    """
    rng = np.random.default_rng(1)
    segmenter = Segmenter(spec, {name: infos[name] for name in (*sensors, *unseeing)})
    for name in (*sensors, *unseeing):
        for number in range(int(seconds * infos[name].rate_hz)):
            time_s = number / infos[name].rate_hz
            moves = any(start_s <= time_s < end_s for start_s, end_s in moving)
            if name in unseeing:
                data = np.zeros((8, 12) if name == "depth" else (0, 5))
            elif name == "imu" and accelerations:
                data = np.full(9, np.nan)
                data[:3] = rng.normal(0, accelerations[0 if moves else 1], 3) + np.array([0, 6, 8])
            elif name == "imu":
                data = rng.normal(0, 3.0 if moves else 0.05, 9) + np.array([0, 0, 9.81, *[0] * 6])
            elif name == "depth":
                data = np.full((8, 12), 2000) + rng.integers(0, 500 if moves else 20, (8, 12))
            else:
                data = np.tile([0, 2, 0, 1.0, 20], (rng.integers(5, 9) if moves else 0, 1))
            stamp_ns = round((BEGAN_S + time_s) * S)
            data = data.astype(np.uint16 if name == "depth" else np.float32)
            segmenter.event(Sample(name, stamp_ns, stamp_ns, data))
    for end_ns in range(BEGAN_S * S + spec.window_ns, round((BEGAN_S + seconds) * S), spec.hop_ns):
        middle_s = (end_ns - spec.window_ns / 2) / S - BEGAN_S
        activity = next((name for start_s, end_s, name in known if start_s <= middle_s < end_s), None)
        segmenter.outcome(_outcome(spec, end_ns, activity, min_confidence(middle_s)))
    return segmenter


def _outcome(spec: ModelSpec, end_ns: int, activity: Optional[str], min_confidence: float = 0.5) -> Outcome:
    sure = {name: 0.9 if name == activity else 0.1 / (len(spec.classes) - 1) for name in spec.classes}
    shares = sure if activity else dict.fromkeys(spec.classes, 1 / len(spec.classes))
    prediction = Prediction("tiny", end_ns, "", 0, shares, {}, {}, 0, 0, min_confidence=min_confidence)
    return Outcome(
        prediction, Window(end_ns, {}, {}, end_ns), {}, end_ns - spec.window_ns // 2, None, False, spec.hop_ns
    )


def rounded(segments: List[Segment]) -> List[Tuple[float, float, str]]:
    return [(s.start_ns / S - BEGAN_S, s.end_ns / S - BEGAN_S, s.activity) for s in segments]


def assert_near(segments: List[Segment], expected: Sequence[Tuple[float, float, str]], within_s: float = 0.4) -> None:
    found = rounded(segments)
    assert [activity for _, _, activity in found] == [activity for _, _, activity in expected], found
    for (start_s, end_s, _), (true_start_s, true_end_s, _) in zip(found, expected):
        assert abs(start_s - true_start_s) <= within_s, found
        assert abs(end_s - true_end_s) <= within_s, found


MOVING = [(3.0, 6.0), (8.0, 12.5), (15.0, 17.0)]


@pytest.mark.parametrize("sensors", [("imu", "depth", "radar"), ("imu",), ("depth",), ("radar",)])
def test_what_the_model_does_not_know_is_found_by_its_motion(
    spec: ModelSpec, infos: Dict[str, SensorInfo], sensors: Sequence[str]
) -> None:
    segments = watched(spec, infos, 20, MOVING, [], sensors).segments()
    assert_near(segments, [(start_s, end_s, UNCERTAIN) for start_s, end_s in MOVING])


def test_a_gentle_motion_is_seen_beside_gravity(spec: ModelSpec, infos: Dict[str, SensorInfo]) -> None:
    segments = watched(spec, infos, 20, MOVING, [], ("imu",), accelerations=(0.2, 0.02)).segments()
    assert_near(segments, [(start_s, end_s, UNCERTAIN) for start_s, end_s in MOVING])


def test_what_the_model_knows_is_named_and_rests_are_left_out(spec: ModelSpec, infos: Dict[str, SensorInfo]) -> None:
    known = [(0, 3, "none"), (3, 6, "walk"), (6, 8, "none"), (8, 12.5, "wave"), (12.5, 15, "none"), (17, 20, "none")]
    segments = watched(spec, infos, 20, MOVING, known).segments()
    assert_near(segments, [(3, 6, "walk"), (8, 12.5, "wave"), (15, 17, UNCERTAIN)])


def test_activities_without_a_rest_between_are_told_apart_by_the_model(
    spec: ModelSpec, infos: Dict[str, SensorInfo]
) -> None:
    known: List[Tuple[float, float, str]] = [(4, 9.25, "walk"), (9.25, 14.25, "wave"), (14.25, 18, "walk")]
    segments = watched(spec, infos, 22, [(4, 18)], known).segments()
    assert_near(segments, known, 0.31)


def test_an_activity_is_one_though_its_motion_changes(spec: ModelSpec, infos: Dict[str, SensorInfo]) -> None:
    segments = watched(spec, infos, 20, [(4, 8), (10, 14)], [(4, 14, "walk")]).segments()
    assert_near(segments, [(4, 14, "walk")])


def test_motion_that_the_model_takes_for_a_rest_is_not_lost(spec: ModelSpec, infos: Dict[str, SensorInfo]) -> None:
    segments = watched(spec, infos, 20, [(5, 9)], [(0, 20, "none")]).segments()
    assert_near(segments, [(5, 9, UNCERTAIN)])


@pytest.mark.parametrize(("inside", "outside", "activity"), [(0.5, 0.95, "walk"), (0.95, 0.0, UNCERTAIN)])
def test_a_guess_below_the_threshold_of_its_windows_is_uncertain(
    spec: ModelSpec, infos: Dict[str, SensorInfo], inside: float, outside: float, activity: str
) -> None:
    def threshold(middle_s: float) -> float:
        return inside if 5 <= middle_s < 9 else outside

    segmenter = watched(spec, infos, 20, [(5, 9)], [(5, 9, "walk")], min_confidence=threshold)
    assert activity in [segment.activity for segment in segmenter.segments()]


def test_a_recording_without_a_window_has_no_segments(spec: ModelSpec, infos: Dict[str, SensorInfo]) -> None:
    assert Segmenter(spec, infos).segments() == []
    assert watched(spec, infos, 0.9, [], []).segments() == []


def test_sensors_that_see_nothing_are_no_hindrance(spec: ModelSpec, infos: Dict[str, SensorInfo]) -> None:
    alone = watched(spec, infos, 20, MOVING, [], ("imu",))
    blind = watched(spec, infos, 20, MOVING, [], ("imu",), unseeing=("depth", "radar"))
    assert blind.segments() == alone.segments()


def test_a_pause_of_hours_costs_nothing_and_parts_what_is_around_it(
    spec: ModelSpec, infos: Dict[str, SensorInfo]
) -> None:
    before = watched(spec, infos, 20, MOVING, [], ("imu",))
    expected = before.segments()
    pause_ns = 20 * 3600 * S
    rng = np.random.default_rng(2)
    for number in range(1000):
        stamp_ns = (BEGAN_S + 20) * S + pause_ns + number * 10_000_000
        data = rng.normal(0, 3.0 if 300 <= number < 600 else 0.05, 9).astype(np.float32)
        before.event(Sample("imu", stamp_ns, stamp_ns, data))
    segments = before.segments()
    assert_near(segments[: len(expected)], rounded(expected))
    assert_near(
        [
            segment._replace(start_ns=segment.start_ns - pause_ns, end_ns=segment.end_ns - pause_ns)
            for segment in segments[len(expected) :]
        ],
        [(23, 26, UNCERTAIN)],
    )


def test_stamps_a_nanosecond_apart_claim_no_memory(spec: ModelSpec, infos: Dict[str, SensorInfo]) -> None:
    segmenter = watched(spec, infos, 20, MOVING, [], ("imu",))
    for number in range(3000):
        stamp_ns = (BEGAN_S + 20) * S + number
        segmenter.event(Sample("radar", stamp_ns, stamp_ns, np.zeros((0, 5), np.float32)))
        segmenter.event(Sample("imu", stamp_ns, stamp_ns, np.zeros(9, np.float32)))
    segmenter.segments()


def test_more_than_is_cut_at_once_is_refused(
    spec: ModelSpec, infos: Dict[str, SensorInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmo_runtime.runtime.labels.segmentation._MOST_NS", 19 * S)
    with pytest.raises(TooLong, match="longer than"):
        watched(spec, infos, 20, MOVING, [], ("imu",))
