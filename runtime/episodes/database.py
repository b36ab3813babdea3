"""The database of a log, opened to be written. One that is missing or damaged is made from the daily files."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from cosmo_runtime.runtime.episodes.entries import CLOCK, COLUMNS, DAILY_FILES, EPISODE

Line = Dict[str, Any]

_log = logging.getLogger(__name__)

_TABLES = (
    "CREATE TABLE entries ("
    "id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, run TEXT NOT NULL, "
    "start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, "
    "wall_start_ns INTEGER NOT NULL, wall_end_ns INTEGER NOT NULL, details TEXT NOT NULL)",
    "CREATE INDEX by_end ON entries (wall_end_ns)",
    "CREATE TABLE present ("
    "one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, run TEXT NOT NULL, "
    "start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, "
    "wall_start_ns INTEGER NOT NULL, wall_end_ns INTEGER NOT NULL, details TEXT NOT NULL)",
)

_WRITTEN_FOR_READERS = {
    "id", "kind", "activity", "name", "start", "end", "seconds", "start_utc", "end_utc", "time", "time_utc", "zone",
    "run", "start_ns", "end_ns",
}  # fmt: skip


def open_database(path: Path) -> sqlite3.Connection:
    """Opens the database, and fills a new one from the daily files. A damaged one is moved aside and made again.

    Raises:
        OSError, sqlite3.Error: a file cannot be read, or the database cannot be written.
    """
    try:
        return _open(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        aside = path.with_suffix(f".damaged-{int(time.time())}")
        for end in ("-wal", "-shm", ""):  # the first two are SQLite's, and belong to the third
            with suppress(FileNotFoundError):
                path.with_name(path.name + end).replace(aside.with_name(aside.name + end))
        _log.error("%s is damaged (%s): it is now %s, and is made again from the daily files", path, error, aside.name)
    return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        (found,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        if base.execute("SELECT name FROM sqlite_master WHERE name = 'entries'").fetchone() is None:
            base.execute("BEGIN")
            for table in _TABLES:
                base.execute(table)
            _fill(base, path.parent)
            base.execute("COMMIT")
    except BaseException:
        base.close()
        raise
    return base


def count_on(base: sqlite3.Connection, number: int) -> None:
    """Lets the next entry have a higher number than this one, as who reads a log that was deleted expects."""
    if number and base.execute("SELECT 1 FROM sqlite_sequence WHERE seq >= ?", (number,)).fetchone() is None:
        base.execute("DELETE FROM sqlite_sequence")
        base.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entries', ?)", (number,))


def entries_in(path: Path) -> Iterator[Optional[Line]]:
    """Reads the entries in a daily file; None for a line that cannot be read, which is reported."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        _log.warning("%s cannot be read (%s): its entries are left out", path, error.strerror)
        return
    for number, text in enumerate(lines, 1):
        try:
            yield _checked(json.loads(text))
        except (ValueError, KeyError, TypeError):  # a power cut may have torn it
            _log.warning("%s, line %d, cannot be read and is left out", path, number)
            yield None


def _fill(base: sqlite3.Connection, folder: Path) -> None:
    """Fills a new database from the daily files. Wall times are those of the files, to the millisecond.

    When the wall clock was set, earlier lines of that run keep the old times. In the database they get the new ones.
    """
    lines: List[Line] = []
    unread = 0
    for path in sorted(folder.glob(DAILY_FILES)):
        for line in entries_in(path):
            if line is None:
                unread += 1
                continue
            if lines and lines[-1]["id"] == line["id"]:  # a kill came between the file and the database
                lines.pop()
            lines.append(line)
    if len({line["id"] for line in lines}) < len(lines):  # older versions counted from 1 again
        for before, line in zip(lines, lines[1:]):
            line["id"] = max(line["id"], before["id"] + 1)
    clock = [line for line in lines if line["kind"] == CLOCK]
    base.executemany(
        f"INSERT INTO entries (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((line["id"], *_row(line, clock)) for line in lines),
    )
    if lines:
        count_on(base, max(line["id"] for line in lines) + unread)  # what was sent as one number is no other entry
        _log.warning("%s: the database was made from the daily files; it has %d entries", folder, len(lines))


def _checked(line: Any) -> Line:
    """Returns an entry that the database can hold.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    numbers = line["id"], line["start_ns"], line["end_ns"], _wall_ns(_moments(line)[0]), _wall_ns(_moments(line)[1])
    if not all(isinstance(number, int) and abs(number) < 1 << 62 for number in numbers):
        raise ValueError("a number is out of range")
    if not all(isinstance(text, str) for text in (line["kind"], _name(line), line["run"])):
        raise TypeError("a text is missing")
    if line["kind"] == CLOCK and not abs(line["set_by_s"]) < 1 << 32:
        raise ValueError("the clock cannot be set so far")
    return dict(line)


def _row(line: Line, clock: Sequence[Line]) -> Tuple[Any, ...]:
    """The columns of an entry, from its form in files and from all lines that say when the clock was set."""
    start, end = _moments(line)
    set_by_ns = sum(
        round(later["set_by_s"] * 1e9) for later in clock if later["run"] == line["run"] and later["id"] > line["id"]
    )
    return (
        line["kind"],
        _name(line),
        line["run"],
        line["start_ns"],
        line["end_ns"],
        _wall_ns(start) + set_by_ns,
        _wall_ns(end) + set_by_ns,
        json.dumps({key: value for key, value in line.items() if key not in _WRITTEN_FOR_READERS}),
    )


def _moments(line: Line) -> Tuple[str, str]:
    return (line["start"], line["end"]) if line["kind"] == EPISODE else (line["time"], line["time"])


def _name(line: Line) -> Any:
    return line["activity" if line["kind"] == EPISODE else "name"]


def _wall_ns(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000) * 10**6
