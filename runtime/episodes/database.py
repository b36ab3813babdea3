"""The database of a log, opened to be written. One that is missing or damaged is made from the daily files."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from cosmo_runtime.runtime.episodes.entries import ALARM, CLOCK, COLUMNS, DAILY_FILES, EPISODE

Line = Dict[str, Any]

_MAY_BE_GONE = 1000  # entries that a power cut took from the files, and that were sent under their numbers

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
        today = f"{datetime.now():%Y-%m-%d}"
        first_day = min((file.stem for file in path.parent.glob(DAILY_FILES)), default=today)
        aside = path.with_name(f"{first_day}.damaged-{int(time.time())}")
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


def entries_in(path: Path) -> List[Line]:
    """Reads the entries in a daily file. What cannot be read is left out and reported."""
    try:
        texts = path.read_bytes().splitlines()
    except OSError as error:
        _log.warning("%s cannot be read (%s): its entries are left out", path, error.strerror)
        return []
    lines: List[Line] = []
    for number, text in enumerate(texts, 1):
        try:
            line = _checked(json.loads(text))
        except (ValueError, KeyError, TypeError, RecursionError):  # a power cut may have torn it
            _log.warning("%s, line %d, cannot be read and is left out", path, number)
            continue
        if lines and lines[-1]["id"] == line["id"]:
            lines.pop()  # a kill came between the file and the database, and the next entry got its number
        lines.append(line)
    return lines


def _fill(base: sqlite3.Connection, folder: Path) -> None:
    """Fills a new database from the daily files. Wall times are those of the files, to the millisecond.

    When the wall clock was set, earlier lines of that run keep the old times. In the database they get the new ones.
    """
    lines = _numbered([entries_in(path) for path in sorted(folder.glob(DAILY_FILES))])
    if not lines:
        return
    clock = [line for line in lines if line["kind"] == CLOCK]
    base.executemany(
        f"INSERT INTO entries (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((line["id"], *_row(line, clock)) for line in lines),
    )
    count_on(base, max(line["id"] for line in lines) + _MAY_BE_GONE)
    _log.warning("%s: the database was made from the daily files; it has %d entries", folder, len(lines))


def _numbered(days: Sequence[List[Line]]) -> List[Line]:
    """The entries of all files, each with a number of its own."""
    often = Counter(line["id"] for day in days for line in day)
    for day in days:
        repeated = [line for line in day if often[line["id"]] > 1]
        if len(repeated) == 1 and repeated[0] is day[-1]:
            often[day.pop()["id"]] -= 1  # as above, but the next entry came on another day
    lines = [line for day in days for line in day]
    if max(often.values(), default=1) > 1:  # older versions counted from 1 again
        for before, line in zip(lines, lines[1:]):
            line["id"] = max(line["id"], before["id"] + 1)
    return lines


def _checked(line: Any) -> Line:
    """Returns an entry that the database can hold.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    start, end = _moments(line)
    numbers = line["id"], line["start_ns"], line["end_ns"], _wall_ns(start), _wall_ns(end)
    if not all(isinstance(number, int) and abs(number) < 1 << 62 for number in numbers):
        raise ValueError("a number is out of range")
    texts = [line["kind"], line["run"], _name(line)]
    if line["kind"] == CLOCK and not abs(line["set_by_s"]) < 1 << 32:
        raise ValueError("the clock cannot be set so far")
    if line["kind"] == ALARM:
        texts += [line["state"], line["evidence"]["activity"], line["evidence"]["since"]]
        if not isinstance(line["stands"], bool):
            raise TypeError("stands is neither true nor false")
        if not all(type(line.get(key, 1)) is int for key in ("number", "times")):
            raise TypeError("an alarm is counted by whole numbers")
        if not isinstance(line.get("first") or "", str):
            raise TypeError("first is no time")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
        text.encode()  # half a character cannot be stored
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
