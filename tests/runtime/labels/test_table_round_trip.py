"""What is written is read again, and garbage is refused."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path
from typing import Dict, List

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cosmo_runtime.models.activity_names import activity_name, as_known
from cosmo_runtime.runtime.labels.table import LabelsError, labels_beside, read_labels, write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.recording import Recording

SECOND = 10**9


def test_labels_are_written_for_people_and_never_over_others(session: Recording, tmp_path: Path) -> None:
    path = labels_beside(tmp_path / "monday.mcap")
    assert path == tmp_path / "monday.csv"
    start_ns = session.start_ns
    rows = [(SECOND, SECOND + 1_500_999_999, "wave"), (9 * SECOND, 109 * SECOND, "walk")]
    write_labels(path, [Segment(start_ns + a, start_ns + b, activity) for a, b, activity in rows], session)
    began, header, *labels = path.read_text().splitlines()
    assert re.fullmatch(r"# recording began \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", began)
    assert (header, labels) == ("start,end,activity", ["1,2.5,wave", "9,109,walk"])
    with pytest.raises(LabelsError, match=r"monday.csv exists already"):
        write_labels(path, [], session)
    write_labels(path, [], session, replace=True)
    assert path.read_text() == f"{began}\nstart,end,activity\n"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(LabelsError, match="cannot be written: No such file"):
        write_labels(tmp_path / "none" / "x.csv", [], session)


def _is_name(text: str) -> bool:
    try:
        return activity_name(text) == text
    except ValueError:
        return False


_ACTIVITIES = st.text(min_size=1).filter(_is_name)


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
    assume(all(as_known(name, names[:number]) == name for number, name in enumerate(names)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        write_labels(path, segments, session)
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


@settings(deadline=None, max_examples=200)
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
