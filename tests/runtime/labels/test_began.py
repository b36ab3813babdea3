"""A table says which recording it is of, and is not believed about another."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Callable, List

import pytest

from cosmo_runtime.runtime.labels.began import began_line
from cosmo_runtime.runtime.labels.table import LabelsError, read_labels, write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

SECOND = 10**9


@pytest.fixture
def other(samples: Callable[..., List[Sample]], tmp_path: Path) -> Path:
    """A recording that is longer, and began two minutes later."""
    path = tmp_path / "tuesday.mcap"
    with RecordingWriter(path, {"imu": SensorInfo("imu", "another", 100)}) as writer:
        for sample in samples("imu", 125, 150)[::10]:
            writer.write(sample)
    return path


@pytest.fixture
def written(session: Recording, tmp_path: Path) -> Path:
    """The table of ``session``, below another name."""
    path = tmp_path / "tuesday.csv"
    start_ns = session.start_ns
    rows = [Segment(start_ns + a * SECOND, start_ns + (a + 1) * SECOND, "wave") for a in (1, 3)]
    write_labels(path, rows, session)
    return path


def test_labels_of_another_recording_are_refused_with_what_to_do(
    session: Recording, other: Path, written: Path
) -> None:
    with pytest.raises(LabelsError) as refused:
        read_labels(written)
    said = str(refused.value)
    assert "line 1: these labels are of a recording that began " in said
    assert "but tuesday.mcap began " in said
    line, rest = written.read_text().split("\n", 1)
    assert line.split()[-1] in said
    written.write_text(rest)  # as it says
    assert list(read_labels(written)) == [other]


def test_a_recording_may_be_renamed_and_moved(session: Recording, written: Path, tmp_path: Path) -> None:
    shutil.copy(session.path, tmp_path / "tuesday.mcap")
    assert list(read_labels(written)) == [tmp_path / "tuesday.mcap"]
    assert list(read_labels(written, session)) == [session.path]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheet_may_save_the_table(session: Recording, written: Path, other: Path, delimiter: str) -> None:
    rows = list(csv.reader(written.read_text().splitlines()))
    with written.open("w", newline="", encoding="utf-16") as file:
        csv.writer(
            file, delimiter=delimiter, quoting=csv.QUOTE_ALL if delimiter == ";" else csv.QUOTE_MINIMAL
        ).writerows(row + [""] * (3 - len(row)) for row in rows)
    assert len(read_labels(written, session)[session.path]) == 2
    with pytest.raises(LabelsError, match="these labels are of a recording that began"):
        read_labels(written)


@pytest.mark.parametrize("line", ["# recording began yesterday", "#Recording began 2026-02-30T00:00:00Z"])
def test_a_time_that_is_none_fits_no_recording(table: Callable[[str], Path], line: str) -> None:
    path = table(f"{line}\nstart,end,activity\n1,2,wave\n3,4,wave\n")
    with pytest.raises(LabelsError, match=r"line 1: these labels are of a recording that began .*delete this line"):
        read_labels(path)


def test_other_comments_and_rows_that_name_their_recording_need_no_line(
    session: Recording, other: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("# the recording began late\nstart,end,activity\n1,2,wave\n3,4,wave\n")
    assert list(read_labels(path, session)) == [session.path]
    path.write_text(f"{began_line(session)}start,end,activity,session\n1,2,wave,tuesday\n3,4,wave,tuesday\n")
    assert list(read_labels(path)) == [other]


@pytest.mark.parametrize(("offset_ns", "line"), [(0, "# recording began 1970-01-01T00:00:05.000Z\n"), (10**21, "")])
def test_the_wall_clock_may_be_wrong(session: Recording, tmp_path: Path, offset_ns: int, line: str) -> None:
    recording = Recording(session.path)
    recording.wall_offset_ns = offset_ns
    assert began_line(recording) == line
    path = tmp_path / "x.csv"
    rows = [Segment(recording.start_ns + a * SECOND, recording.start_ns + (a + 1) * SECOND, "wave") for a in (1, 3)]
    write_labels(path, rows, recording)
    assert read_labels(path, recording)[recording.path] == rows
