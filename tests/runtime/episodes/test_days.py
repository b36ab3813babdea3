from __future__ import annotations

import time
from datetime import date, datetime
from typing import Any, Dict, List

import pytest

from cosmo_runtime.runtime.episodes.days import ahead_of_utc, bounds_ns, minutes_by_day, wall_ns

pytestmark = pytest.mark.usefixtures("berlin")


def _entry(activity: str, start: str, end: str) -> Dict[str, Any]:
    return {"activity": activity, "start": start, "end": end}


def test_a_day_that_a_country_skipped_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Apia")
    time.tzset()
    start_ns, end_ns = bounds_ns(date(2011, 12, 30))
    assert start_ns == end_ns == bounds_ns(date(2011, 12, 29))[1] == bounds_ns(date(2011, 12, 31))[0]
    assert ahead_of_utc(date(2011, 12, 30)) == [(start_ns, 14 * 3600 * 10**9)]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 28), 24), (date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_is_as_long_as_it_is_by_local_time(day: date, hours: int) -> None:
    start_ns, end_ns = bounds_ns(day)
    assert end_ns - start_ns == hours * 3600 * 10**9


def test_minutes_are_split_at_midnight_also_in_the_night_of_summer_time() -> None:
    sleep = _entry("lie", "2026-03-28T23:00:00.000+01:00", "2026-03-29T07:00:00.000+02:00")
    days = minutes_by_day([sleep])
    assert days == {date(2026, 3, 28): {"lie": 60}, date(2026, 3, 29): {"lie": 360}}


def test_time_that_no_entry_covers_was_not_running() -> None:
    days = minutes_by_day(
        [
            _entry("walk", "2026-03-28T10:00:00.000+01:00", "2026-03-28T10:10:00.000+01:00"),
            _entry("gap", "2026-03-28T10:10:00.001+01:00", "2026-03-28T10:20:00.000+01:00"),
            _entry("walk", "2026-03-28T11:20:00.000+01:00", "2026-03-28T11:25:00.000+01:00"),
        ]
    )
    minutes = days[date(2026, 3, 28)]
    assert list(minutes) == ["not running", "walk", "gap"]
    assert {name: round(value, 2) for name, value in minutes.items()} == {"not running": 60, "walk": 15, "gap": 10}


def test_the_time_around_the_entries_was_not_running_where_the_log_is_longer() -> None:
    walk = _entry("walk", "2026-03-28T10:00:00.000+01:00", "2026-03-28T10:10:00.000+01:00")
    span = wall_ns("2026-03-28T09:30:00.000+01:00"), wall_ns("2026-03-29T04:00:00.000+02:00")
    days = minutes_by_day([walk], span)
    assert days == {date(2026, 3, 28): {"not running": 860, "walk": 10}, date(2026, 3, 29): {"not running": 180}}
    assert minutes_by_day([walk], (wall_ns(walk["start"]), wall_ns(walk["end"]))) == minutes_by_day([walk])


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 3, 28), [(0, 1)]),
        (date(2026, 3, 29), [(0, 1), (2, 2)]),
        (date(2026, 10, 25), [(0, 2), (3, 1)]),
    ],
)
def test_a_day_on_which_the_clocks_change_is_ahead_of_utc_in_two_ways(day: date, expected: List[Any]) -> None:
    start_ns, hour_ns = bounds_ns(day)[0], 3600 * 10**9
    assert [((from_ns - start_ns) / hour_ns, ahead / hour_ns) for from_ns, ahead in ahead_of_utc(day)] == expected


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        # Cairo, Santiago and Havana put their clocks forward at midnight, so that there is none
        ("EET-2EEST,M4.5.5/0,M10.5.4/24", date(2026, 4, 24), 23),
        ("<-04>4<-03>,M9.1.6/24,M4.1.6/24", date(2026, 9, 6), 23),
        ("CST5CDT,M3.2.0/0,M11.1.0/1", date(2026, 3, 8), 23),
        ("CST5CDT,M3.2.0/0,M11.1.0/1", date(2026, 11, 1), 25),  # and back over it, so that there are two
    ],
)
def test_days_without_a_midnight_have_an_end_and_a_begin(
    monkeypatch: pytest.MonkeyPatch, zone: str, day: date, hours: int
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    start_ns, end_ns = bounds_ns(day)
    assert end_ns - start_ns == hours * 3600 * 10**9
    assert datetime.fromtimestamp(start_ns / 1e9).date() == day
    before_ns = start_ns - 3600 * 10**9
    assert bounds_ns(datetime.fromtimestamp(before_ns / 1e9).date())[1] == start_ns  # else, the summary never ended
    told = [datetime.fromtimestamp(at_ns / 1e9).astimezone().isoformat() for at_ns in (before_ns, end_ns)]
    assert minutes_by_day([_entry("sleep", *told)])[day] == {"sleep": hours * 60}
