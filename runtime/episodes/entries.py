"""The content of a log of episodes: its database, and its entries in files and messages."""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

DATABASE = "episodes.sqlite"
DAILY_FILES = "????-??-??.jsonl"
DAMAGED = "*.damaged-*"  # a damaged database that was put aside, by the first day in it
FULL_BYTES = 2**16  # nothing can be kept on a disk with less
LOCK = ".lock"  # whoever writes the log holds it
EPISODE, ALARM, CLOCK = "episode", "alarm", "clock"

COLUMNS = "kind, name, run, start_ns, end_ns, wall_start_ns, wall_end_ns, details"
PRESENT_COLUMNS = COLUMNS[len("kind, ") :]


_MADE_AGAIN = "the next run with --home makes it from the daily files"


class LogError(Exception):
    """The log cannot be used. The message names the folder and says what to do."""


class NoLog(LogError):
    """There is none yet."""


def entries(
    folder: Path, from_ns: int = 0, to_ns: int = 1 << 62, kinds: Sequence[str] = (EPISODE, ALARM, CLOCK)
) -> Iterator[Dict[str, Any]]:
    """Reads a log's entries in a stretch of wall time, including the present one, in order of time.

    Raises:
        LogError: there is no log, or it cannot be read.
    """
    marks = ", ".join("?" * len(kinds))
    with closing(read_database(folder)) as base:
        if from_ns >= to_ns:  # a day that a country skipped lies inside entries, but nothing was done on it
            return
        try:
            rows = base.execute(
                f"SELECT id, {COLUMNS} FROM entries WHERE kind IN ({marks}) AND wall_end_ns > ? AND wall_start_ns < ?"
                " ORDER BY wall_start_ns, id",
                (*kinds, from_ns, to_ns),
            ).fetchall()
            if EPISODE in kinds:
                rows += base.execute(
                    f"SELECT NULL, 'episode', {PRESENT_COLUMNS} FROM present"
                    " WHERE wall_end_ns > ? AND wall_start_ns < ?",
                    (from_ns, to_ns),
                ).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(folder / DATABASE, error) from error
    for row in rows:
        yield as_json(*row)


def last_alarms(folder: Path) -> Dict[str, Dict[str, Any]]:
    """The last entry of each alarm, by name, in the order in which they came. The clock may have been set back since.

    Raises:
        LogError: there is no log, or it cannot be read.
    """
    with closing(read_database(folder)) as base:
        try:
            query = f"SELECT id, {COLUMNS} FROM entries WHERE id IN (SELECT MAX(id) FROM entries WHERE kind = ?"
            last = [as_json(*row) for row in base.execute(f"{query} GROUP BY name) ORDER BY id", (ALARM,))]
        except sqlite3.Error as error:
            raise _unreadable(folder / DATABASE, error) from error
    return {entry["name"]: entry for entry in last}


def why_behind(folder: Path) -> str:
    """Why a run has entries in memory that the log lacks; empty if it has none."""
    if not folder.exists() or is_written(folder) is False or shutil.disk_usage(folder).free >= FULL_BYTES:
        return ""
    return f"the disk of {folder} is full, so newer alarms wait in the memory of the run; make room"


def span_ns(folder: Path) -> Optional[Tuple[int, int]]:
    """The wall times of a log's begin and end; None if it holds no episode.

    Raises:
        LogError: there is no log, or it cannot be read.
    """
    with closing(read_database(folder)) as base:
        try:
            query = "SELECT wall_start_ns, wall_end_ns FROM entries WHERE kind = ? ORDER BY wall_end_ns"
            first = base.execute(f"{query} LIMIT 1", (EPISODE,)).fetchone()
            last = base.execute(f"{query} DESC LIMIT 1", (EPISODE,)).fetchone()
            now = base.execute("SELECT wall_start_ns, wall_end_ns FROM present").fetchone()
        except sqlite3.Error as error:
            raise _unreadable(folder / DATABASE, error) from error
    spans = [span for span in (first, last, now) if span]
    return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None


def is_written(folder: Path) -> Optional[bool]:
    """Whether a process writes a log at this moment; None if nobody can tell."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # there is none, it is another user's, or this file system has no locks
        return None


def after(folder: Path, number: int, most: int) -> List[Dict[str, Any]]:
    """Reads the entries after the one with a number, in the order in which they came.

    Raises:
        LogError: there is no log, or it cannot be read.
    """
    with closing(read_database(folder)) as base:
        try:
            query = f"SELECT id, {COLUMNS} FROM entries WHERE id > ? ORDER BY id LIMIT ?"
            return [as_json(*row) for row in base.execute(query, (number, most))]
        except sqlite3.Error as error:
            raise _unreadable(folder / DATABASE, error) from error


def last_id(folder: Path) -> Optional[int]:
    """The number of the last entry, even if it was deleted since; None if it cannot be read now."""
    try:
        with closing(read_database(folder)) as base:
            last = base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    except NoLog:
        return 0
    except (LogError, sqlite3.Error):
        return None
    return int(last[0]) if last else 0


def read_database(folder: Path) -> sqlite3.Connection:
    """Opens a log for reading, even while a run writes it, on a full disk, or where nothing may be written.

    Raises:
        LogError: it cannot be read.
        NoLog: there is none.
    """
    path = folder / DATABASE
    try:
        if not path.exists():
            raise _no_log(folder)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from error
    try:
        try:
            return _open_to_read(path, "?mode=rw")
        except sqlite3.OperationalError:  # nothing may be written there, so the files that readers share are missing
            if _is_ahead(path):
                raise
            return _open_to_read(path, "?immutable=1")
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _open_to_read(path: Path, how: str) -> sqlite3.Connection:
    base = sqlite3.connect(path.absolute().as_uri() + how, timeout=5, check_same_thread=False, uri=True)
    try:
        if base.execute("SELECT name FROM sqlite_master WHERE name = 'entries'").fetchone():
            return base
    except sqlite3.Error:
        base.close()
        raise
    base.close()
    raise _no_log(path.parent)  # the disk was full when it was made


def _no_log(folder: Path) -> LogError:
    if any(folder.glob(DAILY_FILES)):
        return LogError(f"{folder} has daily files, but no database; {_MADE_AGAIN}")
    return NoLog(f"{folder} holds no log of episodes; a run with --home keeps one")


def _is_ahead(path: Path) -> bool:
    """Whether the file beside the database holds what the database lacks."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _unreadable(path: Path, error: sqlite3.Error) -> LogError:
    if isinstance(error, sqlite3.OperationalError):
        return LogError(f"{path} cannot be read: {error}")
    return LogError(f"{path} is damaged ({error}); {_MADE_AGAIN}")


def as_json(
    number: Optional[int], kind: str, name: str, run: str, start_ns: int, end_ns: int, wall_start_ns: int,
    wall_end_ns: int, details: str,
) -> Dict[str, Any]:  # fmt: skip
    """An entry in the form of files and messages."""
    start, end = local(wall_start_ns), local(wall_end_ns)
    entry: Dict[str, Any] = {"id": number, "kind": kind, "activity" if kind == EPISODE else "name": name}
    if kind == EPISODE:
        entry.update(start=_iso(start), end=_iso(end), seconds=round((end_ns - start_ns) / 1e9, 3))
        entry.update(start_utc=_utc(start), end_utc=_utc(end))
    else:
        entry.update(time=_iso(start), time_utc=_utc(start))
    if number is None and kind == EPISODE:
        entry["open"] = True
    return {**entry, "zone": start.tzname(), **json.loads(details), "run": run, "start_ns": start_ns, "end_ns": end_ns}


def local(wall_ns: int) -> datetime:
    """A wall time in local time."""
    return datetime.fromtimestamp(round(wall_ns / 1e6) / 1e3, timezone.utc).astimezone()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _utc(moment: datetime) -> str:
    return _iso(moment.astimezone(timezone.utc)).replace("+00:00", "Z")
