"""A label lies inside its recording, and that settles what its times mean."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from cosmo_runtime.runtime.labels.span import span_of
from cosmo_runtime.sensors.recording import WallTimeError

S = 10**9
START_NS = 500 * S

pytestmark = pytest.mark.usefixtures("berlin")


def _on_a_clock(offset_ns: int, seconds: float) -> Any:
    return SimpleNamespace(
        path=Path("monday.mcap"),
        start_ns=START_NS,
        end_ns=START_NS + round(seconds * S),
        duration_s=seconds,
        wall_ns=lambda host_ns: host_ns + offset_ns,
        host_ns=lambda wall_ns: wall_ns - offset_ns,
    )


@pytest.fixture
def recorded() -> Callable[..., Any]:
    def recording(began: str, seconds: float) -> Any:
        """As much of a recording as matters here; ``began`` is ISO 8601 with a zone."""
        wall_ns = (
            (datetime.fromisoformat(began) - datetime(1970, 1, 1, tzinfo=timezone.utc))
            // timedelta(microseconds=1)
            * 1000
        )
        return _on_a_clock(wall_ns - START_NS, seconds)

    return recording


def from_start(start: str, end: str, recording: Any) -> tuple:
    return tuple((time_ns - START_NS) / S for time_ns in span_of(start, end, recording))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("5", "7.5"),
        ("5,0", "7,5"),
        ("0:00:05", "0:00:07.5"),
        ("20:19:37.000", "20:19:39.500"),
        ("2026-11-23T20:19:37.0", "2026-11-23T20:19:39.5"),
        ("1795461577.0", "1795461579.5"),
        ("1795461577000", "1795461579500"),
        ("5", "2026-11-23T20:19:39.5+01:00"),
    ],
)
def test_the_reading_that_lies_inside_is_meant(recorded: Callable[..., Any], start: str, end: str) -> None:
    recording = recorded("2026-11-23T20:19:32+01:00", 20)
    assert from_start(start, end, recording) == (5.0, 7.5)


def test_a_recording_may_run_past_midnight(recorded: Callable[..., Any]) -> None:
    recording = recorded("2026-11-23T23:59:50+01:00", 20)
    assert from_start("23:59:58.0", "00:00:03.5", recording) == (8.0, 13.5)


def test_two_readings_inside_are_told_and_not_chosen_from(recorded: Callable[..., Any]) -> None:
    recording = recorded("2026-11-23T00:10:00+01:00", 3600)
    assert from_start("00:05:00", "00:05:10", recording) == (300, 310)
    with pytest.raises(
        ValueError, match=r"may mean 120 to 130 s or 720 to 730 s after the recording's start: write that"
    ):
        assert span_of("00:12:00", "00:12:10", recording)  # 12 minutes from the start, or 2 minutes


def test_in_the_hour_that_clocks_repeat_the_reading_inside_is_meant(recorded: Callable[..., Any]) -> None:
    label = ("2026-10-25T02:30:00.0", "2026-10-25T02:30:10.0")
    assert from_start(*label, recorded("2026-10-25T02:29:00+02:00", 120)) == (60, 70)
    assert from_start(*label, recorded("2026-10-25T02:29:00+01:00", 120)) == (60, 70)
    across = recorded("2026-10-25T02:59:00+02:00", 120)
    assert from_start("2026-10-25T02:59:50.0", "2026-10-25T02:00:10.0", across) == (50, 70)
    both = recorded("2026-10-25T02:00:00+02:00", 7200)
    with pytest.raises(ValueError, match=r"may mean 1800 to 1810 s or .* 5400 to 5410 s after .*, or 2026.*\+01:00"):
        span_of(*label, both)
    assert from_start("2026-10-25T02:30:00.0+01:00", "2026-10-25T02:30:10.0+01:00", both) == (5400, 5410)


def test_a_time_that_clocks_left_out_is_refused(recorded: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"start '2026-03-29T02:30:00' does not exist here"):
        span_of("2026-03-29T02:30:00", "2026-03-29T03:30:00", recorded("2026-03-29T01:00:00+01:00", 7200))


def test_edges_outside_by_a_slip_are_clipped(recorded: Callable[..., Any]) -> None:
    recording = recorded("2026-11-23T20:19:32.400+01:00", 20)
    assert from_start("-0.05", "1", recording) == (0, 1)
    assert from_start("19", "20.99", recording) == (19, 20)
    for start, end in ("-0.051", "1"), ("19", "21.01"), ("20.01", "20.5"), ("-0.04", "0"), ("2026-11-23T20:19:31", "5"):
        with pytest.raises(
            ValueError, match=r"lies outside monday.mcap, which has 20.000 s from 2026-11-23T20:19:32.400"
        ):
            span_of(start, end, recording)


@pytest.mark.parametrize("start", ["2026-11-23T20:19:32", "20:19:32", "1795461572", "2026-11-23T19:19:32Z"])
def test_a_start_in_whole_seconds_may_lie_a_second_early(recorded: Callable[..., Any], start: str) -> None:
    recording = recorded("2026-11-23T20:19:32.400+01:00", 20)
    assert from_start(start, "2026-11-23T20:19:35.4", recording) == (0, 3)
    with pytest.raises(ValueError, match="lies outside"):
        span_of("2026-11-23T20:19:32.000", "2026-11-23T20:19:35.4", recording)


def test_all_that_is_wrong_is_said(recorded: Callable[..., Any]) -> None:
    recording = recorded("2026-11-23T20:19:32+01:00", 20)
    with pytest.raises(ValueError, match=r"start 'soon' is not a time; .*\nend 'late' is not a time"):
        span_of("soon", "late", recording)
    for of in recording, None:
        with pytest.raises(ValueError, match="end 5 is not after start 6"):
            span_of("6", "5", of)


def test_a_time_that_the_clock_never_showed_is_refused(recorded: Callable[..., Any]) -> None:
    def never(_: int) -> int:
        raise WallTimeError("the clock was set over it")

    recording = recorded("2026-11-23T20:19:32+01:00", 20)
    recording.host_ns = never
    with pytest.raises(ValueError, match="start '2026-11-23T20:19:33Z': the clock was set over it"):
        span_of("2026-11-23T20:19:33Z", "12", recording)


def test_a_recording_from_far_off_our_time_does_no_harm() -> None:
    recording = _on_a_clock(10**21, 20)
    assert from_start("0:00:05", "7", recording) == (5, 7)
    with pytest.raises(ValueError, match=r"lies outside monday.mcap, which has 20.000 s$"):
        span_of("0:00:05", "77", recording)
