"""Answers the page's questions about days: what was done when.

The answers come from the log of a run with ``--home``. Without a log, they come from predictions: those in JSON lines
in the folder of recordings or in the run's ``--output``, and those of the current run.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from aiohttp import web

from cosmo_runtime.runtime.alarms.rules import CORRECTED, REPEATED
from cosmo_runtime.runtime.config import EpisodesConfig
from cosmo_runtime.runtime.episodes.days import ahead_of_utc, bounds_ns, minutes_by_day, wall_ns
from cosmo_runtime.runtime.episodes.entries import ALARM, EPISODE, LogError, NoLog, entries, span_ns
from cosmo_runtime.runtime.episodes.predicted import PredictedDays
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.web.request import beside

_WEEK = 7
_MOST_ALARMS = 50


class DaysApi:
    """The endpoint ``/api/days``.

    Args:
        home: the folder of the run whose log is shown.
        folder: the folder of recordings, which may also hold JSON lines.
        output: the run's file of JSON lines, if it writes one.
        episodes: when predictions make an episode.
        hub: receives the run's predictions.
    """

    def __init__(self, home: Path, folder: Path, output: Optional[Path], episodes: EpisodesConfig, hub: Hub) -> None:
        self._home = home
        self._predicted = PredictedDays(episodes.rule, lambda: _lines(folder, output))
        if output is None:  # otherwise they are read from that file
            hub.listen("prediction", lambda payload: self._predicted.now.feed(json.loads(payload)))

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the endpoint."""
        router.add_get("/api/days", self.day)

    async def day(self, request: web.Request) -> web.Response:
        """One day, and the time spent on each activity on that day and on the days before."""
        try:
            asked = request.query.get("day")
            day = datetime.strptime(asked, "%Y-%m-%d").date() if asked else datetime.now().date()
            bounds_ns(day - timedelta(days=_WEEK))
            bounds_ns(day)
        except (ValueError, OverflowError) as error:
            raise Refused("day: expected a day such as 2026-11-28.") from error
        answer = web.json_response(await beside(_told, log_folder(self._home), day, self._predicted))
        answer.enable_compression()
        return answer


def _lines(folder: Path, output: Optional[Path]) -> Iterator[Path]:
    """The files of JSON lines. Links in the folder are skipped, because they may lead anywhere."""
    for path in sorted(folder.glob("*.jsonl")):
        if path.is_file() and not path.is_symlink():
            yield path.resolve()
    if output and output.is_file():
        yield output.resolve()


def _told(folder: Path, day: date, predicted: PredictedDays) -> Dict[str, Any]:
    start_ns, end_ns = bounds_ns(day)
    first_ns = bounds_ns(day - timedelta(days=_WEEK - 1))[0]
    week: List[Dict[str, Any]] = []
    alarms: List[Dict[str, Any]] = []
    logged: Optional[Tuple[int, int]] = None
    log, problem = True, ""
    try:
        week = list(entries(folder, first_ns, end_ns, kinds=(EPISODE,)))
        alarms = list(entries(folder, start_ns, end_ns, kinds=(ALARM,)))
        logged = span_ns(folder)
    except NoLog:
        log = False
    except LogError as error:
        problem = str(error)
    of_log = bool(week)
    week = week or predicted.entries(first_ns, end_ns)
    episodes = [
        [wall_ns(entry["start"]) / 1e6, wall_ns(entry["end"]) / 1e6, entry["activity"], entry.get("confidence")]
        for entry in week
        if end_ns > start_ns and wall_ns(entry["end"]) > start_ns  # a country may skip a day
    ]
    span = (max(first_ns, logged[0]), min(end_ns, logged[1])) if of_log and logged else None
    minutes = {
        of.isoformat(): {name: round(m, 2) for name, m in counts.items()}
        for of, counts in minutes_by_day(week, span).items()
    }
    shown = [
        {
            "at_ms": wall_ns(entry["time"]) / 1e6,
            "name": entry["name"],
            "state": entry.get("state"),
            "quiet": entry.get("quiet", False),
        }
        for entry in [entry for entry in alarms if entry.get("state") not in (CORRECTED, REPEATED)][-_MOST_ALARMS:]
    ]
    return {
        "day": day.isoformat(),
        "today": day == datetime.now().date(),
        "start_ms": start_ns / 1e6,
        "end_ms": end_ns / 1e6,
        "ahead_ms": [[from_ns / 1e6, ahead_ns / 1e6] for from_ns, ahead_ns in ahead_of_utc(day)],
        "episodes": episodes,
        "minutes": minutes,
        "alarms": shown,
        "log": log,
        "problem": problem,
        "predicted": bool(week) and not of_log,
    }
