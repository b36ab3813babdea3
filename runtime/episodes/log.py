"""The log of a home: episodes and alarms, in a file of JSON lines for each day and in an SQLite database.

2026-11-28.jsonl   what ended on that local day, one JSON object per line; lines are only ever appended
episodes.sqlite    the same for searching, and the present episode
2026-11-28.damaged-1795881600   a damaged one that was put aside, by the first day in it

Times are stored on the host's monotonic clock and on the wall clock. A machine without a battery clock learns the time
long after it has started. When the wall clock is set, this run's entries get corrected wall times in the database, and
a line of kind ``clock`` records this in the file, whose earlier lines stay unchanged.

Only one process writes at a time. If the disk is full or gone, even at the start, entries wait in memory until there is
room. It is tried with each entry, and once a minute.
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

from cosmo_runtime.runtime.episodes.clock import ClockWatch, slept_ns
from cosmo_runtime.runtime.episodes.database import count_on, entries_in, open_database
from cosmo_runtime.runtime.episodes.entries import (
    ALARM,
    CLOCK,
    COLUMNS,
    DAILY_FILES,
    DAMAGED,
    DATABASE,
    EPISODE,
    LOCK,
    PRESENT_COLUMNS,
    LogError,
    as_json,
    last_alarms,
    local,
)
from cosmo_runtime.runtime.episodes.listener import Listener
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.retention.expiry import CLOCK_IS_SET
from cosmo_runtime.runtime.sinks.line_file import LineFile

_PRESENT_NS = 60 * 10**9
_LOCK_S = 1.0  # `status` takes the lock for an instant
_FORGET_PRESENT = "DELETE FROM present"
_UNSAVED_KEPT = 5000  # entries of a day, while the disk is full
_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    kind: str
    name: str
    start_ns: int
    end_ns: int
    details: Dict[str, Any]


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY)  # where nothing may be written, a lock can still be held


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _day(path: Path) -> date:
    """The day of a daily file, or the first one in a damaged database, by its name."""
    if path.stem == Path(DATABASE).stem:  # of an earlier version, whose names say when it was put aside
        return date.fromtimestamp(int(path.suffix[len(".damaged-") :].partition("-")[0]))
    return datetime.strptime(path.stem, "%Y-%m-%d").date()


def _is_needed(base: sqlite3.Connection, path: Path) -> bool:
    """Whether a daily file holds an entry that the database still has: a standing alarm, or one of a wrong clock."""
    found = "SELECT 1 FROM entries WHERE id = ? AND run = ?"
    return any(base.execute(found, (line["id"], line["run"])).fetchone() for line in entries_in(path))


class EpisodeLog(Listener):
    """Writes the log. Only one process can.

    Args:
        folder: the log's folder, created if missing.
        wall_offset_ns: the wall clock minus the host's monotonic clock, at a time of the latter.
        keep: how long entries are stored; None for ever.
        slept_ns: how far the monotonic clock is behind because of sleep.
        on_change: called when ``trouble`` comes or goes.

    Attributes:
        trouble: why nothing can be written now; empty if it can.

    Raises:
        LogError: another process writes the log.
    """

    def __init__(
        self,
        folder: Path,
        wall_offset_ns: Callable[[int], int],
        keep: Optional[timedelta] = None,
        slept_ns: Callable[[], int] = slept_ns,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        self.folder = folder
        self._wall_offset_ns = wall_offset_ns
        self._clock = ClockWatch(wall_offset_ns, slept_ns)
        self._keep = keep
        self._run = uuid.uuid4().hex[:12]
        self._unsaved: Deque[_Entry] = deque(maxlen=_UNSAVED_KEPT)
        self._lost = 0  # entries for which there was no room in memory, either
        self._last_id = self._alarms = 0
        self._on_change = on_change
        self.trouble = ""
        self._lock: Optional[int] = None
        self._base: Optional[sqlite3.Connection] = None
        self._next_present_ns = 0
        self._day: Optional[date] = None
        self._lines: Optional[LineFile] = None
        with suppress(OSError):  # which the next line meets again, and tells
            self._hold()
        self._save()

    def ended(self, episode: Episode) -> None:
        """Logs an episode that has ended."""
        self._next_present_ns = 0
        self._add(_Entry(EPISODE, episode.activity, episode.start_ns, episode.end_ns, episode.details()))

    def alarm(self, name: str, at_ns: int, details: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Logs a change of an alarm.

        Args:
            name: the alarm's name.
            at_ns: when it changed.
            details: its ``state`` and the evidence.

        Returns:
            The entry, without a number, if it could not be written and waits. Else None.
        """
        self._alarms += 1
        details = {"event_id": f"{self._run}-{self._alarms}", **details}
        self._add(_Entry(ALARM, name, at_ns, at_ns, details))
        if not self._unsaved:
            return None
        return as_json(None, ALARM, name, self._run, at_ns, at_ns, *self._wall(at_ns, at_ns), json.dumps(details))

    def last_alarms(self) -> Dict[str, Dict[str, Any]]:
        """The last entry of each alarm, by name."""
        try:
            return last_alarms(self.folder)
        except LogError:
            return {}

    def now(self, episode: Episode) -> None:
        """Stores the present episode once a minute, so that a kill loses at most a minute."""
        if episode.end_ns < self._next_present_ns:
            return
        self._next_present_ns = episode.end_ns + _PRESENT_NS
        self._save(episode)

    def close(self) -> None:
        """Closes the log. The present episode must have ended before."""
        self._save()
        self._let_go()
        if self.unwritten:
            _log.error("%s: %d entries are lost, because they could not be written", self.folder, self.unwritten)

    @property
    def unwritten(self) -> int:
        """How many entries could not be written, or not yet."""
        return len(self._unsaved) + self._lost

    def _add(self, entry: _Entry) -> None:
        if len(self._unsaved) == _UNSAVED_KEPT:
            _log.error("%s could not be written for too long: an entry is lost", self.folder)
            self._lost += 1
        self._unsaved.append(entry)
        self._save()

    def _save(self, present: Optional[Episode] = None) -> None:
        """Writes all waiting entries, each to both places or none, and the present episode to the database."""
        try:
            base = self._open()
            while self._unsaved:
                entry = self._unsaved[0]
                self._look_at_clock(base, entry.end_ns)
                self._write(base, entry, _FORGET_PRESENT if entry.kind == EPISODE else "")
                self._unsaved.popleft()
            if present:
                self._look_at_clock(base, present.end_ns)
                times = (present.start_ns, present.end_ns)
                row = (present.activity, self._run, *times, *self._wall(*times), json.dumps(present.details()))
                base.execute("INSERT OR REPLACE INTO present VALUES (1, ?, ?, ?, ?, ?, ?, ?)", row)
        except (OSError, sqlite3.Error, LogError) as error:
            self._complain(getattr(error, "strerror", None) or str(error))
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                self._close_files()  # it is damaged; the next try opens it, and so mends it
            return
        if self.trouble:
            self.trouble = ""
            missing = f"{self._lost} entries are" if self._lost else "nothing is"
            _log.warning("%s can be written again; %s missing", self.folder, missing)
            self._on_change()

    def _complain(self, reason: str) -> None:
        if not self.trouble:
            self.trouble = f"{self.folder}: episodes cannot be written: {reason}; they wait in memory"
            _log.error("%s", self.trouble)
            self._on_change()

    def _hold(self) -> None:
        """Makes the folder and takes its lock.

        Raises:
            LogError: another process has it.
            OSError: the folder cannot be written.
        """
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _open_lock(self.folder / LOCK)
        end = time.monotonic() + _LOCK_S
        while not _is_locked(lock):
            if time.monotonic() > end:
                os.close(lock)
                words = f"{self.folder}: another run keeps its episodes there; give each run a folder of its own"
                raise LogError(words)
            time.sleep(_LOCK_S / 20)
        self._lock = lock

    def _open(self) -> sqlite3.Connection:
        """The database, opened when it can be, and again if somebody has deleted the log."""
        if self._base is not None and not (self.folder / DATABASE).exists():
            self._let_go()
        self._hold()
        if self._base is None:
            base = open_database(self.folder / DATABASE)
            try:
                count_on(base, self._last_id)
                self._take_over(base)
            except BaseException:
                base.close()
                raise
            self._base = base
        return self._base

    def _let_go(self) -> None:
        self._close_files()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def _close_files(self) -> None:
        if self._lines:
            self._lines.close()
        if self._base:
            self._base.close()
        self._lines, self._base = None, None

    def _write(
        self,
        base: sqlite3.Connection,
        entry: _Entry,
        before: str = "",
        values: Tuple[Any, ...] = (),
        run: str = "",
        wall_ns: Optional[Tuple[int, int]] = None,
    ) -> None:
        """Writes an entry to both places or none.

        Args:
            base: the database.
            entry: the entry.
            before: a statement that takes effect only together with the entry.
            values: the statement's values.
            run: the entry's run, if it is another one.
            wall_ns: the entry's wall times, if they are known.
        """
        start_ns, end_ns = entry.start_ns, entry.end_ns
        wall_start_ns, wall_end_ns = wall_ns or self._wall(start_ns, end_ns)
        details = json.dumps(entry.details)
        row = (entry.kind, entry.name, run or self._run, start_ns, end_ns, wall_start_ns, wall_end_ns, details)
        written: Optional[LineFile] = None
        base.execute("BEGIN")
        try:
            if before:
                base.execute(before, values)
            number = base.execute(f"INSERT INTO entries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid
            lines = self._line_file(base, wall_end_ns)
            lines.write(json.dumps(as_json(number, *row)))
            written = lines
            base.execute("COMMIT")
            self._last_id = number or self._last_id
        except BaseException:
            with suppress(sqlite3.Error):
                base.execute("ROLLBACK")
            if written:
                written.take_back()
            raise

    def _wall(self, start_ns: int, end_ns: int) -> Tuple[int, int]:
        offset_ns = self._wall_offset_ns(end_ns)
        return start_ns + offset_ns, end_ns + offset_ns

    def _line_file(self, base: sqlite3.Connection, wall_ns: int) -> LineFile:
        """The day's file. A new day deletes entries that are too old."""
        day = local(wall_ns).date()
        if self._lines is None or day != self._day:
            if self._lines:
                self._lines.close()
                self._lines = None
            self._lines, self._day = LineFile.append(self.folder / f"{day.isoformat()}.jsonl"), day
            self._forget(base, local(wall_ns))
        return self._lines

    def _look_at_clock(self, base: sqlite3.Connection, at_ns: int) -> None:
        """Corrects this run's wall times if the wall clock was set since the previous entry, and logs that."""
        set_by_ns = self._clock.set_by_ns(at_ns)
        if set_by_ns:
            entry = _Entry(CLOCK, "set", at_ns, at_ns, {"set_by_s": round(set_by_ns / 1e9, 3)})
            shift = "UPDATE entries SET wall_start_ns = wall_start_ns + ?, wall_end_ns = wall_end_ns + ? WHERE run = ?"
            self._write(base, entry, shift, (set_by_ns, set_by_ns, self._run))
        self._clock.note()

    def _forget(self, base: sqlite3.Connection, now: datetime) -> None:
        """Deletes entries that are too old, unless the clock has not been set yet."""
        if self._keep is None or now < CLOCK_IS_SET:
            return
        oldest = now - self._keep
        base.execute(
            "DELETE FROM entries WHERE wall_end_ns < ? AND NOT (details LIKE '%\"stands\": true%' AND id IN"
            " (SELECT MAX(id) FROM entries WHERE kind = ? GROUP BY name))",  # such alarms wait for an acknowledgement
            (round(oldest.timestamp() * 1e9), ALARM),
        )
        for path in (*self.folder.glob(DAILY_FILES), *self.folder.glob(DAMAGED)):
            with suppress(ValueError, OSError):
                if _day(path) < oldest.date() and not (path.match(DAILY_FILES) and _is_needed(base, path)):
                    path.unlink()

    def _take_over(self, base: sqlite3.Connection) -> None:
        """Ends the present episode of a run that was killed, at the time when it was last stored."""
        left = base.execute(f"SELECT {PRESENT_COLUMNS} FROM present").fetchone()
        if left:
            name, run, start_ns, end_ns, wall_start_ns, wall_end_ns, details = left
            entry = _Entry(EPISODE, name, start_ns, end_ns, {**json.loads(details), "cut": True})
            self._write(base, entry, _FORGET_PRESENT, (), run, (wall_start_ns, wall_end_ns))
