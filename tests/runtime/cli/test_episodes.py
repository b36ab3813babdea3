from __future__ import annotations

import csv
import io
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Run = Callable[..., Any]
Samples = Callable[..., List[Sample]]

_HOUR_NS = 3600 * 10**9


def json_lines(text: str) -> List[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def recording(tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples) -> Path:
    """Of an IMU that brings nothing for a while."""
    with RecordingWriter(tmp_path / "kept.mcap", {"imu": infos["imu"]}) as writer:
        for sample in samples("imu", 0, 6) + samples("imu", 20, 26):
            writer.write(sample)
    return writer.path


@pytest.fixture
def log(cosmo: Run, tiny_bundle: Bundle, recording: Path, tmp_path: Path) -> Path:
    """What a run over the recording has kept."""
    config = tmp_path / "cosmo.toml"
    config.write_text("[recognition]\nmin_confidence = 0\n[episodes]\non_s = 0.5\nleast_s = 0.5\n")
    words = ["--sensors", "imu", "--bundle", tiny_bundle.path, "--replay", recording, "--speed", "max"]
    done = cosmo(*words, "--config", config, "--home", tmp_path / "log")
    assert done.code == 0, done.err
    return tmp_path / "log"


def test_a_run_keeps_what_was_done_and_a_gap_where_nothing_came(cosmo: Run, log: Path, recording: Path) -> None:
    done = cosmo("episodes", "--home", log, "--json")
    assert done.code == 0
    episodes = [json.loads(line) for line in done.out.splitlines()]
    activities = [episode["activity"] for episode in episodes]
    assert set(activities) - {"walk", "wave", "none", "uncertain"} == {"gap"}
    assert all(before["end_ns"] == after["start_ns"] for before, after in zip(episodes, episodes[1:]))
    gap = episodes[activities.index("gap")]
    assert (gap["start_ns"] / 1e9, gap["end_ns"] / 1e9) == pytest.approx((5.5, 20.5), abs=0.8)
    assert gap["reason"]
    assert episodes[0]["bundle"] == "tiny"
    wall_s = Recording(recording).wall_ns(episodes[0]["start_ns"]) / 1e9
    assert datetime.fromisoformat(episodes[0]["start"]).timestamp() == pytest.approx(wall_s, abs=0.01)


def test_a_replay_into_a_log_that_has_its_time_already_is_refused(
    cosmo: Run, tiny_bundle: Bundle, log: Path, recording: Path
) -> None:
    before = cosmo("episodes", "--home", log, "--json").out
    words = ["--sensors", "imu", "--bundle", tiny_bundle.path, "--replay", recording, "--speed", "max"]
    done = cosmo(*words, "--home", log)
    assert done.code == 2
    assert "name another folder" in done.err
    assert cosmo("episodes", "--home", log, "--json").out == before


def test_they_are_exported_for_other_programs(cosmo: Run, log: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(cosmo("episodes", "--home", log, "--csv").out)))
    assert list(rows[0])[:6] == ["start", "end", "start_utc", "end_utc", "seconds", "activity"]
    assert {row["sensors"] for row in rows} <= {"imu", ""}
    assert "gap" in {row["activity"] for row in rows}


def test_people_read_a_table(cosmo: Run, log: Path) -> None:
    out = cosmo("episodes", "--home", log).out
    assert "activity" in out
    assert " gap " in out


def test_the_summary_has_the_minutes_of_each_activity(cosmo: Run, log: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(cosmo("episodes", "summary", "--home", log, "--csv").out)))
    minutes: Dict[str, float] = {}
    for row in rows:
        minutes[row["activity"]] = minutes.get(row["activity"], 0) + float(row["minutes"])
    assert minutes["gap"] == pytest.approx(15 / 60, abs=0.02)
    assert sum(minutes.values()) == pytest.approx(25 / 60, abs=0.03)


def test_the_summary_of_one_day_is_that_of_the_day_among_all(cosmo: Run, tmp_path: Path) -> None:
    told = EpisodeLog(log_folder(tmp_path), lambda _: 0, slept_ns=lambda: 0)
    noon_ns = round(datetime(2026, 3, 10, 12).timestamp()) * 10**9
    for hours in 0, 48:  # nothing ran on the day between
        told.ended(Episode("walk", noon_ns + hours * _HOUR_NS, noon_ns + (hours + 1) * _HOUR_NS))
    told.close()
    every = json_lines(cosmo("episodes", "summary", "--home", tmp_path, "--json").out)
    assert {row["day"]: row["minutes"] for row in every if row["activity"] == "not running"} == {
        "2026-03-10": 11 * 60, "2026-03-11": 24 * 60, "2026-03-12": 12 * 60
    }  # fmt: skip
    for day in {row["day"] for row in every}:
        of_day = json_lines(cosmo("episodes", "summary", "--home", tmp_path, "--json", "--day", day).out)
        assert of_day == [row for row in every if row["day"] == day]


def test_a_day_without_an_entry_is_empty(cosmo: Run, log: Path) -> None:
    assert cosmo("episodes", "--home", log, "--json", "--day", "2001-01-01").out == ""
    for day in ("soon", "0001-01-01", "9999-12-31"):
        assert cosmo("episodes", "--home", log, "--day", day).code == 2


@pytest.mark.usefixtures("berlin")
def test_nothing_was_done_on_a_day_that_a_country_skipped(
    cosmo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Apia")
    time.tzset()
    start_ns = round(datetime(2011, 12, 29, 23).timestamp()) * 10**9
    log = EpisodeLog(log_folder(tmp_path), lambda at_ns: start_ns - 10**9, slept_ns=lambda: 0)
    log.ended(Episode("lie", 10**9, 10**9 + 3 * _HOUR_NS, 0.9, ("imu",), 7200, "person"))
    log.close()
    for number, minutes in ((29, [60]), (30, []), (31, [120])):
        words = ["--home", tmp_path, "--json", "--day", f"2011-12-{number}"]
        assert len(json_lines(cosmo("episodes", *words).out)) == len(minutes)
        assert [line["minutes"] for line in json_lines(cosmo("episodes", "summary", *words).out)] == minutes


def test_where_no_log_is_kept_the_command_says_how_to_keep_one(
    cosmo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    done = cosmo("episodes")
    assert done.code == 1
    assert f"{tmp_path}/cosmo-runtime/episodes holds no log of episodes; a run with --home keeps one" in done.err


def test_a_replay_never_writes_into_the_log_of_this_device(cosmo: Run, tiny_bundle: Bundle, recording: Path) -> None:
    words = ["--sensors", "imu", "--bundle", tiny_bundle.path, "--replay", recording]
    done = cosmo(*words, "--home")
    assert done.code == 2
    assert "with --replay, give --home a folder" in done.err
