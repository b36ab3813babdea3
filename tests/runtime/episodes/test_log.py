from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.runtime.episodes.entries import (
    DATABASE,
    EPISODE,
    LOCK,
    LogError,
    entries,
    is_written,
    local,
    span_ns,
)
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
from tests.full_disk import full_at

_S = 10**9
_START = round(datetime.fromisoformat("2026-03-28T20:00:00+00:00").timestamp()) * _S


pytestmark = pytest.mark.usefixtures("berlin")


def _walk(start_s: float, end_s: float) -> Episode:
    return Episode("walk", round(start_s * _S), round(end_s * _S), 0.91234, ("imu",), 4, "person")


def _lines(path: Path) -> List[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_episode_stands_in_the_day_s_file_and_in_the_database_with_local_time_and_utc(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path / "log", lambda _: _START)
    log.ended(_walk(10, 12.5))
    log.close()
    (line,) = _lines(tmp_path / "log" / "2026-03-28.jsonl")
    run = line.pop("run")
    assert line == {
        "id": 1,
        "kind": "episode",
        "activity": "walk",
        "start": "2026-03-28T21:00:10.000+01:00",
        "end": "2026-03-28T21:00:12.500+01:00",
        "seconds": 2.5,
        "start_utc": "2026-03-28T20:00:10.000Z",
        "end_utc": "2026-03-28T20:00:12.500Z",
        "zone": "CET",
        "confidence": 0.9123,
        "sensors": ["imu"],
        "windows": 4,
        "bundle": "person",
        "start_ns": 10 * _S,
        "end_ns": round(12.5 * _S),
    }
    assert list(entries(tmp_path / "log")) == [{**line, "run": run}]


def test_an_episode_across_midnight_and_the_change_to_summer_time_stands_where_it_ended(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 6 * 3600))
    log.close()
    (line,) = _lines(tmp_path / "2026-03-29.jsonl")
    assert (line["start"], line["end"]) == ("2026-03-28T21:00:00.000+01:00", "2026-03-29T04:00:00.000+02:00")
    assert line["seconds"] == 6 * 3600


def test_a_log_spans_its_episodes_with_the_present_one(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.alarm("fall", 0, {})
    assert span_ns(tmp_path) is None
    log.now(_walk(5, 15))
    assert span_ns(tmp_path) == (_START + 5 * _S, _START + 15 * _S)
    log.ended(_walk(5, 20))
    log.ended(_walk(30, 40))
    log.now(_walk(40, 100))
    assert span_ns(tmp_path) == (_START + 5 * _S, _START + 100 * _S)
    log.close()


def test_a_clock_that_is_set_later_mends_the_times_of_this_run_and_of_no_other(tmp_path: Path) -> None:
    offset_ns = 0
    first = EpisodeLog(tmp_path, lambda _: offset_ns)
    first.ended(_walk(10, 20))
    first.close()
    second = EpisodeLog(tmp_path, lambda _: offset_ns)
    second.ended(_walk(30, 40))
    offset_ns = _START
    second.ended(_walk(50, 60))
    second.close()
    found = [entry["start_utc"] for entry in entries(tmp_path, kinds=(EPISODE,))]
    assert found == ["1970-01-01T00:00:10.000Z", "2026-03-28T20:00:30.000Z", "2026-03-28T20:00:50.000Z"]
    step, walk = _lines(tmp_path / "2026-03-28.jsonl")
    assert (step["kind"], step["set_by_s"], walk["activity"]) == ("clock", _START / _S, "walk")


def test_a_clock_that_is_set_amid_a_long_episode_mends_earlier_times_before_it_ends(tmp_path: Path) -> None:
    offset_ns = 0
    log = EpisodeLog(tmp_path, lambda _: offset_ns, slept_ns=lambda: 0)
    log.ended(_walk(10, 20))
    log.now(_walk(20, 30))
    offset_ns = _START
    log.now(_walk(20, 95))
    assert [entry["start_utc"] for entry in entries(tmp_path, kinds=(EPISODE,))] == [
        "2026-03-28T20:00:10.000Z", "2026-03-28T20:00:20.000Z",
    ]  # fmt: skip
    log.close()


def test_a_clock_that_is_set_while_the_log_cannot_be_written_mends_the_times_once(tmp_path: Path) -> None:
    offset_ns = _START
    log = EpisodeLog(tmp_path, lambda _: offset_ns, slept_ns=lambda: 0)
    log.ended(_walk(10, 20))
    offset_ns += 4 * 3600 * _S
    in_the_way = tmp_path / "2026-03-29.jsonl"
    in_the_way.mkdir()
    for start in (30, 50, 70):
        log.ended(_walk(start, start + 10))
    in_the_way.rmdir()
    log.ended(_walk(90, 100))
    log.close()
    found = [entry["start_utc"][11:19] for entry in entries(tmp_path, kinds=(EPISODE,))]
    assert found == ["00:00:10", "00:00:30", "00:00:50", "00:01:10", "00:01:30"]
    step, *walks = _lines(in_the_way)
    assert (step["set_by_s"], len(walks)) == (4 * 3600, 4)


def test_a_computer_that_slept_had_its_clock_right_before(tmp_path: Path) -> None:
    slept_ns = 0
    log = EpisodeLog(tmp_path, lambda _: _START + slept_ns, slept_ns=lambda: slept_ns)
    log.ended(_walk(10, 20))
    slept_ns = 3600 * _S
    log.ended(_walk(30, 40))
    log.close()
    found = [entry["start_utc"] for entry in entries(tmp_path)]
    assert found == ["2026-03-28T20:00:10.000Z", "2026-03-28T21:00:30.000Z"]


def test_one_process_writes_a_log_at_a_time(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    with pytest.raises(LogError, match="another run keeps its episodes there"):
        EpisodeLog(tmp_path, lambda _: _START)
    log.close()
    EpisodeLog(tmp_path, lambda _: _START).close()


def test_who_looks_whether_a_log_is_written_keeps_no_run_from_it(tmp_path: Path) -> None:
    assert is_written(tmp_path) is None
    log = EpisodeLog(tmp_path, lambda _: _START)
    assert is_written(tmp_path)
    log.close()
    assert is_written(tmp_path) is False
    with (tmp_path / LOCK).open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        assert is_written(tmp_path) is False  # somebody else may look, too
        threading.Timer(0.2, fcntl.flock, (look, fcntl.LOCK_UN)).start()
        EpisodeLog(tmp_path, lambda _: _START).close()


def test_what_a_killed_run_was_in_is_ended_where_it_was_last_known(tmp_path: Path) -> None:
    code = f"""
import os, pathlib
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
log = EpisodeLog(pathlib.Path({str(tmp_path)!r}), lambda _: {_START})
log.ended(Episode("walk", 0, 10 * 10**9))
log.now(Episode("lie", 10 * 10**9, 70 * 10**9, 0.8, ("depth",), 100, "person"))
log.now(Episode("lie", 10 * 10**9, 71 * 10**9, 0.8, ("depth",), 101, "person"))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert [entry.get("open") for entry in entries(tmp_path)] == [None, True]
    EpisodeLog(tmp_path, lambda _: 2 * _START).close()
    walk, lie = _lines(tmp_path / "2026-03-28.jsonl")
    assert (walk["activity"], lie["activity"], lie["seconds"], lie["cut"]) == ("walk", "lie", 60, True)
    assert [entry.get("open") for entry in entries(tmp_path)] == [None, None]


def test_entries_that_find_no_room_wait_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from cosmo_runtime.runtime.sinks.line_file import LineFile

    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 10))

    def full(self: LineFile, line: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LineFile, "write", full)
        log.ended(_walk(10, 20))
        log.ended(_walk(20, 30))
        assert len(list(entries(tmp_path))) == 1
    log.ended(_walk(30, 40))
    log.close()
    assert [entry["end_ns"] // _S for entry in entries(tmp_path)] == [10, 20, 30, 40]
    assert [line["end_ns"] // _S for line in _lines(tmp_path / "2026-03-28.jsonl")] == [10, 20, 30, 40]
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert "No space left on device; they wait in memory" in said[0]
    assert "nothing is missing" in said[1]


def test_a_run_starts_on_a_full_disk_knows_what_stands_and_writes_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.alarm("fall", 10 * _S, {"state": "raised", "stands": True})
    log.now(_walk(20, 30))
    log.close()  # as if it was killed, the present episode has not ended
    changes: List[str] = []
    with full_at(0):
        log = EpisodeLog(tmp_path, lambda _: _START, on_change=lambda: changes.append("changed"))
        assert {name: (last["state"], last["stands"]) for name, last in log.last_alarms().items()} == {
            "fall": ("raised", True)
        }
        log.ended(_walk(40, 50))
        log.now(_walk(50, 60))
        assert log.trouble.endswith("episodes cannot be written: disk I/O error; they wait in memory")
        with pytest.raises(LogError, match="another run keeps its episodes there"):
            EpisodeLog(tmp_path, lambda _: _START)
    log.now(_walk(50, 100))
    assert len(list(entries(tmp_path))) == 2  # a minute has not passed
    log.now(_walk(50, 130))
    assert (log.trouble, len(changes)) == ("", 2)
    found = [(entry["end_ns"] // _S, entry.get("cut"), entry.get("open")) for entry in entries(tmp_path)]
    assert found == [(10, None, None), (30, True, None), (50, None, None), (130, None, True)]
    log.close()
    assert [record.message.partition(": ")[2] or "written" for record in caplog.records] == [
        "episodes cannot be written: disk I/O error; they wait in memory", "written",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_made_is_made_later(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    log = EpisodeLog(tmp_path / "home" / "log", lambda _: _START)
    assert log.last_alarms() == {}
    log.ended(_walk(0, 10))
    assert "episodes cannot be written" in log.trouble
    (tmp_path / "home").unlink()
    log.now(_walk(10, 20))
    assert [entry.get("open") for entry in entries(tmp_path / "home" / "log")] == [None, True]
    log.close()


def test_a_log_that_is_deleted_during_a_run_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = EpisodeLog(folder, lambda _: _START)
    log.ended(_walk(0, 10))
    shutil.rmtree(folder)
    log.ended(_walk(10, 20))
    log.now(_walk(20, 30))
    found = [(entry["id"], entry["end_ns"] // _S) for entry in entries(folder)]
    assert found == [(2, 20), (None, 30)]  # a publisher that has sent the first one waits for the second
    with pytest.raises(LogError, match="another run keeps its episodes there"):
        EpisodeLog(folder, lambda _: _START)
    log.close()


def test_entries_that_are_lost_at_the_end_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    with full_at(0):
        log.ended(_walk(0, 10))
        log.ended(_walk(10, 20))
        assert log.unwritten == 2
        log.close()
    assert "2 entries are lost" in caplog.records[-1].message


def test_an_episode_that_has_ended_is_not_the_present_one_too(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.now(_walk(0, 10))
    log.alarm("fall", 10 * _S, {})
    assert [entry.get("open") for entry in entries(tmp_path, kinds=(EPISODE,))] == [True]
    log.ended(_walk(0, 20))
    assert [entry.get("open") for entry in entries(tmp_path, kinds=(EPISODE,))] == [None]
    log.close()


def test_an_entry_for_which_only_the_file_has_room_stands_there_once_in_the_end(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 10))
    with full_at((tmp_path / f"{DATABASE}-wal").stat().st_size):
        for start in (10, 20, 30):
            log.ended(_walk(start, start + 10))
        assert len(_lines(tmp_path / "2026-03-28.jsonl")) == 1
    log.close()
    for found in entries(tmp_path), _lines(tmp_path / "2026-03-28.jsonl"):
        assert [entry["end_ns"] // _S for entry in found] == [10, 20, 30, 40]


def test_an_alarm_that_stands_is_kept_until_it_does_no_more(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START, keep=timedelta(days=7))
    log.alarm("fall", 10 * _S, {"state": "raised", "stands": True})
    log.alarm("no data", 10 * _S, {"state": "raised", "stands": True})
    log.alarm("no data", 20 * _S, {"state": "over", "stands": False})
    log.close()
    log = EpisodeLog(tmp_path, lambda _: _START + 30 * 86400 * _S, keep=timedelta(days=7))
    log.ended(_walk(30, 40))
    assert {name: (last["state"], last["stands"]) for name, last in log.last_alarms().items()} == {
        "fall": ("raised", True)
    }
    log.close()


def test_what_is_older_than_what_is_kept_goes_but_not_by_a_clock_that_was_never_set(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 10))
    log.close()
    for offset_ns, left in ((0, 2), (_START + 8 * 86400 * _S, 1)):
        log = EpisodeLog(tmp_path, lambda _, offset_ns=offset_ns: offset_ns, keep=timedelta(days=7))
        log.ended(_walk(0, 10))
        log.close()
        assert len(list(entries(tmp_path))) == left
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["2026-04-05.jsonl"]


def test_a_log_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 10))
    reader = sqlite3.connect(tmp_path / DATABASE)
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM entries").fetchone() == (1,)
    log.ended(_walk(10, 20))
    assert reader.execute("SELECT COUNT(*) FROM entries").fetchone() == (1,)
    reader.close()
    log.close()
    assert len(list(entries(tmp_path))) == 2


def test_a_log_can_be_read_where_nothing_can_be_written_and_is_not_called_damaged(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 10))
    log.close()
    with full_at(0):
        assert len(list(entries(tmp_path))) == 1
    (tmp_path / f"{DATABASE}-wal").write_bytes(b"what a killed run has left")
    with full_at(0), pytest.raises(LogError, match="cannot be read: disk I/O error"):
        list(entries(tmp_path))


def test_a_database_that_was_never_made_whole_holds_no_log(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    with pytest.raises(LogError, match="holds no log of episodes"):
        list(entries(tmp_path))


def test_entries_of_a_stretch_are_those_that_overlap_it(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    for start in (0, 10, 20):
        log.ended(_walk(start, start + 10))
    log.close()
    found = entries(tmp_path, _START + 10 * _S, _START + 15 * _S)
    assert [entry["start_ns"] // _S for entry in found] == [10]


def test_where_no_log_is_kept_nothing_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="holds no log of episodes; a run with --home keeps one"):
        list(entries(tmp_path))


def test_a_time_is_rounded_to_the_nearest_millisecond() -> None:
    assert local(1_774_728_029_999_600_000).microsecond == 0
