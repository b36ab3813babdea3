"""Tables of labels are read as spreadsheets, label tools and editors write them."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.runtime.labels.rows import LabelTable

ROWS = [("1.5", "2.5", "wave"), ("3", "4.25", "sit, then stand")]


def read(tmp_path: Path, content: bytes) -> LabelTable:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    return LabelTable(path)


@pytest.mark.parametrize(
    "content",
    [
        b'start,end,activity\n1.5,2.5,wave\n3,4.25,"sit, then stand"\n',
        b'\xef\xbb\xbfStart,End,Activity\r\n1.5,2.5,wave\r\n3,4.25,"sit, then stand"\r\n',
        b"sep=;\r\nSTART;END;ACTIVITY\r\n1.5;2.5;wave\r\n3;4.25;sit, then stand\r\n",
        b'"sep=;"\r\nstart;end;activity\r\n1.5;2.5;wave\r\n3;4.25;sit, then stand\r\n',
        "start\tend\tactivity\r\n1.5\t2.5\twave\r\n3\t4.25\tsit, then stand\r\n".encode("utf-16"),
        b"1.5\t2.5\twave\n3\t4.25\tsit, then stand\n",
        b"1.5\t2.5\twave\n\\\t100.0\t200.0\n3\t4.25\tsit, then stand\n",
        b"activity;begin;stop;;\nwave;1.5;2.5;;\nsit, then stand;3;4.25;;\n;;;;\n",
        b'# by hand, \xfcbers Wochenende\n\nstart,end,activity,notes\n1.5,2.5,wave,\n3,4.25,"sit, then stand",\n',
        b'start,end,label,,\n1.5,2.5,wave,,,\n3,4.25,"sit, then stand",,\n',
        b'start,end,activity\r1.5,2.5,wave\r3,4.25,"sit, then stand"\r',
    ],
)
def test_one_table_in_many_forms(tmp_path: Path, content: bytes) -> None:
    table = read(tmp_path, content)
    assert table.problems == []
    assert [tuple(row.cells[name] for name in ("start", "end", "activity")) for row in table.rows] == ROWS
    assert table.is_of_one_recording == (b"notes" not in content)


def test_rows_have_the_line_of_the_file_that_they_begin_in(tmp_path: Path) -> None:
    table = read(tmp_path, b'sep=,\n\nstart,end,activity\n1,2,"a\nb"\n# no\n3,4,c\n')
    assert [row.line for row in table.rows] == [4, 7]
    assert table.header_line == 3


def test_decimal_commas_go_with_semicolons_and_tabs(tmp_path: Path) -> None:
    for content in b"start;end;activity\n1,5;2,5;wave\n", b"1,5;2,5;wave\n", b"1,5\t2,5\twave\n":
        assert list(read(tmp_path, content).rows[0].cells.values()) == ["1,5", "2,5", "wave"]


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (b"start,end\n1,2\n", ["has no column activity; the first line names the columns"]),
        (b"Start;Begin;activity\n1;2;x\n", ["has no column end; the first line", "has the column start twice"]),
        (b"start,end,activity,who\n1,2,wave,\n1,2,wave,me\n", ["unknown column 'who'; known are start, end, activity"]),
        (b",start,end,activity\n0,1,2,wave\n", ["unknown column ''; known are"]),
        (b"start,end,activity\n1,2\n", ["has 2 cells instead of 3"]),
        (b"start;end;activity\n1;2;wave;x\n", ["has 4 cells instead of 3"]),
        (b"soon,later,wave\n", ["begins with 'soon,later,wave', which is neither a header nor a label; a first line"]),
        (b"monday,1,2,wave\n", ["begins with 'monday,1,2,wave', which is neither"]),
        (b"\x1b[2J\n", [r"begins with '\x1b[2J', which is neither"]),
        (b"sep=;\nvon;bis;was\n1;2;x\n", ["begins with 'von;bis;was', which is neither"]),
        (
            b"start,end,activity\n1,2,gr\xfc\xdfen\n",
            ["holds the byte 0xfc, which is not UTF-8: save the file"],
        ),
        (b"start,end,activity\n1,2," + b"x" * 200_000, ["is not CSV: field larger than field limit"]),
    ],
)
def test_what_is_not_understood_is_named_as_it_was_seen(tmp_path: Path, content: bytes, problems: List[str]) -> None:
    found = [text for _, text in sorted(read(tmp_path, content).problems)]
    assert len(found) == len(problems), found
    for text, beginning in zip(found, problems):
        assert text.startswith(beginning)


def test_an_activity_may_begin_as_a_comment_does(tmp_path: Path) -> None:
    table = read(tmp_path, b"activity,start,end\n#1,2,3\n")
    assert [row.cells["activity"] for row in table.rows] == ["#1"]


@pytest.mark.parametrize(
    ("content", "is_of_one"),
    [
        (b"start,end,activity\n", True),
        (b"start;end;activity\nsoon;2;x\n", True),
        (b"0.5\t1.5\twave\n", True),
        (b"session,start,end,activity\nmonday,1,2,wave\n", False),
        (b"start,end,activity,notes\n1,2,wave,mine\n", False),
        (b"0.01,0.02,9.81\n0.02,0.01,9.80\n", False),
        (b"0.5,1.5,wave\nmy notes\n", False),
        (b"", False),
        (b"\xff\xfe\x00", False),
    ],
)
def test_a_table_that_may_be_something_else_is_not_taken_for_labels(
    tmp_path: Path, content: bytes, is_of_one: bool
) -> None:
    """For `purge` deletes what is."""
    assert read(tmp_path, content).is_of_one_recording == is_of_one
    assert not LabelTable(tmp_path / "no.csv").is_of_one_recording
