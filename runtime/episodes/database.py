"""The database of a log, opened to be written. One that is missing or damaged is made from the daily files."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator, Sequence, Tuple

from cosmo_runtime.runtime.episodes.entries import CLOCK, COLUMNS, EPISODE

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


def _fill(base: sqlite3.Connection, folder: Path) -> None:
    """Fills a new database from the daily files. Wall times are those of the files, to the millisecond.

    When the wall clock was set, earlier lines of that run keep the old times. In the database they get the new ones. A
    line that cannot be read is left out and reported.
    """
    lines = list(_lines(folder))
    numbers = [line["id"] for line in lines]
    if len(set(numbers)) < len(numbers):  # older versions counted from 1 again
        numbers = list(range(1, len(lines) + 1))
    clock = [line for line in lines if line["kind"] == CLOCK]
    base.executemany(
        f"INSERT INTO entries (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((number, *_row(line, clock)) for number, line in zip(numbers, lines)),
    )


def _lines(folder: Path) -> Iterator[Line]:
    for path in sorted(folder.glob("????-??-??.jsonl")):
        for number, text in enumerate(path.read_bytes().splitlines(), 1):
            try:
                line = json.loads(text)
                _row(line)  # which reads every value that an entry needs
            except (ValueError, KeyError, TypeError):  # a power cut may have torn it
                _log.warning("%s, line %d, cannot be read and is left out", path, number)
            else:
                yield line


def _row(line: Line, clock: Sequence[Line] = ()) -> Tuple[Any, ...]:
    """The columns of an entry, from its form in files and from all lines that say when the clock was set."""
    is_episode = line["kind"] == EPISODE
    start, end = (line["start"], line["end"]) if is_episode else (line["time"], line["time"])
    details = {key: value for key, value in line.items() if key not in _WRITTEN_FOR_READERS}
    set_by_ns = sum(
        round(later["set_by_s"] * 1e9)
        for later in clock
        if later["run"] == line["run"] and later["end_ns"] > line["end_ns"]
    )
    return (
        line["kind"],
        line["activity" if is_episode else "name"],
        line["run"],
        line["start_ns"],
        line["end_ns"],
        _wall_ns(start) + set_by_ns,
        _wall_ns(end) + set_by_ns,
        json.dumps(details),
    )


def _wall_ns(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000) * 10**6
