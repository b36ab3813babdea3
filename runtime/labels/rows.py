"""Reads the rows of a label table as text, whichever spreadsheet, label tool or editor wrote it.

Commas, semicolons or tabs separate the columns. A spreadsheet may name the separator in a first line ``sep=;``. A
header names the columns ``start``, ``end``, ``activity`` and ``session``, in any order and case. Without a header they
are start, end and activity, as in Audacity's label tracks.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from cosmo_runtime.runtime.labels.plain_text import foreign_byte, read_text
from cosmo_runtime.runtime.labels.times import readings

COLUMNS = ("start", "end", "activity")
SESSION = "session"

_KNOWN = (*COLUMNS, SESSION)
_ALSO_CALLED = {"begin": "start", "stop": "end", "label": "activity"}
_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.I)
_SKIPPED = ("#", "\\")  # comments, and frequencies, which Audacity writes below a label


class TableRow(NamedTuple):
    """A row: its line number in the file, and its cells by column."""

    line: int
    cells: Dict[str, str]


class LabelTable:
    """The rows of a file, and errors in their form.

    Args:
        path: the file.

    Attributes:
        rows: the rows of the right form.
        columns: the names of the columns, in the file's order; empty if the table cannot be understood.
        has_header: whether the file names the columns.
        header_line: the header's line, or else the first row's.
        comments: the comments by line.
        separator: the separator of the columns.
        problems: the errors by line; 0 stands for the whole file.
    """

    def __init__(self, path: Path) -> None:
        self.rows: List[TableRow] = []
        self.columns: List[str] = []
        self.has_header = False
        self.header_line = 0
        self.comments: Dict[int, str] = {}
        self.separator = ","
        self.problems: List[Tuple[int, str]] = []
        self._unknown: List[str] = []  # columns with content
        try:
            text = read_text(path)
        except OSError as error:
            self.problems.append((0, f"the file cannot be read: {error.strerror}"))
        except ValueError as error:
            self.problems.append((0, f"the file {error}"))
        else:
            self._read(text)

    @property
    def is_of_one_recording(self) -> bool:
        """Whether it is clearly a table of labels, and names no recording."""
        if self.has_header:
            return sorted(self.columns) == sorted(COLUMNS)
        return bool(self.rows) and not self.problems and all(map(_is_label, self.rows))

    def _read(self, text: str) -> None:
        lines = io.StringIO(text, newline="").readlines()
        separator_line = _SEPARATOR_LINE.fullmatch(lines[0].strip(" \r\n")) if lines else None
        if separator_line:
            lines[0] = "\n"
        first = next((number for number, line in enumerate(lines) if not _is_empty(line)), None)
        if first is None:
            return
        offered = separator_line[1] if separator_line else _SEPARATORS
        separators = [mark for mark in offered if _is_understood(_split(lines[first], mark))]
        if len(separators) != 1:
            begins = f"begins with {lines[first].strip()[:80]!r}, which is neither a header nor a label"
            self.problems.append((first + 1, f"{begins}; a first line {','.join(COLUMNS)} names the columns"))
            return
        (self.separator,) = separators
        table = csv.reader(lines, delimiter=self.separator)
        line = 1
        try:
            for cells in table:
                self._take(line, [cell.strip() for cell in cells])
                line = table.line_num + 1
        except csv.Error as error:
            self.problems.append((line, f"is not CSV: {error}"))
        if self._unknown:
            known = ", ".join(_KNOWN)
            names = ", ".join(map(repr, dict.fromkeys(self._unknown)))
            self.problems.append((self.header_line, f"unknown column {names}; known are {known}"))

    def _take(self, line: int, cells: List[str]) -> None:
        begins_with_text = self.columns and self.columns[0] not in ("start", "end")
        if not any(cells):
            return
        if cells[0].startswith(_SKIPPED) and not begins_with_text:
            self.comments[line] = cells[0]
            return
        foreign = foreign_byte("".join(cells))
        if foreign:
            self.problems.append((line, foreign))
        elif not self.header_line and _are_names(cells):
            self.has_header = True
            self.header_line = line
            self._take_header(line, [_column(cell) for cell in cells])
        elif not self.header_line:
            self.header_line = line
            self.columns = list(COLUMNS)
            self._take_row(line, cells)
        elif self.columns:
            self._take_row(line, cells)

    def _take_header(self, line: int, columns: List[str]) -> None:
        while not columns[-1]:
            columns.pop()
        missing = [name for name in COLUMNS if name not in columns]
        twice = sorted({name for name in _KNOWN if columns.count(name) > 1})
        if missing:
            self.problems.append((line, f"has no column {', '.join(missing)}; the first line names the columns"))
        if twice:
            self.problems.append((line, f"has the column {', '.join(twice)} twice"))
        if not missing and not twice:
            self.columns = columns

    def _take_row(self, line: int, cells: List[str]) -> None:
        count = len(self.columns)
        if any(cells[count:]):
            hint = "; if commas are decimal marks here, separate the columns by semicolons" * (self.separator == ",")
            self.problems.append((line, f"has {len(cells)} cells instead of {count}{hint}"))
        elif len(cells) <= max(map(self.columns.index, COLUMNS)):
            self.problems.append((line, f"has {len(cells)} cells instead of {count}"))
        else:
            row = dict(zip(self.columns, cells))
            self._unknown += [name for name, cell in row.items() if cell and name not in _KNOWN]
            self.rows.append(TableRow(line, row))


def _is_label(row: TableRow) -> bool:
    return all(_is_time(row.cells[name]) for name in ("start", "end")) and not _is_time(row.cells["activity"])


def _is_understood(cells: List[str]) -> bool:
    return _are_names(cells) or (len(cells) > 2 and _is_time(cells[0]) and _is_time(cells[1]))


def _are_names(cells: List[str]) -> bool:
    return any(_column(cell) in COLUMNS for cell in cells)


def _column(cell: str) -> str:
    name = cell.casefold()
    name = _ALSO_CALLED.get(name, name)
    return name if name in _KNOWN else cell


def _is_time(cell: str) -> bool:
    try:
        return bool(readings(cell, None))
    except ValueError:
        return False


def _is_empty(line: str) -> bool:
    return not line.strip(_SEPARATORS + ' "\r\n') or line.lstrip(' \t"').startswith(_SKIPPED)


def _split(line: str, separator: str) -> List[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []
