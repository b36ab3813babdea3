"""Labels are read as they were written, and whatever is wrong with them is said at once, by line."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, List

import pytest

from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.runtime.labels.table import LabelsError, read_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

SECOND = 10**9


def problems(path: Path, session: Path | None = None) -> List[str]:
    with pytest.raises(LabelsError) as raised:
        read_labels(path, session)
    first, *lines = str(raised.value).split("\n")
    assert str(path) in first
    return [line.strip() for line in lines]


def test_a_table_beside_its_recording_needs_nothing_else(table: Callable[[str], Path], session: Recording) -> None:
    path = table("\n start, activity ,end\n0.5,wave,2\n\n10,walk,12.000000001\n2,wave,3.25\n4,walk,5\n")
    assert read_labels(path) == {
        session.path: [
            Segment(5_500_000_000, 7 * SECOND, "wave"),
            Segment(7 * SECOND, 8_250_000_000, "wave"),
            Segment(9 * SECOND, 10 * SECOND, "walk"),
            Segment(15 * SECOND, 17_000_000_001, "walk"),
        ]
    }


def test_times_of_day_are_understood_in_any_zone(table: Callable[[str], Path], session: Recording) -> None:
    began = datetime.fromtimestamp((session.start_ns + session.wall_offset_ns) // SECOND, timezone.utc)
    whole_ns = int(began.timestamp()) * SECOND - session.wall_offset_ns
    here = began.astimezone(timezone(timedelta(hours=5, minutes=30)))
    at = [f"{(began + timedelta(seconds=s)):%Y-%m-%dT%H:%M:%S}" for s in range(9)]
    rows = [
        f"{at[1]}Z,{at[2]}+00:00,wave",
        f"{(here + timedelta(seconds=3)).isoformat()},{(here + timedelta(seconds=4)).isoformat()},wave",
        f"{(began + timedelta(seconds=5)).astimezone().replace(tzinfo=None).isoformat()},{at[6]}.250+00:00,wave",
    ]
    path = table("\n".join(["start,end,activity", *rows]))
    assert read_labels(path)[session.path] == [
        Segment(whole_ns + 1 * SECOND, whole_ns + 2 * SECOND, "wave"),
        Segment(whole_ns + 3 * SECOND, whole_ns + 4 * SECOND, "wave"),
        Segment(whole_ns + 5 * SECOND, whole_ns + 6 * SECOND + SECOND // 4, "wave"),
    ]


def test_the_recording_is_named_by_the_caller_or_by_each_row(
    session: Recording, samples: Callable[..., List[Sample]], tmp_path: Path
) -> None:
    other = tmp_path / "tuesday.mcap"
    with RecordingWriter(other, {"imu": SensorInfo("imu", "another", 100)}) as writer:
        for sample in samples("imu", 100, 110):
            writer.write(sample)
    labels = tmp_path / "labels.csv"
    labels.write_text("start,end,activity\n0,1,wave\n2,3,wave\n")
    assert list(read_labels(labels, other)) == [other]
    rows = [f"{session.path},0,1,wave", "tuesday,0,1,wave", "tuesday.mcap,0.5,1.5,walk", "tuesday,2,3,walk"]
    labels.write_text("\n".join(["session,start,end,activity", *rows]))
    assert problems(labels) == ["line 4: overlaps line 3"]
    labels.write_text("\n".join(["session,start,end,activity", *rows]).replace("0.5,1.5", "4,5"))
    read = read_labels(labels)
    assert list(read) == [session.path, other]
    assert [segment.activity for segment in read[other]] == ["wave", "walk", "walk"]
    assert read_labels(labels, other) == read  # the rows' own word counts


def test_all_that_is_wrong_is_said_at_once(table: Callable[[str], Path]) -> None:
    path = table(
        "start,end,activity\n"
        "1,3,wave\n"
        "2.5,4,wave\n"
        "6,5,walk\n"
        "7,7,walk\n"
        "18,21.5,walk\n"
        "-1,0.5,walk\n"
        "soon,9,walk\n"
        "8,nan,\n"
        f"8,9,{UNCERTAIN}\n"
        "10,11,sit\n"
        "12,13\n"
        "2.75,2.8,wave\n"
    )
    outside = "lies outside monday.mcap, which has 20.000 s from"
    expected = [
        "line 3: overlaps line 2",
        "line 4: end 5 is not after start 6",
        "line 5: end 7 is not after start 7",
        f"line 6: 18 to 21.5 {outside}",
        f"line 7: -1 to 0.5 {outside}",
        "line 8: start 'soon' is not a time; write seconds (12.5), hh:mm:ss or",
        "line 9: end 'nan' is not a time; write",
        "line 9: names no activity",
        "line 10: 'uncertain' is not an activity, but the answer of a model that cannot tell: say what was done, or",
        "line 11: is the only example of 'sit': label another one, or drop it",
        "line 12: has 2 cells instead of 3",
        "line 13: overlaps line 3",
    ]
    found = problems(path)
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected):
        assert line.startswith(beginning)


def test_the_same_problem_of_many_rows_is_said_once(table: Callable[[str], Path], session: Recording) -> None:
    names = ["uncertain", "Uncertain ", "walk", "uncertain", "walk", "uncertain", "uncertain", "uncertain"]
    path = table("start,end,activity\n" + "".join(f"{n},{n + 1},{name}\n" for n, name in enumerate(names)))
    (said,) = [line for line in problems(path) if "'uncertain'" in line]
    assert said.startswith("lines 2, 5, 7 to 9: 'uncertain' is not an activity")
    (segments,) = read_labels(path, open_questions=True).values()
    assert [segment.activity for segment in segments].count(UNCERTAIN) == 6


def test_a_row_that_ends_shortly_after_the_last_sample_ends_with_it(
    table: Callable[[str], Path], session: Recording
) -> None:
    path = table("start,end,activity\n1,3,wave\n18,20.99,wave\n")
    (segments,) = read_labels(path).values()
    assert segments[-1] == Segment(session.start_ns + 18 * SECOND, session.start_ns + 20 * SECOND, "wave")
    assert problems(table("start,end,activity\n1,3,wave\n20,20.5,wave\n"))[0].startswith("line 3: 20 to 20.5 lies out")


def test_a_slight_overlap_is_cut_off_the_later_row(table: Callable[[str], Path], session: Recording) -> None:
    path = table("start,end,activity\n1,3,wave\n2.95,5,walk\n5,6,walk\n5.98,7,wave\n")
    (segments,) = read_labels(path).values()
    edges = [((start - session.start_ns) / SECOND, (end - session.start_ns) / SECOND) for start, end, _ in segments]
    assert edges == [(1, 3), (3, 5), (5, 6), (6, 7)]
    assert problems(table("start,end,activity\n1,3,wave\n2.949,5,wave\n")) == ["line 3: overlaps line 2"]
    assert problems(table("start,end,activity\n1,3,wave\n2.96,2.99,wave\n")) == ["line 3: overlaps line 2"]


def test_names_that_are_the_same_to_a_person_are_one_activity(
    table: Callable[[str], Path], session: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ["0,1,Walk", "1,2,walk", "2,3,gähnen", "3,4,ga\u0308hnen", "4,5,sit  down", "5,6,sit\u00a0down", "6,7,None"]
    path = table("\n".join(["start,end,activity", *rows, "7,8,none", "8,9,walk"]))
    names = [segment.activity for segment in read_labels(path)[session.path]]
    assert names == ["Walk", "Walk", "gähnen", "gähnen", "sit down", "sit down", "none", "none", "Walk"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: line 3: 'walk' is taken for 'Walk'",
        f"{path}: line 8: 'None' is taken for 'none'",
    ]


def test_names_in_any_script_are_read_and_control_characters_refused(
    table: Callable[[str], Path], session: Recording
) -> None:
    names = [
        "\u0645\u06cc\u200c\u0631\u0648\u0645",
        "\u0915\u094d\u200d\u0937",
        "\u05dc\u05e9\u05d1\u05ea\u200f",
        "\U0001f6b6",
    ]
    rows = [f"{n},{n + 1},{names[n % 4]}" for n in range(8)]
    read = read_labels(table("\n".join(["start,end,activity", *rows])))[session.path]
    assert [segment.activity for segment in read] == names * 2
    path = table('start,end,activity\n1,2,walk\x1b[2J\n3,4,"sit\ndown"\n6,7,UNCERTAIN\n')
    assert problems(path)[:2] == [
        r"line 2: the name 'walk\x1b[2J' contains a control character or a line end",
        r"line 3: the name 'sit\ndown' contains a control character or a line end",
    ]
    assert problems(path)[2].startswith("line 5: 'UNCERTAIN' is not an activity")


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\r\nStart;End;Activity\r\n1,5;2,5;wave\r\n3;4,25;wave\r\n".encode("utf-16"),
        b"\xef\xbb\xbf1.500000\t2.500000\twave\n3.000000\t4.250000\twave\n",
        b"start,end,activity,,\n00:00:01.5,00:00:02.5,wave,,\n00:00:03,00:00:04.25,wave,,\n",
        b'"start","end","activity"\n"1,5","2,5","wave"\n3,"4,25",wave\n',
    ],
)
def test_tables_of_spreadsheets_and_label_tools_are_read(
    table: Callable[[str], Path], session: Recording, content: bytes
) -> None:
    path = table("")
    path.write_bytes(content)
    assert read_labels(path)[session.path] == [
        Segment(session.start_ns + start_ms * 10**6, session.start_ns + end_ms * 10**6, "wave")
        for start_ms, end_ms in ((1500, 2500), (3000, 4250))
    ]


def test_rows_within_a_long_one_overlap_it_each(table: Callable[[str], Path]) -> None:
    path = table("start,end,activity\n1,10,walk\n2,3,wave\n4,5,wave\n10,11,walk\n")
    assert problems(path) == ["lines 3 to 4: overlaps line 2"]


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("", ["the file holds no labels; its rows are start,end,activity"]),
        ("start,end,activity\n", ["the file holds no labels; its rows are start,end,activity"]),
        ("start,end\n1,2\n", ["line 1: has no column activity; the first line names the columns"]),
        (
            "von,bis,was\n1,2,wave\n",
            [
                "line 1: begins with 'von,bis,was', which is neither a header nor a label; a first line "
                "start,end,activity names the columns"
            ],
        ),
        (
            "start,end,activity\n1,5,2,5,wave\n",
            ["line 2: has 5 cells instead of 3; if commas are decimal marks here, separate the columns by semicolons"],
        ),
        (
            'start,end,activity\n"1,500","2,500",wave\n3,4,wave\n',
            ["line 2: 1,500 to 2,500: the comma may mark decimals or thousands; write a decimal point"],
        ),
        (
            "start,end,activity,who\n2,1,wave,me\n3,4,wave,me\n",
            [
                "line 1: unknown column 'who'; known are start, end, activity, session",
                "line 2: end 1 is not after start 2",
            ],
        ),
        ("start,end,end,activity\n", ["line 1: has the column end twice"]),
        (
            "session,start,end,activity\n,1,2,wave\n,3,4,wave\n",
            ["lines 2 to 3: its session names no recording"],
        ),
    ],
)
def test_a_table_of_another_form_is_explained(table: Callable[[str], Path], text: str, wrong: List[str]) -> None:
    assert problems(table(text)) == wrong


def test_a_recording_that_is_not_there_is_named_once(table: Callable[[str], Path], tmp_path: Path) -> None:
    path = table("session,start,end,activity\nsunday,1,2,wave\nsunday,4,3,wave\n")
    assert problems(path) == [
        f"line 2: {tmp_path}/sunday.mcap cannot be read: No such file or directory",
        "line 3: end 3 is not after start 4",
    ]
    path = table("start,end,activity\n1,2,wave\n3,4,wave\n")
    path = path.rename(path.with_name("alone.csv"))
    assert problems(path) == ["line 2: there is no alone.mcap beside the table: name its recording with --session"]
    assert problems(tmp_path / "none.csv") == ["the file cannot be read: No such file or directory"]


def test_a_file_that_is_no_text_is_explained(table: Callable[[str], Path]) -> None:
    path = table("")
    path.write_bytes("start,end,activity\n1,2,grüßen\n3,4,wave\n5,6,wave\n".encode("latin-1"))
    assert problems(path) == ["line 2: holds the byte 0xfc, which is not UTF-8: save the file as UTF-8"]


def test_a_spreadsheets_mark_and_line_ends_are_no_hindrance(table: Callable[[str], Path], session: Recording) -> None:
    path = table("")
    path.write_bytes(b"\xef\xbb\xbf" + b'start,end,activity\r\n1,2,"sit, then stand"\r\n3,4,"sit, then stand"\r\n')
    assert [segment.activity for segment in read_labels(path)[session.path]] == ["sit, then stand"] * 2
