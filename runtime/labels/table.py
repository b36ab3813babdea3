"""A session: recordings, and a table of labels that says what the person did in them and when.

A row of the table is a segment of one activity:

    # recording began 2026-11-23T19:19:30.250Z
    start,end,activity
    2.5,7.25,wave
    2026-11-23T20:19:32+01:00,2026-11-23T20:19:40+01:00,walk

``runtime.labels.rows`` and ``runtime.labels.times`` describe the forms of tables and times. The first line may be
missing; see ``runtime.labels.began``. A column ``session`` may name each row's recording, relative to the table's
folder, with or without ``.mcap``. The time between rows has no label.
"""

from __future__ import annotations

import csv
import io
import itertools
import logging
import os
import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from cosmo_runtime.models.activity_names import as_known, is_uncertain, label_name
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.runtime.labels.began import began_in, began_line, check_began
from cosmo_runtime.runtime.labels.rows import COLUMNS, SESSION, LabelTable, TableRow
from cosmo_runtime.runtime.labels.span import SLIP_NS, Span, span_of
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.recording.segments import segments_of

_UNSURE = re.compile(r"[+-]?\d{1,3},\d{3}")  # a decimal comma, or a comma between thousands

_log = logging.getLogger(__name__)


class LabelsError(Exception):
    """A table of labels cannot be read or written. The message lists every error by line."""


def labels_beside(recording: Path) -> Path:
    """Returns the expected path of a recording's labels."""
    return recording.with_suffix(".csv")


def prompted_beside(recording: Path) -> Iterator[Path]:
    """Where the labels of a prompt go, in this order, if somebody else has changed the usual table meanwhile."""
    usual = labels_beside(recording)
    yield usual.with_name(f"{usual.stem}-prompted.csv")
    for number in itertools.count(2):
        yield usual.with_name(f"{usual.stem}-prompted-{number}.csv")


def tables_of(recording: Path) -> List[Path]:
    """The tables beside a recording, but none that is beside another one, too. They go where the recording goes."""
    prompted = itertools.takewhile(os.path.lexists, prompted_beside(recording))
    others = [table for table in prompted if not _is_beside_another(table)]
    usual = labels_beside(recording)
    return [usual, *others] if os.path.lexists(usual) else others


def _is_beside_another(table: Path) -> bool:
    return any(map(os.path.lexists, (table.with_suffix(""), table.with_suffix(".mcap"))))


def is_of_one_recording(table: Path) -> bool:
    """Whether a table is deleted with the recording beside it. A link, or a table of several recordings, is not."""
    return table.is_file() and not table.is_symlink() and LabelTable(table).is_of_one_recording


def refuse_existing(path: Path) -> None:
    """Raises LabelsError if new labels would replace a file."""
    if path.exists():
        raise LabelsError(f"{path} exists already: choose another name, or move it away")


def of_another(table: Path, recording: Recording) -> str:
    """Why the table beside a recording is not of it, by what it says itself; empty if it may be."""
    read = LabelTable(table)
    for comment in () if SESSION in read.columns else read.comments.values():
        began = began_in(comment)
        try:
            if began:
                check_began(began, recording)
        except ValueError as error:
            return str(error)
    return ""


def read_labels(
    path: Path, session: Union[Path, Recording, None] = None, examples: int = 2, open_questions: bool = False
) -> Dict[Path, List[Segment]]:
    """Reads a table of labels and checks it against its recordings.

    An activity whose name looks the same as an earlier one to a person counts as that one, with a warning.

    Args:
        path: the CSV file.
        session: the table's recording, if no column names it; by default the ``.mcap`` with the table's name beside
            it. If it is opened already, other recordings that rows name need not exist: their times are returned as
            they are written.
        examples: the least number of examples of each activity; fewer are an error.
        open_questions: whether to return rows ``uncertain``, which a person still has to name; otherwise they are an
            error.

    Returns:
        For each recording (absolute path), its segments on its monotonic clock, oldest first.

    Raises:
        LabelsError: the file or a recording cannot be read; the table is of another recording; a column is missing or
            unknown; a row has a bad time, ends before it starts, lies outside its recording or overlaps another; an
            activity has too few examples.
    """
    checker = _Checker(path, session, examples, open_questions)
    by_recording: Dict[Path, List[_Label]] = defaultdict(list)
    for label in checker.labels():
        by_recording[label.recording].append(label)
    segments = {recording: checker.apart(labels) for recording, labels in by_recording.items()}
    if checker.problems:
        raise LabelsError("\n  ".join([f"{path}: these labels cannot be used:", *_folded(checker.problems)]))
    for name, (line, known) in checker.renamed.items():
        _log.warning("%s: line %d: %r is taken for %r", path, line, name, known)
    return segments


def write_labels(
    path: Path,
    segments: Iterable[Segment],
    recording: Recording,
    replace: bool = False,
    check: Callable[[], None] = lambda: None,
) -> bytes:
    """Writes the labels of one recording, to the millisecond, whole or not at all.

    Args:
        path: the CSV file.
        segments: what was done when, on the recording's monotonic clock.
        recording: the recording. It may still be growing.
        replace: whether to replace an existing file.
        check: is called just before the file takes its place. If it raises, the earlier file stays.

    Returns:
        What the file holds.

    Raises:
        LabelsError: the file exists already or cannot be written.
    """
    if not replace:
        refuse_existing(path)
    start_ns = recording.start_ns
    table = io.StringIO(newline="")
    table.write(began_line(recording))
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    for start, end, activity in segments:
        rows.writerow([_seconds_text(start - start_ns), _seconds_text(end - start_ns), activity])
    content = table.getvalue().encode()
    try:
        write_whole(path, content, check)
    except OSError as error:
        raise LabelsError(f"{path} cannot be written: {error.strerror}") from error
    return content


class _Label(NamedTuple):
    line: int
    recording: Path
    segment: Segment


class _Checker:
    """Turns the rows of a table into labels, and collects errors.

    Attributes:
        problems: the errors by line; 0 stands for the whole file.
        renamed: names that count as another activity, each with its first line and that activity.
    """

    def __init__(self, path: Path, session: Union[Path, Recording, None], examples: int, open_questions: bool) -> None:
        self._path = path
        self._open_questions = open_questions
        self._least_examples = examples
        self._session = session.path if isinstance(session, Recording) else session
        self._table = LabelTable(path)
        self._recordings: Dict[Path, Optional[Recording]] = {}
        self._opened_alone = isinstance(session, Recording)
        if isinstance(session, Recording):
            self._recordings[session.path.resolve()] = session
        self._examples: Dict[str, List[int]] = defaultdict(list)  # lines by activity
        self.problems: List[Tuple[int, str]] = self._table.problems
        self.renamed: Dict[str, Tuple[int, str]] = {}

    def labels(self) -> List[_Label]:
        """Returns the labels of all rows that are valid in themselves."""
        table = self._table
        if SESSION not in table.columns:
            self._check_began()
        labels = [label for label in map(self._label, table.rows) if label]
        for activity, lines in self._examples.items():
            if len(lines) < self._least_examples:
                self.problems.append((lines[0], f"is the only example of {activity!r}: label another one, or drop it"))
        if not labels and not self.problems:
            self.problems.append((0, f"the file holds no labels; its rows are {','.join(COLUMNS)}"))
        return labels

    def apart(self, labels: List[_Label]) -> List[Segment]:
        """Returns one recording's segments in order of time. If two overlap slightly, the later one is shortened."""
        segments: List[Segment] = []
        longest: Optional[_Label] = None
        for label in sorted(labels, key=lambda label: label.segment):
            start_ns, end_ns, activity = label.segment
            if longest and start_ns < longest.segment.end_ns:
                if start_ns < longest.segment.end_ns - SLIP_NS or end_ns <= longest.segment.end_ns:
                    first, second = sorted([longest.line, label.line])
                    self.problems.append((second, f"overlaps line {first}"))
                start_ns = longest.segment.end_ns
            segments.append(Segment(start_ns, end_ns, activity))
            longest = label if not longest or end_ns > longest.segment.end_ns else longest
        return segments

    def _check_began(self) -> None:
        """Reports a table that says itself that it is of another recording."""
        for line, comment in self._table.comments.items():
            began = began_in(comment)
            path = self._recording_path(TableRow(line, {})) if began else None
            recording = self._recording(line, path) if path else None
            if began and recording:
                try:
                    check_began(began, recording)
                except ValueError as error:
                    self.problems.append((line, str(error)))

    def _label(self, row: TableRow) -> Optional[_Label]:
        activity = self._activity(row)
        path = self._recording_path(row)
        asked = path is not None and (path in self._recordings or not self._opened_alone)
        recording = self._recording(row.line, path) if path and asked else None
        span = self._span(row, recording)
        readable = path if recording or not asked else None
        return _Label(row.line, readable, Segment(*span, activity)) if activity and readable and span else None

    def _activity(self, row: TableRow) -> Optional[str]:
        if self._open_questions and is_uncertain(row.cells["activity"]):
            return UNCERTAIN
        try:
            name = label_name(row.cells["activity"])
        except ValueError as error:
            self.problems.append((row.line, str(error)))
            return None
        known = as_known(name, self._examples)
        if known != name:
            self.renamed.setdefault(name, (row.line, known))
        self._examples[known].append(row.line)
        return known

    def _recording_path(self, row: TableRow) -> Optional[Path]:
        name = row.cells.get(SESSION)
        if name is None:
            path = self._session or _recording_beside(self._path)
        else:
            path = self._path.parent / name
            if not name.endswith(".mcap") and not segments_of(path):
                path = self._path.parent / f"{name}.mcap"
        try:
            if name != "":
                return path.resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links, a zero byte
            pass
        self.problems.append((row.line, f"its {SESSION} names no recording"))
        return None

    def _recording(self, line: int, path: Path) -> Optional[Recording]:
        """Opens a recording once. If it cannot be read, this is reported once."""
        if path not in self._recordings:
            self._recordings[path] = None
            try:
                self._recordings[path] = Recording(path)
            except RecordingError as error:
                missing = isinstance(error.__cause__, FileNotFoundError)
                guessed = self._session is None and SESSION not in self._table.columns
                beside = f"there is no {path.name} beside the table: name its recording with --session"
                self.problems.append((line, beside if missing and guessed else str(error)))
        return self._recordings[path]

    def _span(self, row: TableRow, recording: Optional[Recording]) -> Optional[Span]:
        start, end = row.cells["start"], row.cells["end"]
        if self._table.separator == "," and (_UNSURE.fullmatch(start) or _UNSURE.fullmatch(end)):
            unsure = f"{start} to {end}: the comma may mark decimals or thousands; write a decimal point"
            self.problems.append((row.line, unsure))
            return None
        try:
            return span_of(start, end, recording)
        except (ValueError, RecordingError) as error:
            self.problems += [(row.line, text) for text in str(error).split("\n")]
            return None


def _folded(problems: Iterable[Tuple[int, str]]) -> List[str]:
    """The problems by line, with the lines of the same problem in one."""
    lines: Dict[str, List[int]] = defaultdict(list)
    for line, text in sorted(problems):
        lines[text].append(line)
    return [f"{_named(numbers)}: {text}" if all(numbers) else text for text, numbers in lines.items()]


def _named(lines: Sequence[int]) -> str:
    """``line 2``, or ``lines 2 to 9, 12``."""
    runs: List[List[int]] = []
    for line in lines:
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    names = ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"lines {names}" if len(lines) > 1 else f"line {names}"


def _recording_beside(table: Path) -> Path:
    """The recording with a table's name, a file or a folder of segments."""
    folder = table.with_suffix("")
    return folder if segments_of(folder) else table.with_suffix(".mcap")


def _seconds_text(duration_ns: int) -> str:
    """Writes nanoseconds as seconds, rounded to milliseconds, without trailing zeros."""
    return f"{Decimal(duration_ns // 10**6).scaleb(-3).normalize():f}"
