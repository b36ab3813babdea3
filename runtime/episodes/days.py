"""A log's local days: minutes of each activity, split at midnight, and the time in which nothing ran."""

from __future__ import annotations

import time as clock
from collections import Counter
from datetime import date, datetime, time, timedelta
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

NOT_RUNNING = "not running"
"""The time between two entries of the log, when the program did not run or had no log."""

_ROUNDING_NS = 10**9  # entries have a resolution of milliseconds


def bounds_ns(day: date) -> Tuple[int, int]:
    """Wall times of a local day's two midnights. A day on which summer time begins or ends has 23 or 25 hours."""
    return _midnight_ns(day), _midnight_ns(day + timedelta(days=1))


def ahead_of_utc(day: date) -> List[Tuple[int, int]]:
    """How far local time is ahead of UTC on a day, in nanoseconds, and from which wall time on.

    On most days that is the same all day. On a day when the clocks change there are two. A country may skip a day, as
    Samoa did on 2011-12-30; that one ends as it begins, and has what holds then.
    """
    start_ns, end_ns = bounds_ns(day)
    found: List[Tuple[int, int]] = []
    for second in range(
        start_ns // 10**9, max(end_ns // 10**9, start_ns // 10**9 + 1), 60
    ):  # clocks change at whole minutes
        ahead_ns = clock.localtime(second).tm_gmtoff * 10**9
        if not found or found[-1][1] != ahead_ns:
            found.append((second * 10**9, ahead_ns))
    return found


def minutes_by_day(
    episodes: Iterable[Dict[str, Any]], span_ns: Optional[Tuple[int, int]] = None
) -> Dict[date, Dict[str, float]]:
    """Minutes of each activity on each local day, from the entries of ``log.entries``.

    Time that no entry covers counts as ``not running``. Where entries overlap, because the wall clock was set back,
    each counts.

    Args:
        episodes: the entries, in order of time.
        span_ns: the wall times between which the log holds what was done; by default those of its first and last entry
            here.
    """
    days: Dict[date, Counter[str]] = {}
    covered_ns, until_ns = span_ns or (-1, -1)
    for entry in episodes:
        start_ns, end_ns = wall_ns(entry["start"]), wall_ns(entry["end"])
        if 0 <= covered_ns < start_ns - _ROUNDING_NS:
            _share(days, covered_ns, start_ns, NOT_RUNNING)
        _share(days, start_ns, end_ns, entry["activity"])
        covered_ns = max(covered_ns, end_ns)
    if covered_ns < until_ns - _ROUNDING_NS:
        _share(days, covered_ns, until_ns, NOT_RUNNING)
    return {day: {name: ns / 60e9 for name, ns in counts.most_common() if ns} for day, counts in sorted(days.items())}


def wall_ns(iso: str) -> int:
    """A time of an entry in nanoseconds since 1970."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000) * 10**6


def _share(days: Dict[date, Counter[str]], start_ns: int, end_ns: int, name: str) -> None:
    for day, ns in _split(start_ns, end_ns):
        days.setdefault(day, Counter())[name] += ns


def _split(start_ns: int, end_ns: int) -> Iterator[Tuple[date, int]]:
    """Cuts a stretch at local midnights."""
    while start_ns < end_ns:
        day = datetime.fromtimestamp(start_ns / 1e9).date()
        stop_ns = min(end_ns, bounds_ns(day)[1])
        yield day, stop_ns - start_ns
        start_ns = stop_ns


def _midnight_ns(day: date) -> int:
    """When a local day begins: at 1 o'clock where clocks are put forward at midnight, as in Cairo or Santiago.

    There, ``astimezone`` would give 23 o'clock of the day before, which then never ends.
    """
    return round(datetime.combine(day, time()).timestamp()) * 10**9
