from __future__ import annotations

import pytest

from cosmo_runtime.runtime.labels.truth import Segment, TruthLine
from cosmo_runtime.sensors.events import Truth


@pytest.fixture
def line() -> TruthLine:
    line = TruthLine()
    for stamp_ns, activity in (100, "walk"), (200, "wave"), (250, "wave"), (300, "none"):
        line.add(Truth(stamp_ns, activity))
    return line


def test_nothing_is_known_before_the_first_truth(line: TruthLine) -> None:
    assert TruthLine().at(5) is None
    assert line.at(99) is None


@pytest.mark.parametrize(
    "time_ns, activity", [(100, "walk"), (199, "walk"), (200, "wave"), (299, "wave"), (999, "none")]
)
def test_an_activity_lasts_until_the_next_one_starts(line: TruthLine, time_ns: int, activity: str) -> None:
    assert line.at(time_ns) == activity


def test_a_stretch_is_inside_an_activity_only_as_a_whole(line: TruthLine) -> None:
    assert line.throughout(100, 199) == "walk"
    assert line.throughout(200, 299) == "wave"  # told twice, still one activity
    assert line.throughout(150, 250) is None
    assert line.throughout(150, 200) is None  # the end belongs to the stretch
    assert line.throughout(99, 150) is None  # begins before anything is known
    assert line.throughout(400, 900) == "none"
    assert TruthLine().throughout(0, 1) is None


def test_what_ended_by_a_time_is_forgotten_and_what_lasted_then_is_not(line: TruthLine) -> None:
    line.forget(199)
    assert line.at(150) == "walk"
    line.forget(200)
    assert line.at(150) is None
    assert list(line.segments()) == [Segment(200, 300, "wave")]
    line.forget(10**9)
    assert line.at(10**9) == "none"


def test_segments_are_the_activities_that_have_ended(line: TruthLine) -> None:
    assert list(line.segments()) == [Segment(100, 200, "walk"), Segment(200, 300, "wave")]
