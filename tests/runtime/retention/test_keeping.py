from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.runtime.retention.keeping import Keep, Keeper, parse_keep


def test_sizes_and_times_are_read() -> None:
    assert parse_keep("20GB") == Keep(bytes=20 * 10**9)
    assert parse_keep("500 mb") == Keep(bytes=500 * 10**6)
    assert parse_keep("7d") == Keep(age=timedelta(days=7))
    for wrong in ("20", "GB", "0GB", "-1d", "20 GiB"):
        with pytest.raises(ValueError, match="a size such as 20GB, or a time such as 12h or 7d"):
            parse_keep(wrong)
    with pytest.raises(ValueError, match="'99MB': expected at least 100MB"):
        parse_keep("99MB")


def _segments(folder: Path, count: int, first_hours_ago: int, size: int = 1000) -> List[Path]:
    """Segments that ended an hour after one another."""
    folder.mkdir()
    made = []
    for number in range(count):
        path = folder / f"{number + 1:06d}-20261128T120000Z.mcap"
        path.write_bytes(bytes(size))
        ended_s = time.time() - 3600 * (first_hours_ago - number)
        os.utime(path, (ended_s, ended_s))
        made.append(path)
    return made


def test_the_oldest_go_first_across_the_runs_of_a_name(tmp_path: Path) -> None:
    old, new = _segments(tmp_path / "run", 3, 20), _segments(tmp_path / "run-2", 3, 10)
    other = _segments(tmp_path / "running", 1, 100)
    Keeper(tmp_path / "run", Keep(bytes=5000))(new[-1])
    assert [path.exists() for path in (*old, *new)] == [False, True, True, True, True, True]
    Keeper(tmp_path / "run", Keep(bytes=2000))(new[-1])
    assert [path.exists() for path in (*old, *new)] == [False, False, False, False, True, True]
    assert not (tmp_path / "run").exists()
    assert other[0].exists()


def test_the_segment_that_is_written_never_goes(tmp_path: Path) -> None:
    (segment,) = _segments(tmp_path / "run", 1, 100)
    Keeper(tmp_path / "run", Keep(bytes=1))(segment)
    Keeper(tmp_path / "run", Keep(age=timedelta(hours=1)))(segment)
    assert segment.exists()


def test_what_somebody_put_into_a_folder_of_segments_stays(tmp_path: Path) -> None:
    segments = _segments(tmp_path / "run", 2, 20)
    (tmp_path / "run" / "monday.mcap").write_bytes(b"another recording")
    Keeper(tmp_path / "run", Keep(age=timedelta(hours=1)))(tmp_path / "run-2" / "now.mcap")
    assert [path.exists() for path in segments] == [False, False]
    assert (tmp_path / "run" / "monday.mcap").exists()


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    segments = _segments(tmp_path / "run", 4, 5)
    Keeper(tmp_path / "run", Keep(age=timedelta(hours=3, minutes=30)))(segments[-1])
    assert [path.exists() for path in segments] == [False, False, True, True]


def test_labelled_ones_go_last_and_only_after_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labelled, new = _segments(tmp_path / "run", 2, 20), _segments(tmp_path / "run-2", 3, 10)
    (tmp_path / "run.csv").write_text("start,end,activity\n")
    keeper = Keeper(tmp_path / "run", Keep(bytes=2200))
    keeper(new[-1])
    assert [path.exists() for path in (*labelled, *new)] == [True, True, False, False, True]
    assert "no room for all labelled segments" in caplog.text
    keeper(new[-1])
    assert [path.exists() for path in labelled] == [False, True]
    keeper = Keeper(tmp_path / "run", Keep(bytes=1))
    keeper(new[-1])
    keeper(new[-1])
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "run.csv").exists()


@pytest.mark.parametrize("columns, goes", [("start,end,activity", True), ("session,start,end,activity", False)])
def test_its_tables_go_with_the_last_segment_but_none_of_several_recordings(
    tmp_path: Path, columns: str, goes: bool
) -> None:
    _segments(tmp_path / "run", 1, 20)
    (writing,) = _segments(tmp_path / "run-2", 1, 10)
    tables = [tmp_path / "run.csv", tmp_path / "run-prompted.csv"]
    for table in tables:
        table.write_text(f"{columns}\n")
    keeper = Keeper(tmp_path / "run", Keep(bytes=1))
    keeper(writing)  # warns
    keeper(writing)
    assert not (tmp_path / "run").exists()
    assert [table.exists() for table in tables] == [not goes, not goes]
