"""A session: recordings, and a table of labels that says what the person did in them and when.

The table is CSV with the columns ``start``, ``end`` and ``activity``, in any order, a stretch of one activity a row:

    start,end,activity
    2.5,7.25,wave
    2026-11-23T20:19:32+01:00,2026-11-23T20:19:40+01:00,walk

A time is a number of seconds from the recording's start, where viewers begin to count, or an ISO 8601 time, local where
it names no zone. A column ``session`` may name the recording of each row, seen from the table's folder, with or without
``.mcap``. What lies between the rows has no label. A row may end up to a second after the recording does, and then ends
with it.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from models.files import write_whole
from runtime.recognizer import UNCERTAIN
from runtime.truth import Segment
from sensors.recording import Recording, RecordingError

_COLUMNS = ("start", "end", "activity")
_SESSION = "session"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_BEYOND_NS = 10**9  # a label may end so long after the last sample came: a kill takes the last half second of samples
_FURTHEST_S = 10**10  # three hundred years; beyond, a number is a slip of the hand


class LabelsError(Exception):
    """A table of labels cannot be read or written; all that is wrong with it, by line."""


def labels_beside(recording: Path) -> Path:
    """Where the labels of a recording are looked for."""
    return recording.with_suffix(".csv")


def refuse_existing(path: Path) -> None:
    """Raises LabelsError where labels that are to be written would replace a file."""
    if path.exists():
        raise LabelsError(f"{path} exists already: choose another name, or move it away")


def is_of_one_recording(path: Path) -> bool:
    """Whether a file is a table of labels, and of the recording beside it alone."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            columns = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return sorted(column.strip() for column in columns) == sorted(_COLUMNS)


def read_labels(path: Path, session: Optional[Path] = None) -> Dict[Path, List[Segment]]:
    """Reads a table of labels and checks it against its recordings.

    Args:
        path: the CSV file.
        session: the recording that the table is of, where no column names it; without it the ``.mcap`` of the table's
            name, beside it.

    Returns:
        By recording (absolute path), its segments on its monotonic clock, oldest first.

    Raises:
        LabelsError: the file or a recording cannot be read; a column is missing or unknown; a row has a bad time, ends
            before it starts, lies outside its recording or overlaps another; an activity has one example only.
    """
    table = _Table(path, session)
    by_recording: Dict[Path, List[_Row]] = defaultdict(list)
    for row in table.rows():
        by_recording[row.recording].append(row)
    problems = table.problems
    for labelled in by_recording.values():
        labelled.sort(key=lambda row: row.segment)
        problems += _overlaps(labelled)
    if problems:
        lines = [f"line {line}: {text}" if line else text for line, text in sorted(problems)]
        raise LabelsError("\n  ".join([f"{path}: these labels cannot be used:", *lines]))
    return {recording: [row.segment for row in labelled] for recording, labelled in by_recording.items()}


def write_labels(path: Path, segments: Iterable[Segment], start_ns: int, replace: bool = False) -> None:
    """Writes the labels of one recording, to the millisecond, whole or not at all.

    Args:
        path: the CSV file.
        segments: what was done when.
        start_ns: of the recording, on the same clock.
        replace: whether the file may exist already.

    Raises:
        LabelsError: it exists already, or cannot be written.
    """
    if not replace:
        refuse_existing(path)
    table = io.StringIO(newline="")
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for start, end, activity in segments:
        rows.writerow([_seconds_text(start - start_ns), _seconds_text(end - start_ns), activity])
    try:
        write_whole(path, table.getvalue().encode())
    except OSError as error:
        raise LabelsError(f"{path} cannot be written: {error.strerror}") from error


class _Row(NamedTuple):
    line: int
    recording: Path
    segment: Segment


class _Table:
    """Reads a table's rows.

    Attributes:
        problems: what is wrong with the rows read so far, by line; 0 for what concerns the whole.
    """

    def __init__(self, path: Path, session: Optional[Path]) -> None:
        self.problems: List[Tuple[int, str]] = []
        self._path = path
        self._session = session
        self._recordings: Dict[Path, Optional[Recording]] = {}
        self._examples: Dict[str, List[int]] = defaultdict(list)  # lines by activity

    def rows(self) -> List[_Row]:
        """Returns the rows with which nothing is wrong, seen each by itself."""
        rows: List[_Row] = []
        try:
            with self._path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin with a byte-order mark
                table = csv.reader(file)
                columns: Optional[List[str]] = None
                while True:
                    line = table.line_num + 1
                    cells = next(table, None)
                    if cells is None:
                        break
                    cells = [cell.strip() for cell in cells]
                    if not any(cells):
                        continue
                    if columns is None:
                        columns = cells
                        if not self._has_columns(line, columns):
                            return []
                    elif len(cells) != len(columns):
                        self.problems.append((line, f"has {len(cells)} cells instead of {len(columns)}"))
                    else:
                        row = self._row(line, dict(zip(columns, cells)))
                        rows += [row] if row else []
        except OSError as error:
            self.problems.append((0, f"the file cannot be read: {error.strerror}"))
        except UnicodeDecodeError:
            self.problems.append((0, "the file is no UTF-8 text: save it as CSV in UTF-8"))
        except csv.Error as error:
            self.problems.append((table.line_num, f"is no CSV: {error}"))
        for activity, lines in self._examples.items():
            if len(lines) == 1:
                self.problems.append((lines[0], f"is the only example of {activity!r}: label another one, or drop it"))
        if not rows and not self.problems:
            self.problems.append((0, f"the file holds no labels; its rows are {','.join(_COLUMNS)}"))
        return rows

    def _has_columns(self, line: int, columns: List[str]) -> bool:
        missing = [name for name in _COLUMNS if name not in columns]
        unknown = [name for name in columns if name not in (*_COLUMNS, _SESSION)]
        twice = sorted({name for name in columns if columns.count(name) > 1} - set(unknown))
        if missing:
            self.problems.append((line, f"has no column {', '.join(missing)}; the first line names the columns"))
        if unknown:
            known = ", ".join((*_COLUMNS, _SESSION))
            self.problems.append((line, f"unknown column {', '.join(map(repr, unknown))}; known are {known}"))
        if twice:
            self.problems.append((line, f"has the column {', '.join(twice)} twice"))
        if _SESSION in columns and self._session:
            self.problems.append((line, f"the column {_SESSION} names the recordings, and so does --session; drop one"))
        return not missing and not twice

    def _row(self, line: int, cells: Mapping[str, str]) -> Optional[_Row]:
        """Returns the row, or None when something is wrong with it, which is noted."""
        wrong: List[str] = []
        activity = cells["activity"]
        if not activity or not activity.isprintable():
            wrong.append("names no activity")
        elif activity == UNCERTAIN:
            wrong.append(f"{UNCERTAIN!r} is no activity: say what it was, or drop the row")
        else:
            self._examples[activity].append(line)
        path = self._recording_path(cells.get(_SESSION))
        recording = self._recording(line, path) if path else None
        if not path:
            wrong.append(f"its {_SESSION} names no recording")
        times_ns: List[int] = []
        for column in "start", "end":
            try:
                times_ns.append(_time_ns(cells[column], recording))
            except ValueError:
                wrong.append(f"{column} {cells[column]!r} is no time; give seconds (12.5) or 2026-11-23T20:19:32+01:00")
        if len(times_ns) == 2:
            if times_ns[1] <= times_ns[0]:
                wrong.append(f"end {cells['end']} is not after start {cells['start']}")
            elif recording:
                end_ns = recording.start_ns + round(recording.duration_s * 1e9)
                if times_ns[0] < end_ns < times_ns[1] <= end_ns + _BEYOND_NS:
                    times_ns[1] = end_ns
                if times_ns[0] < recording.start_ns or times_ns[1] > end_ns:
                    wrong.append(_outside(cells, recording))
        self.problems += [(line, text) for text in wrong]
        if wrong or not path or not recording:
            return None
        return _Row(line, path, Segment(times_ns[0], times_ns[1], activity))

    def _recording_path(self, name: Optional[str]) -> Optional[Path]:
        if name is None:
            path = self._session or self._path.with_suffix(".mcap")
        else:
            path = self._path.parent / (name if name.endswith(".mcap") else f"{name}.mcap")
        try:
            return path.resolve() if name != "" else None
        except (OSError, RuntimeError, ValueError):  # a loop of links, a zero byte
            return None

    def _recording(self, line: int, path: Path) -> Optional[Recording]:
        """Opens a recording, once; says once that it cannot be read."""
        if path not in self._recordings:
            self._recordings[path] = None
            try:
                self._recordings[path] = Recording(path)
            except RecordingError as error:
                self.problems.append((line, str(error)))
        return self._recordings[path]


def _time_ns(text: str, recording: Optional[Recording]) -> int:
    """Reads a time, on the recording's clock; without a recording on any, for comparing two of one kind.

    Raises:
        ValueError: it is none.
    """
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        return _wall_ns(text) - (recording.wall_offset_ns if recording else 0)
    if not seconds.is_finite() or not -_FURTHEST_S < seconds < _FURTHEST_S:
        raise ValueError(text)
    return round(seconds * 10**9) + (recording.start_ns if recording else 0)


def _wall_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        return (moment.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1) * 1000
    except (OverflowError, OSError) as error:  # far from our time
        raise ValueError(text) from error


def _outside(cells: Mapping[str, str], recording: Recording) -> str:
    begin = _EPOCH + timedelta(microseconds=(recording.start_ns + recording.wall_offset_ns) // 1000)
    span = f"{recording.duration_s:.3f} s from {begin.astimezone().isoformat(timespec='milliseconds')} on"
    return f"{cells['start']} to {cells['end']} lies outside {recording.path.name}, which has {span}"


def _overlaps(rows: List[_Row]) -> List[Tuple[int, str]]:
    """Says which rows of one recording, in order of time, begin before an earlier one has ended."""
    problems = []
    for before, row in zip(_longest_so_far(rows), rows[1:]):
        if row.segment.start_ns < before.segment.end_ns:
            first, second = sorted([before.line, row.line])
            problems.append((second, f"overlaps line {first}"))
    return problems


def _longest_so_far(rows: List[_Row]) -> Iterable[_Row]:
    longest = rows[0]
    for row in rows:
        longest = max(longest, row, key=lambda row: row.segment.end_ns)
        yield longest


def _seconds_text(duration_ns: int) -> str:
    """Spells nanoseconds as seconds, down to whole milliseconds and without trailing zeros."""
    return f"{Decimal(duration_ns // 10**6).scaleb(-3).normalize():f}"
