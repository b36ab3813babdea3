"""Reads the start and end of a label, on its recording's clock.

Labels are set by hand, so small errors are accepted. An edge may lie outside the recording by 50 ms, a start in whole
seconds of wall time by up to a second, and an end by up to a second.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import product
from typing import List, NamedTuple, Optional

from cosmo_runtime.runtime.labels.times import EPOCH, Reading, needs_day, readings
from cosmo_runtime.sensors.recording import Recording, WallTimeError

SLIP_NS = 50_000_000
"""How far a hand, or a tool that rounds, may miss an edge."""

_WHOLE_NS = 10**9  # a time without a fraction was truncated to the second
_BEYOND_NS = 10**9  # after the last sample, because a kill loses the last half second of samples


class Span(NamedTuple):
    """A start and an end, in nanoseconds."""

    start_ns: int
    end_ns: int


def span_of(start: str, end: str, recording: Optional[Recording]) -> Span:
    """Reads start and end of a label, on the monotonic clock of its recording.

    If they have several meanings, the one inside the recording counts.

    Args:
        start: a time, in one of the forms of ``runtime.labels.times``.
        end: another one.
        recording: the label's recording. Without it, start and end are only compared.

    Raises:
        ValueError: one is not a time; the end is not after the start; they lie outside the recording, or have several
            meanings inside it. The message is for people, with one line per error.
    """
    day = None
    if recording and (needs_day(start) or needs_day(end)):  # to know the day, the whole recording is read
        day = _day(recording)
    wrong: List[str] = []
    starts, ends = _readings("start", start, day, recording, wrong), _readings("end", end, day, recording, wrong)
    if wrong:
        raise ValueError("\n".join(wrong))
    pairs = [pair for pair in product(starts, ends) if pair[0].form == pair[1].form] or [*product(starts, ends)]
    rising = [(a, b) for a, b in pairs if _on_clock(b, recording) > _on_clock(a, recording)]
    if not rising:
        raise ValueError(f"end {end} is not after start {start}")
    if not recording:
        return Span(*(_on_clock(reading, None) for reading in rising[0]))
    inside = sorted(set(filter(None, (_inside(a, b, recording) for a, b in rising))))
    if not inside:
        raise ValueError(f"{start} to {end} lies outside {_extent(recording)}")
    if len(inside) > 1:
        meant = " or ".join(
            f"{(one.start_ns - recording.start_ns) / 1e9:g} to {(one.end_ns - recording.start_ns) / 1e9:g} s"
            for one in inside
        )
        raise ValueError(
            f"{start} to {end} may mean {meant} after the recording's start: write that, or 2026-11-23T20:19:32+01:00"
        )
    return inside[0]


def _readings(
    column: str, text: str, day: Optional[date], recording: Optional[Recording], wrong: List[str]
) -> List[Reading]:
    """The possible meanings of a time, without those that the recording's clock never showed."""
    try:
        possible = readings(text, day)
    except ValueError as error:
        wrong.append(f"{column} {error}")
        return []
    shown, never = [], []
    for reading in possible:
        try:
            _on_clock(reading, recording)
            shown.append(reading)
        except WallTimeError as error:
            never.append(f"{column} {text!r}: {error}")
    if not shown:
        wrong.append(never[0])
    return shown


def _on_clock(reading: Reading, recording: Optional[Recording]) -> int:
    """The time on the recording's monotonic clock. Without a recording, only times of the same form can be compared.

    Raises:
        WallTimeError: the wall clock was set so that this is no moment of the recording, or two.
    """
    if recording is None:
        return reading.at_ns
    return recording.host_ns(reading.at_ns) if reading.is_wall else reading.at_ns + recording.start_ns


def _inside(start: Reading, end: Reading, recording: Recording) -> Optional[Span]:
    """The part of a label inside the recording, if only an accepted error lies outside."""
    first_ns, last_ns = recording.start_ns, recording.end_ns
    start_ns, end_ns = _on_clock(start, recording), _on_clock(end, recording)
    early_ns = _WHOLE_NS if start.is_wall and start.whole else SLIP_NS
    if start_ns < first_ns - early_ns or end_ns > last_ns + _BEYOND_NS:
        return None
    span = Span(max(start_ns, first_ns), min(end_ns, last_ns))
    return span if span.start_ns < span.end_ns else None


def _extent(recording: Recording) -> str:
    began = _local(recording)
    since = f" from {began.isoformat(timespec='milliseconds')} on" if began else ""
    return f"{recording.path.name}, which has {recording.duration_s:.3f} s{since}"


def _day(recording: Recording) -> Optional[date]:
    began = _local(recording)
    return began.date() if began else None


def _local(recording: Recording) -> Optional[datetime]:
    """The local time when the recording began; None if a broken clock showed a time that no calendar has."""
    try:
        wall_ns = recording.wall_ns(recording.start_ns)
        return (EPOCH + timedelta(microseconds=wall_ns // 1000)).astimezone()
    except (OverflowError, OSError, ValueError):
        return None
