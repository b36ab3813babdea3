"""The log of a home: episodes and alarms, in a file of JSON lines for each day and in an SQLite database.

2026-11-28.jsonl   what ended on that local day, one JSON object per line; lines are only ever appended
episodes.sqlite    the same for searching, and the present episode

Times are stored on the host's monotonic clock and on the wall clock. A machine without a battery clock learns the time
long after it has started. When the wall clock is set, this run's entries get corrected wall times in the database, and
a line of kind ``clock`` records this in the file, whose earlier lines stay unchanged. Sleep needs no correction:
a sleeping computer's wall clock stays right.

Only one process writes at a time. If the disk is full or gone, entries wait in memory until there is room.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import time
import uuid
from collections import deque
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Callable, Deque, Dict, NamedTuple, Optional, Tuple

from cosmo_runtime.runtime.episodes.entries import (
    ALARM,
    CLOCK,
    COLUMNS,
    DATABASE,
    EPISODE,
    LOCK,
    PRESENT_COLUMNS,
    LogError,
    as_json,
    local,
    open_database,
)
from cosmo_runtime.runtime.episodes.listener import Listener
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.retention.expiry import CLOCK_IS_SET
from cosmo_runtime.runtime.sinks.line_file import LineFile

_STEP_NS = 10**9
_PRESENT_NS = 60 * 10**9
_LOCK_S = 1.0  # `status` takes the lock for an instant
_UNSAVED_KEPT = 5000  # entries of a day, while the disk is full
_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    kind: str
    name: str
    start_ns: int
    end_ns: int
    details: Dict[str, Any]


def slept_ns() -> int:
    """How long this computer has slept since it started. Its monotonic clock is behind by this."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class EpisodeLog(Listener):
    """Writes the log. Only one process can.

    Args:
        folder: the log's folder, created if missing.
        wall_offset_ns: the wall clock minus the host's monotonic clock, at a time of the latter.
        keep: how long entries are stored; None for ever.
        slept_ns: how far the monotonic clock is behind because of sleep.

    Raises:
        LogError: another process writes the log, or it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        wall_offset_ns: Callable[[int], int],
        keep: Optional[timedelta] = None,
        slept_ns: Callable[[], int] = slept_ns,
    ) -> None:
        self.folder = folder
        self._wall_offset_ns = wall_offset_ns
        self._keep = keep
        self._slept_ns = slept_ns
        self._run = uuid.uuid4().hex[:12]
        self._unsaved: Deque[_Entry] = deque(maxlen=_UNSAVED_KEPT)
        self._failing = False
        self._offset_ns: Optional[int] = None
        self._slept = self._next_present_ns = 0
        self._day: Optional[date] = None
        self._lines: Optional[LineFile] = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LogError(f"{error.filename or folder}: the log cannot be written there: {error.strerror}") from error
        end = time.monotonic() + _LOCK_S
        while not _is_locked(self._lock):
            if time.monotonic() > end:
                os.close(self._lock)
                raise LogError(f"{folder}: another run keeps its episodes there; give each run a folder of its own")
            time.sleep(_LOCK_S / 20)
        self._base = open_database(folder / DATABASE)
        self._take_over()

    def ended(self, episode: Episode) -> None:
        """Logs an episode that has ended."""
        self._next_present_ns = 0
        self._add(_Entry(EPISODE, episode.activity, episode.start_ns, episode.end_ns, episode.details()))

    def alarm(self, name: str, at_ns: int, details: Dict[str, Any]) -> None:
        """Logs a change of an alarm. ``details`` has its ``state`` and the evidence."""
        self._add(_Entry(ALARM, name, at_ns, at_ns, details))

    def last_alarms(self) -> Dict[str, Dict[str, Any]]:
        """The last entry of each alarm, by name."""
        query = "SELECT name, details, MAX(id) FROM entries WHERE kind = ? GROUP BY name"
        return {name: json.loads(details) for name, details, _ in self._base.execute(query, (ALARM,))}

    def now(self, episode: Episode) -> None:
        """Stores the present episode once a minute, so that a kill loses at most a minute."""
        if episode.end_ns < self._next_present_ns:
            return
        self._next_present_ns = episode.end_ns + _PRESENT_NS
        try:
            times = (episode.start_ns, episode.end_ns)
            row = (episode.activity, self._run, *times, *self._wall(*times), json.dumps(episode.details()))
            self._base.execute("INSERT OR REPLACE INTO present VALUES (1, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._complain(str(error))

    def close(self) -> None:
        """Closes the log. The present episode must have ended before."""
        self._save()
        with suppress(sqlite3.Error):
            self._base.execute("DELETE FROM present")
        if self._lines:
            self._lines.close()
        self._base.close()
        os.close(self._lock)

    def _add(self, entry: _Entry) -> None:
        if len(self._unsaved) == _UNSAVED_KEPT:
            _log.error("%s could not be written for too long: an entry is lost", self.folder)
        self._unsaved.append(entry)
        self._save()

    def _save(self) -> None:
        """Writes all waiting entries, each to both places or none."""
        while self._unsaved:
            entry = self._unsaved[0]
            try:
                self._look_at_clock(entry.end_ns)
                self._write(entry)
            except (OSError, sqlite3.Error) as error:
                self._complain(getattr(error, "strerror", None) or str(error))
                return
            self._unsaved.popleft()
            if self._failing:
                self._failing = False
                _log.warning("%s can be written again; nothing is missing", self.folder)

    def _complain(self, reason: str) -> None:
        if not self._failing:
            _log.error("%s: episodes cannot be written: %s; they wait for room", self.folder, reason)
        self._failing = True

    def _write(
        self, entry: _Entry, run: str = "", wall_ns: Optional[Tuple[int, int]] = None, before: str = "", *values: object
    ) -> None:
        """Writes an entry to both places or none. ``before`` is a statement that takes effect only together with it."""
        start_ns, end_ns = entry.start_ns, entry.end_ns
        wall_start_ns, wall_end_ns = wall_ns or self._wall(start_ns, end_ns)
        details = json.dumps(entry.details)
        row = (entry.kind, entry.name, run or self._run, start_ns, end_ns, wall_start_ns, wall_end_ns, details)
        written: Optional[LineFile] = None
        self._base.execute("BEGIN")
        try:
            if before:
                self._base.execute(before, values)
            number = self._base.execute(
                f"INSERT INTO entries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
            ).lastrowid
            lines = self._line_file(wall_end_ns)
            lines.write(json.dumps(as_json(number, *row)))
            written = lines
            self._base.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            if written:
                written.take_back()
            raise

    def _wall(self, start_ns: int, end_ns: int) -> Tuple[int, int]:
        offset_ns = self._wall_offset_ns(end_ns)
        return start_ns + offset_ns, end_ns + offset_ns

    def _line_file(self, wall_ns: int) -> LineFile:
        """The day's file. A new day deletes entries that are too old."""
        day = local(wall_ns).date()
        if self._lines is None or day != self._day:
            if self._lines:
                self._lines.close()
            self._lines, self._day = LineFile.append(self.folder / f"{day.isoformat()}.jsonl"), day
            self._forget(local(wall_ns))
        return self._lines

    def _look_at_clock(self, at_ns: int) -> None:
        """Corrects this run's wall times if the wall clock was set since the previous entry, and logs that."""
        offset_ns, slept = self._wall_offset_ns(at_ns), self._slept_ns()
        set_by_ns = 0 if self._offset_ns is None else offset_ns - self._offset_ns - (slept - self._slept)
        if abs(set_by_ns) >= _STEP_NS:
            entry = _Entry(CLOCK, "set", at_ns, at_ns, {"set_by_s": round(set_by_ns / 1e9, 3)})
            shift = "UPDATE entries SET wall_start_ns = wall_start_ns + ?, wall_end_ns = wall_end_ns + ? WHERE run = ?"
            self._write(entry, "", None, shift, set_by_ns, set_by_ns, self._run)
        self._offset_ns, self._slept = offset_ns, slept

    def _forget(self, now: datetime) -> None:
        """Deletes entries that are too old, unless the clock has not been set yet."""
        if self._keep is None or now < CLOCK_IS_SET:
            return
        oldest = now - self._keep
        self._base.execute("DELETE FROM entries WHERE wall_end_ns < ?", (round(oldest.timestamp() * 1e9),))
        for path in self.folder.glob("????-??-??.jsonl"):
            with suppress(ValueError):
                if datetime.strptime(path.stem, "%Y-%m-%d").date() < oldest.date():
                    path.unlink()

    def _take_over(self) -> None:
        """Ends the present episode of a run that was killed, at the time when it was last stored."""
        try:
            left = self._base.execute(f"SELECT {PRESENT_COLUMNS} FROM present").fetchone()
            if left:
                name, run, start_ns, end_ns, wall_start_ns, wall_end_ns, details = left
                entry = _Entry(EPISODE, name, start_ns, end_ns, {**json.loads(details), "cut": True})
                self._write(entry, run, (wall_start_ns, wall_end_ns))
                self._base.execute("DELETE FROM present")
        except (OSError, sqlite3.Error) as error:
            self._complain(str(error))
