"""Reads the times that people, spreadsheets and label tools write, with their possible meanings.

=============================  =====================================================================================
``12.5``, ``12,5``             seconds from the recording's start
``1795464696.5``               seconds since 1970; milliseconds, micro- and nanoseconds too
``00:01:12.5``                 hours, minutes and seconds from the recording's start, or a local time of day
``2026-11-23T20:19:32+01:00``  ISO 8601; local where it names no zone
=============================  =====================================================================================

Some of these have several meanings. The recording decides, because a label lies inside it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import List, NamedTuple, Optional

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d{1,3})?", re.I)
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d)(?:[.,](\d{1,9}))?")
_DATE = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ]+(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)? ?(Z|[+-]\d\d(?::?\d\d)?)?", re.I
)
_SECOND_NS = 10**9
_FURTHEST_S = 10**10  # three hundred years; a larger number is a typing error
_SINCE_1970_S = 10**8  # from 1973 on; a number this large does not count from a recording's start


class Reading(NamedTuple):
    """One possible meaning of a time.

    Attributes:
        form: how it was read. Start and end of a row must have the same form.
        is_wall: whether ``at_ns`` is wall time since 1970, or counts from the recording's start.
        at_ns: the time.
        whole: whether it has whole seconds only, so that part of the last second may have passed.
    """

    form: str
    is_wall: bool
    at_ns: int
    whole: bool = False


def needs_day(text: str) -> bool:
    """Whether a time may be a time of day."""
    return _CLOCK.fullmatch(text) is not None


def readings(text: str, day: Optional[date]) -> List[Reading]:
    """Returns the possible meanings of a time, the likeliest first.

    Args:
        text: the time.
        day: the local day on which the recording began. Without it, nothing is a time of day.

    Raises:
        ValueError: the text is not a time.
    """
    possible: List[Reading] = []
    if _NUMBER.fullmatch(text):
        possible = _of_number(Decimal(text.replace(",", ".")), not re.search("[.,e]", text, re.I))
    elif _CLOCK.fullmatch(text):
        possible = _of_clock(text, day)
    elif _DATE.fullmatch(text):
        possible = _of_date(text)
    if not possible:
        raise ValueError(f"{text!r} is not a time; write seconds (12.5), hh:mm:ss or 2026-11-23T20:19:32+01:00")
    return possible


def _of_number(number: Decimal, whole: bool) -> List[Reading]:
    possible = []
    if abs(number) < _FURTHEST_S:
        possible.append(Reading("seconds", False, round(number * _SECOND_NS)))
    for per_second in 1, 10**3, 10**6, 10**9:
        if _SINCE_1970_S <= number / per_second < _FURTHEST_S:
            at_ns = round(number * _SECOND_NS) // per_second
            possible.append(Reading("since 1970", True, at_ns, whole and per_second == 1))
    return possible


def _of_clock(text: str, day: Optional[date]) -> List[Reading]:
    hours, minutes, seconds, fraction = _groups(_CLOCK, text)
    elapsed_s = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    possible = [Reading("from the start", False, elapsed_s * _SECOND_NS + _nanoseconds(fraction))]
    if day and int(hours) < 24:
        with suppress(OverflowError, OSError, ValueError):  # a recording with an absurd date
            for later in 0, 1:  # the recording may run past midnight
                moments = _moments(datetime(day.year, day.month, day.day) + timedelta(days=later, seconds=elapsed_s))
                possible += _readings_of(moments, fraction)
    return possible


def _of_date(text: str) -> List[Reading]:
    """Reads a date and a time. A local one has two meanings in the hour that repeats when summer time ends."""
    *cells, fraction, zone = _groups(_DATE, text)
    year, month, day, hour, minute, second = (int(cell or 0) for cell in cells)
    try:
        moment = datetime(year, month, day, hour, minute, second)
        moments = [moment.replace(tzinfo=_zone(zone))] if zone else _moments(moment)
        possible = _readings_of(moments, fraction)
    except (OverflowError, OSError, ValueError):  # the 30th of February, the year 0
        return []
    if not possible:
        raise ValueError(f"{text!r} does not exist here: clocks were put forward over it. Add the zone, such as +01:00")
    return possible


def _moments(local: datetime) -> List[datetime]:
    """When local clocks show a time: once, twice when they are put back, never when they are put forward."""
    moments = dict.fromkeys(local.replace(fold=fold).astimezone(timezone.utc) for fold in (0, 1))
    return [moment for moment in moments if moment.astimezone().replace(tzinfo=None, fold=0) == local]


def _readings_of(moments: List[datetime], fraction: str) -> List[Reading]:
    times_ns = [(moment - EPOCH) // timedelta(seconds=1) * _SECOND_NS + _nanoseconds(fraction) for moment in moments]
    return [Reading("time of day", True, time_ns, not fraction) for time_ns in times_ns]


def _zone(text: str) -> timezone:
    if text in "Zz":
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _nanoseconds(fraction: str) -> int:
    return int(fraction.ljust(9, "0"))


def _groups(form: re.Pattern[str], text: str) -> List[str]:
    match = form.fullmatch(text)
    return [group or "" for group in match.groups()] if match else []
