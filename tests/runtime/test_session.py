"""Labels are read as they were written, and whatever is wrong with them is said at once, by line."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Dict, List
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.recognizer import UNCERTAIN
from runtime.session import LabelsError, labels_beside, read_labels, write_labels
from runtime.truth import Segment
from sensors.events import Sample
from sensors.recording import Recording, RecordingWriter
from sensors.sensor import SensorInfo

SECOND = 10**9


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, samples: Callable[..., List[Sample]]) -> Recording:
    """Twenty seconds of an IMU, from second 5 of the monotonic clock on."""
    path = tmp_path_factory.mktemp("sessions") / "monday.mcap"
    infos = {"imu": SensorInfo("imu", "an IMU of numbers", 100)}
    with mock.patch.object(RecordingWriter, "_add_clock"), RecordingWriter(path, infos) as writer:  # it is not second 5
        for sample in samples("imu", 5, 25.01, delay_s=0)[::10]:
            writer.write(sample)
    recording = Recording(path)
    assert (recording.start_ns, recording.duration_s) == (5 * SECOND, 20.0)
    return recording


@pytest.fixture
def table(session: Recording, tmp_path: Path) -> Callable[[str], Path]:
    """Writes a table of labels into a folder where the recording ``monday.mcap`` lies."""
    (tmp_path / "monday.mcap").symlink_to(session.path)

    def write(text: str) -> Path:
        path = tmp_path / "monday.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


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
    assert problems(labels, other) == [
        "line 1: the column session names the recordings, and so does --session; drop one"
    ]


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
        "line 8: start 'soon' is no time; give seconds (12.5) or",
        "line 9: end 'nan' is no time; give",
        "line 9: names no activity",
        "line 10: 'uncertain' is no activity: say what it was, or drop the row",
        "line 11: is the only example of 'sit': label another one, or drop it",
        "line 12: has 2 cells instead of 3",
        "line 13: overlaps line 3",
    ]
    found = problems(path)
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected):
        assert line.startswith(beginning)


def test_a_row_that_ends_shortly_after_the_last_sample_ends_with_it(
    table: Callable[[str], Path], session: Recording
) -> None:
    path = table("start,end,activity\n1,3,wave\n18,20.99,wave\n")
    (segments,) = read_labels(path).values()
    assert segments[-1] == Segment(session.start_ns + 18 * SECOND, session.start_ns + 20 * SECOND, "wave")
    assert problems(table("start,end,activity\n1,3,wave\n20,20.5,wave\n"))[0].startswith("line 3: 20 to 20.5 lies out")


def test_rows_within_a_long_one_overlap_it_each(table: Callable[[str], Path]) -> None:
    path = table("start,end,activity\n1,10,walk\n2,3,wave\n4,5,wave\n10,11,walk\n")
    assert problems(path) == ["line 3: overlaps line 2", "line 4: overlaps line 2"]


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("", ["the file holds no labels; its rows are start,end,activity"]),
        ("start,end,activity\n", ["the file holds no labels; its rows are start,end,activity"]),
        ("start,end\n1,2\n", ["line 1: has no column activity; the first line names the columns"]),
        (
            "1,2,wave\n",
            [
                "line 1: has no column start, end, activity; the first line names the columns",
                "line 1: unknown column '1', '2', 'wave'; known are start, end, activity, session",
            ],
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
            ["line 2: its session names no recording", "line 3: its session names no recording"],
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
    assert problems(tmp_path / "none.csv") == ["the file cannot be read: No such file or directory"]


def test_a_file_that_is_no_text_is_explained(table: Callable[[str], Path]) -> None:
    path = table("")
    path.write_bytes("start,end,activity\n1,2,grüßen\n".encode("utf-16"))
    assert problems(path) == ["the file is no UTF-8 text: save it as CSV in UTF-8"]


def test_a_spreadsheets_mark_and_line_ends_are_no_hindrance(table: Callable[[str], Path], session: Recording) -> None:
    path = table("")
    path.write_bytes(b"\xef\xbb\xbf" + b'start,end,activity\r\n1,2,"sit, then stand"\r\n3,4,"sit, then stand"\r\n')
    assert [segment.activity for segment in read_labels(path)[session.path]] == ["sit, then stand"] * 2


def test_labels_are_written_for_people_and_never_over_others(tmp_path: Path) -> None:
    path = labels_beside(tmp_path / "monday.mcap")
    assert path == tmp_path / "monday.csv"
    write_labels(path, [Segment(SECOND, SECOND + 1_500_999_999, "wave"), Segment(9 * SECOND, 109 * SECOND, "walk")], 0)
    assert path.read_text() == "start,end,activity\n1,2.5,wave\n9,109,walk\n"
    with pytest.raises(LabelsError, match=r"monday.csv exists already"):
        write_labels(path, [], 0)
    write_labels(path, [], 0, replace=True)
    assert path.read_text() == "start,end,activity\n"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(LabelsError, match="cannot be written: No such file"):
        write_labels(tmp_path / "none" / "x.csv", [], 0)


_PRINTABLE = st.characters(blacklist_categories=("C", "Z"), whitelist_characters=" ")
_ACTIVITIES = st.text(_PRINTABLE, min_size=1).map(str.strip).filter(lambda text: text not in ("", UNCERTAIN))


@settings(deadline=None)
@given(
    cuts=st.lists(st.integers(0, 20_000), min_size=4, max_size=12, unique=True),
    names=st.lists(_ACTIVITIES, min_size=1, max_size=3),
)
@example(cuts=[0, 1, 19_999, 20_000], names=['"', "a,b"])
def test_what_is_written_is_read_again(session: Recording, cuts: List[int], names: List[str]) -> None:
    times = [cut_ms * 10**6 for cut_ms in sorted(cuts)]
    pairs = list(zip(times[::2], times[1::2]))
    segments = [
        Segment(session.start_ns + start, session.start_ns + end, names[number // 2 % len(names)])
        for number, (start, end) in enumerate(pairs)
    ]
    counts: Dict[str, int] = {}
    for segment in segments:
        counts[segment.activity] = counts.get(segment.activity, 0) + 1
    segments = [segment for segment in segments if counts[segment.activity] > 1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        write_labels(path, segments, session.start_ns)
        if segments:
            assert read_labels(path, session.path) == {session.path: segments}


_CELLS = st.one_of(
    st.text(max_size=8),
    st.floats().map(str),
    st.decimals().map(str),
    st.datetimes().map(str),
    st.sampled_from(
        ["start", "end", "activity", "session", "1", "2", "walk", "monday", "x" * 5000, "1e999999", "-1e-999999"]
    ),
)


def _csv(rows: List[List[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, escapechar="\\").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


_TABLES = st.lists(st.lists(_CELLS, min_size=3, max_size=4), max_size=6).map(
    lambda rows: b"session,start,end,activity\n" + _csv(rows)
)


@settings(deadline=None, max_examples=400)
@given(content=st.one_of(st.binary(), st.text().map(str.encode), _TABLES))
@example(content=b"start,end,activity\n9.9999999999999999999999999999e999999999999999999,2,x\n")
@example(content=b"start,end,activity\n0001-01-01T00:00:00,9999-12-31T23:59:59,x\n")
@example(content=b"start,end,activity\nsNaN,-Infinity,x\n")
@example(content=b"session,start,end,activity\n\0,1,2,x\n")
def test_garbage_is_refused_with_the_one_error(session: Recording, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "monday.csv"
        path.write_bytes(content)
        with pytest.raises(LabelsError):
            read_labels(path)
