"""A log whose database is missing or damaged: what a run makes of the daily files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, List
from unittest import mock

import pytest

from cosmo_runtime.runtime.episodes.entries import DATABASE, LogError, entries, last_id, why_behind
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode

_S = 10**9
_DAY = 86400 * _S
_START = round(datetime.fromisoformat("2026-03-28T20:00:00+00:00").timestamp()) * _S
_FIRST_DAY = "2026-03-28.jsonl"
_STANDS = {"state": "raised", "stands": True, "quiet": False, "evidence": {"activity": "fall", "since": "now"}}

pytestmark = pytest.mark.usefixtures("berlin")


def _walk(start_s: float, end_s: float) -> Episode:
    return Episode("walk", round(start_s * _S), round(end_s * _S), 0.91234, ("imu",), 4, "person")


def _kept(folder: Path, *episodes: Episode, offset_ns: int = _START) -> List[Any]:
    """Logs episodes in one run, and returns all entries."""
    log = EpisodeLog(folder, lambda _: offset_ns)
    for episode in episodes:
        log.ended(episode)
    log.close()
    return list(entries(folder))


def test_a_damaged_database_is_moved_aside_and_made_again_from_the_daily_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 10))
    log.alarm("fall", 12 * _S, _STANDS)
    log.close()
    before = list(entries(tmp_path))
    with (tmp_path / "2026-03-28.jsonl").open("a") as file:
        file.write('{"id": 3, "kind": "epis')  # the power went
    (tmp_path / DATABASE).write_bytes(b"no database" * 500)
    with pytest.raises(LogError, match="is damaged"):
        list(entries(tmp_path))
    log = EpisodeLog(tmp_path, lambda _: _START)
    assert log.last_alarms()["fall"]["stands"]
    log.ended(_walk(20, 30))
    log.close()
    assert list(entries(tmp_path))[:2] == before
    assert [entry["id"] for entry in entries(tmp_path)] == [1, 2, 1003]  # the torn one may have been sent as 3
    assert "is damaged" in caplog.text and "2026-03-28.jsonl, line 3, cannot be read" in caplog.text


def test_a_database_that_is_made_again_has_the_times_to_which_the_clock_was_set(tmp_path: Path) -> None:
    offset_ns = [0]
    log = EpisodeLog(tmp_path, lambda _: offset_ns[0])
    log.ended(_walk(0, 10))
    offset_ns[0] = _START
    log.ended(_walk(10, 20))
    log.close()
    before = list(entries(tmp_path))
    (tmp_path / DATABASE).unlink()
    EpisodeLog(tmp_path, lambda _: _START).close()
    assert list(entries(tmp_path)) == before
    assert sorted(entry["kind"] for entry in before) == ["clock", "episode", "episode"]


def test_a_database_that_is_damaged_during_a_run_is_made_again_with_the_next_entry(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.ended(_walk(0, 10))
    base = sqlite3.connect(tmp_path / DATABASE)
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()
    with (tmp_path / DATABASE).open("r+b") as file:
        file.write(b"x" * 4096 * 5)
    for start_s in (20, 40):
        log.ended(_walk(start_s, start_s + 10))
    log.close()
    assert log.unwritten == 0
    assert [entry["start_ns"] // _S for entry in entries(tmp_path)] == [0, 20, 40]


def test_a_damaged_database_goes_when_its_entries_are_too_old(tmp_path: Path) -> None:
    for day in range(8):
        log = EpisodeLog(tmp_path, lambda _, day=day: _START + day * _DAY, keep=timedelta(days=7))  # type: ignore[misc]
        log.ended(_walk(0, 10))
        log.close()
        if day == 5:
            (tmp_path / DATABASE).write_bytes(b"no database" * 500)
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.name.startswith("2026-03-28.damaged-")
    aside.with_name(f"{aside.name}-wal").touch()
    assert (tmp_path / _FIRST_DAY).exists()
    log = EpisodeLog(tmp_path, lambda _: _START + 8 * _DAY, keep=timedelta(days=7))
    log.ended(_walk(0, 10))
    log.close()
    assert list(tmp_path.glob("*.damaged-*")) == []
    assert not (tmp_path / _FIRST_DAY).exists()


def test_a_damaged_database_of_an_earlier_version_goes_by_when_it_was_put_aside(tmp_path: Path) -> None:
    aside = [tmp_path / f"episodes.damaged-{_START // _S}{end}" for end in ("", "-wal", "-1")]
    tmp_path.joinpath("notes.damaged-by-hand").touch()
    for file in aside:
        file.touch()
    for days, are_there in ((7, True), (8, False)):
        log = EpisodeLog(tmp_path, lambda _, days=days: _START + days * _DAY, keep=timedelta(days=7))  # type: ignore[misc]
        log.ended(_walk(0, 10))
        log.close()
        assert [file.exists() for file in aside] == [are_there] * 3
    assert tmp_path.joinpath("notes.damaged-by-hand").exists()


def test_damage_to_an_inner_page_is_noticed_as_well(tmp_path: Path) -> None:
    before = _kept(tmp_path, *(_walk(start_s, start_s + 1) for start_s in range(0, 600, 2)))
    with (tmp_path / DATABASE).open("r+b") as file:
        file.seek(4096 * 6)
        file.write(b"x" * 4096)
    assert _kept(tmp_path) == before


def test_what_sqlite_keeps_beside_a_damaged_database_goes_aside_with_it(tmp_path: Path) -> None:
    before = _kept(tmp_path, _walk(0, 10))
    reader = sqlite3.connect(tmp_path / DATABASE)  # as long as it is open, SQLite deletes nothing
    reader.execute("SELECT COUNT(*) FROM entries").fetchone()
    (tmp_path / DATABASE).write_bytes(b"no database" * 500)
    assert _kept(tmp_path) == before
    assert len(list(tmp_path.glob("*.damaged-*-wal"))) == 1
    reader.close()


def _as_alarm(entry: Any, **more: Any) -> None:
    evidence = {"activity": "fall", "since": entry["end"], "seconds": 2.0}
    alarm = {"kind": "alarm", "name": "fall", "time": entry["end"], "state": "raised", "stands": True}
    entry.update({**alarm, "evidence": evidence, **more})


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: _as_alarm(entry, number="4"),
        lambda entry: _as_alarm(entry, number=True),
        lambda entry: _as_alarm(entry, times=None),
        lambda entry: _as_alarm(entry, first=5),
        lambda entry: _as_alarm(entry, stands="yes"),
        lambda entry: entry.pop("id"),
        lambda entry: entry.update(start_ns=1 << 80),
        lambda entry: entry.update(activity=None),
        lambda entry: entry.update(end="yesterday"),
        lambda entry: entry.update(activity="\ud800"),
        lambda entry: entry.update(kind="alarm", name="fall", time=entry["end"], state="raised"),
        lambda entry: entry.update(kind="clock", name="set", time=entry["end"], set_by_s=float("inf")),
    ],
)
def test_a_line_that_is_no_entry_is_left_out(tmp_path: Path, damage: Callable[[Any], Any]) -> None:
    _kept(tmp_path, _walk(0, 10), _walk(20, 30))
    first, second = map(json.loads, (tmp_path / _FIRST_DAY).read_text().splitlines())
    damage(first)
    (tmp_path / _FIRST_DAY).write_text("".join(f"{json.dumps(line)}\n" for line in (first, second)))
    (tmp_path / DATABASE).unlink()
    assert [entry["start_ns"] // _S for entry in _kept(tmp_path, _walk(40, 50))] == [20, 40]


def test_a_file_that_cannot_be_read_holds_up_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = _kept(tmp_path, _walk(0, 10))
    (tmp_path / "2025-01-01.jsonl").mkdir()
    (tmp_path / DATABASE).unlink()
    log = EpisodeLog(tmp_path, lambda _: _START, keep=timedelta(days=7))
    log.ended(_walk(20, 30))
    log.close()
    assert list(entries(tmp_path))[:1] == before
    assert log.unwritten == 0
    assert "2025-01-01.jsonl cannot be read" in caplog.text


def test_of_an_entry_that_was_written_twice_the_second_counts_and_numbers_stay(tmp_path: Path) -> None:
    before = _kept(tmp_path, _walk(0, 10), _walk(20, 30))
    first, second = (tmp_path / _FIRST_DAY).read_text().splitlines(keepends=True)
    (tmp_path / _FIRST_DAY).write_text(first + second.replace('"walk"', '"wave"') + second)
    (tmp_path / DATABASE).unlink()
    assert _kept(tmp_path) == before


def test_of_an_entry_that_was_written_twice_on_two_days_the_second_counts(tmp_path: Path) -> None:
    before = _kept(tmp_path, _walk(0, 10), _walk(20, 30))
    lines = (tmp_path / _FIRST_DAY).read_text().splitlines(keepends=True)
    (tmp_path / "1970-01-01.jsonl").write_text(lines[1].replace('"walk"', '"wave"'))
    (tmp_path / DATABASE).unlink()
    assert _kept(tmp_path) == before


def test_logs_that_counted_from_1_again_are_numbered_on(tmp_path: Path) -> None:
    _kept(tmp_path, _walk(0, 10), _walk(20, 30))
    lines = (tmp_path / _FIRST_DAY).read_text()
    (tmp_path / "2026-03-29.jsonl").write_text(lines.replace("2026-03-28", "2026-03-29"))
    (tmp_path / DATABASE).unlink()
    assert [entry["id"] for entry in _kept(tmp_path)] == [1, 2, 3, 4]


def test_the_clock_of_one_run_corrects_no_other(tmp_path: Path) -> None:
    _kept(tmp_path, _walk(0, 10))
    offset_ns = [_START]
    log = EpisodeLog(tmp_path, lambda _: offset_ns[0])
    log.alarm("fall", 12 * _S, _STANDS)
    offset_ns[0] += 3600 * _S
    log.ended(_walk(5, 11))  # it is logged later, and ended before
    log.close()
    before = list(entries(tmp_path))
    (tmp_path / DATABASE).unlink()
    assert _kept(tmp_path) == before


def test_an_alarm_that_stands_outlives_its_day_and_the_database(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    log.alarm("fall", 0, _STANDS)
    log.close()
    log = EpisodeLog(tmp_path, lambda _: _START + 8 * _DAY, keep=timedelta(days=7))
    log.ended(_walk(0, 10))
    log.close()
    (tmp_path / DATABASE).unlink()
    log = EpisodeLog(tmp_path, lambda _: _START + 8 * _DAY)
    assert log.last_alarms()["fall"]["stands"]
    log.close()


def test_what_was_logged_before_the_clock_was_set_is_kept_as_long_as_all_else(tmp_path: Path) -> None:
    offset_ns = [0]
    log = EpisodeLog(tmp_path, lambda _: offset_ns[0], keep=timedelta(days=7))
    log.ended(_walk(0, 10))
    offset_ns[0] = _START
    log.ended(_walk(20, 30))
    log.close()
    before = list(entries(tmp_path))
    (tmp_path / DATABASE).unlink()
    assert _kept(tmp_path) == before
    assert len(before) == 3


def test_without_a_database_a_reader_is_told_what_makes_it(tmp_path: Path) -> None:
    _kept(tmp_path, _walk(0, 10))
    (tmp_path / DATABASE).unlink()
    with pytest.raises(LogError, match="has daily files, but no database; the next run with --home makes it"):
        list(entries(tmp_path))


def test_a_reader_is_told_that_a_full_disk_hides_what_is_new(tmp_path: Path) -> None:
    log = EpisodeLog(tmp_path, lambda _: _START)
    assert why_behind(tmp_path) == ""
    with mock.patch.object(shutil, "disk_usage", lambda _: SimpleNamespace(free=100)):
        assert "newer alarms wait in the memory of the run" in why_behind(tmp_path)
        log.close()
        assert why_behind(tmp_path) == "", "nobody has anything in memory"


def test_who_reads_a_log_that_will_be_made_again_does_not_begin_anew(tmp_path: Path) -> None:
    assert last_id(tmp_path) == 0
    _kept(tmp_path, _walk(0, 10))
    (tmp_path / DATABASE).unlink()
    assert last_id(tmp_path) is None
