from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient

from cosmo_runtime.runtime.config import EpisodesConfig
from cosmo_runtime.runtime.episodes.entries import DATABASE
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.runtime.web.server import HUB, Settings
from tests.runtime.web.conftest import served

NS = 10**9


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of a run that has kept an hour of walking and an alarm, around noon of the 3rd of March."""
    noon_ns = round(datetime(2026, 3, 3, 12).timestamp()) * NS
    now_ns = time.monotonic_ns()
    log = EpisodeLog(log_folder(tmp_path), lambda _: noon_ns - now_ns, slept_ns=lambda: 0)
    log.ended(Episode("walk", now_ns, now_ns + 3600 * NS, 0.9, ("imu",), 7200, "person"))
    log.alarm("fall", now_ns + 60 * NS, {"state": "raised"})
    log.close()
    return tmp_path


def _ask(home: Path, story: Any) -> Any:
    async def play() -> Any:
        async with served(Settings(home, home=home)) as client:
            return await story(client)

    return asyncio.run(play())


def test_a_day_is_told_with_its_episodes_alarms_and_durations(home: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/days?day=2026-03-03")).json()

    told = _ask(home, story)
    assert told["end_ms"] - told["start_ms"] == 24 * 3600e3
    ((start_ms, end_ms, activity, confidence),) = told["episodes"]
    assert (start_ms - told["start_ms"], end_ms - start_ms) == (12 * 3600e3, 3600e3)
    assert (activity, confidence) == ("walk", pytest.approx(0.9))
    assert told["minutes"] == {"2026-03-03": {"walk": 60.0}}
    assert [(alarm["name"], alarm["state"]) for alarm in told["alarms"]] == [("fall", "raised")]


def test_all_changes_of_alarms_are_told_however_often_one_is_repeated(home: Path) -> None:
    log = EpisodeLog(log_folder(home), lambda _: round(datetime(2026, 3, 4, 12).timestamp()) * NS)
    for name, state in [
        ("fall", "raised"),
        ("up", "raised"),
        ("up", "over"),
        ("fall", "corrected"),
        *[("fall", "repeated")] * 60,
    ]:
        log.alarm(name, 0, {"state": state})
    log.close()

    async def story(client: TestClient) -> Any:
        return [await (await client.get(f"/api/days?day=2026-03-0{day}")).json() for day in (4, 5)]

    on_that_day, later = _ask(home, story)
    assert [(alarm["name"], alarm["state"]) for alarm in on_that_day["alarms"]] == [
        ("fall", "raised"),
        ("up", "raised"),
        ("up", "over"),
    ]
    assert later["alarms"] == []


def test_the_days_before_are_told_only_in_sum(home: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/days?day=2026-03-05")).json()

    told = _ask(home, story)
    assert (told["episodes"], told["alarms"]) == ([], [])
    assert told["minutes"] == {"2026-03-03": {"walk": 60.0}}


def test_the_week_says_where_nothing_ran_between_the_begin_and_the_end_of_the_log(home: Path) -> None:
    later_ns = round(datetime(2026, 3, 12, 6).timestamp()) * NS
    now_ns = time.monotonic_ns()
    log = EpisodeLog(log_folder(home), lambda _: later_ns - now_ns, slept_ns=lambda: 0)
    log.ended(Episode("sit", now_ns, now_ns + 3600 * NS, 0.9, ("imu",), 7200, "person"))
    log.close()

    async def story(client: TestClient) -> Any:
        days = ["2026-03-04", "2026-03-12", "2026-03-18"]
        return [(await (await client.get(f"/api/days?day={day}")).json())["minutes"] for day in days]

    whole = {"not running": 1440.0}
    first, then, last = _ask(home, story)
    assert first == {"2026-03-03": {"not running": 660.0, "walk": 60.0}, "2026-03-04": whole}
    assert then == {
        **{f"2026-03-{day:02}": whole for day in range(6, 12)},
        "2026-03-12": {"not running": 360.0, "sit": 60.0},
    }
    assert last == {"2026-03-12": {"not running": 360.0, "sit": 60.0}}  # nobody knows what is after the log's end


def test_without_a_log_predictions_say_what_was_done(tmp_path: Path, home: Path) -> None:
    noon = datetime(2026, 3, 3, 12).astimezone()
    lines = [
        json.dumps({"time": (noon + timedelta(seconds=half / 2)).isoformat(), "activity": "sit", "confidence": 0.8})
        for half in range(120)
    ]
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "lines.jsonl").write_text("\n".join(lines) + "\n")

    async def ask(home: Path) -> Any:
        async with served(Settings(folder, home=home)) as client:
            return await (await client.get("/api/days?day=2026-03-03")).json()

    told = asyncio.run(ask(tmp_path / "nothing"))
    ((start_ms, end_ms, activity, confidence),) = told["episodes"]
    assert (start_ms - told["start_ms"]) / 3600e3 == pytest.approx(12, abs=1e-3)
    assert (end_ms - start_ms, activity, confidence) == (60e3, "sit", 0.8)
    assert (told["minutes"], told["predicted"]) == ({"2026-03-03": {"sit": 1.0}}, True)
    of_log = asyncio.run(ask(home))
    assert (of_log["minutes"], of_log["predicted"]) == ({"2026-03-03": {"walk": 60.0}}, False)


def test_without_a_log_the_times_of_the_configuration_count(tmp_path: Path) -> None:
    noon = datetime(2026, 3, 3, 12).astimezone()
    activities = ["sit"] * 40 + ["wave"] * 6 + ["sit"] * 40  # three seconds of it
    lines = [
        json.dumps({"time": (noon + timedelta(seconds=half / 2)).isoformat(), "activity": activity, "confidence": 0.8})
        for half, activity in enumerate(activities)
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")

    async def ask(episodes: EpisodesConfig) -> Any:
        async with served(Settings(tmp_path, home=tmp_path, episodes=episodes)) as client:
            told = await (await client.get("/api/days?day=2026-03-03")).json()
        return {activity for _, _, activity, _ in told["episodes"]}

    assert asyncio.run(ask(EpisodesConfig())) == {"sit", "wave"}
    assert asyncio.run(ask(EpisodesConfig(on_s=5))) == {"sit"}


def test_what_a_run_tells_the_page_is_shown_until_a_log_is_kept(tmp_path: Path) -> None:
    async def play() -> Any:
        async with served(Settings(tmp_path, home=tmp_path)) as client:
            now = datetime.now().astimezone().replace(hour=12)  # far from another day
            for half in range(20):
                time = (now + timedelta(seconds=half / 2 - 12)).isoformat()
                content = {"time": time, "end_ms": 0, "activity": "sit", "confidence": 0.8}
                client.app[HUB].publish("prediction", json.dumps(content))
            return await (await client.get(f"/api/days?day={now.date()}")).json()

    told = asyncio.run(play())
    assert told["predicted"]
    assert {activity for counts in told["minutes"].values() for activity in counts} == {"sit"}


def test_without_a_log_the_page_says_how_to_keep_one(tmp_path: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/days")).json()

    told = _ask(tmp_path, story)
    assert (told["log"], told["problem"], told["predicted"]) == (False, "", False)


def test_a_log_that_cannot_be_read_is_told_from_one_that_is_not_there(home: Path) -> None:
    (log_folder(home) / DATABASE).write_bytes(b"noise" * 1000)

    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/days")).json()

    told = _ask(home, story)
    assert told["log"]
    assert f"{DATABASE} is damaged" in told["problem"]


@pytest.mark.usefixtures("berlin")
def test_the_page_gets_the_machine_s_time_of_day(tmp_path: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/days?day=2026-10-25")).json()

    told = _ask(tmp_path, story)
    hours = [((from_ms - told["start_ms"]) / 3600e3, ahead_ms / 3600e3) for from_ms, ahead_ms in told["ahead_ms"]]
    assert hours == [(0, 2), (3, 1)]


@pytest.mark.usefixtures("berlin")
def test_the_page_gets_nothing_for_a_day_that_a_country_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Apia")
    time.tzset()
    before_ns, now_ns = round(datetime(2011, 12, 29, 23).timestamp()) * NS, time.monotonic_ns()
    log = EpisodeLog(log_folder(tmp_path), lambda _: before_ns - now_ns, slept_ns=lambda: 0)
    log.ended(Episode("lie", now_ns, now_ns + 3 * 3600 * NS, 0.9, ("imu",), 7200, "person"))
    log.close()

    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/days?day=2011-12-30")).json()

    told = _ask(tmp_path, story)
    assert (told["start_ms"], told["episodes"]) == (told["end_ms"], [])
    assert list(told["minutes"]) == ["2011-12-29", "2011-12-31"]


@pytest.mark.parametrize("day", ["soon", "2026-02-30", "0001-01-01", "9999-12-31", "../..", "2026-03-03T00"])
def test_a_day_that_is_none_is_refused(home: Path, day: str) -> None:
    async def story(client: TestClient) -> int:
        return (await client.get("/api/days", params={"day": day})).status

    assert _ask(home, story) == 400
