from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient

from cosmo_runtime.runtime.episodes.entries import DATABASE
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.runtime.web import alarms
from cosmo_runtime.runtime.web.server import Settings
from tests.runtime.web.conftest import served

NS = 10**9
SINCE = "2026-03-03T11:59:58.000+00:00"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EpisodeLog]:
    """A log that a run keeps."""
    log = EpisodeLog(log_folder(tmp_path), lambda _: round(datetime(2026, 3, 3, 12).timestamp()) * NS)
    yield log
    log.close()


def _write(log: EpisodeLog, name: str, state: str, stands: bool = True, lasts: bool = True) -> None:
    details = {"state": state, "stands": stands, "lasts": lasts, "evidence": {"activity": "fall", "since": SINCE}}
    log.alarm(name, 0, details)


def _alarm(name: str, lasts: Any = True, **more: Any) -> Dict[str, Any]:
    once = {"since": SINCE, "latest": SINCE, "times": 1, "number": 1}
    return {"name": name, "activity": "fall", **once, "lasts": lasts, "quiet": False, **more}


def _ask(home: Path, story: Any, token: Any = None) -> Any:
    async def play() -> Any:
        async with served(Settings(home, token, home=home)) as client:
            return await asyncio.wait_for(story(client), 60)

    return asyncio.run(play())


async def _next(socket: Any) -> Dict[str, Any]:
    """The next message about alarms."""
    while True:
        message = json.loads((await socket.receive()).data)
        if message.pop("kind") == "alarms":
            return dict(message)


def test_a_page_that_opens_gets_the_alarms_that_stand(log: EpisodeLog, tmp_path: Path) -> None:
    _write(log, "fall", "raised")
    _write(log, "still", "over", lasts=False)
    _write(log, "seen", "raised")
    _write(log, "seen", "acknowledged", stands=False)
    quiet = {"state": "raised", "quiet": True, "stands": True, "on": False, "lasts": True}
    log.alarm("at night", 0, {**quiet, "evidence": {"activity": "fall", "since": SINCE}})

    async def story(client: TestClient) -> Any:
        return await _next(await client.ws_connect("/live"))

    assert _ask(tmp_path, story) == {
        "standing": [_alarm("fall"), _alarm("still", False), _alarm("at night", quiet=True)],
        "problem": "",
    }


def test_what_the_log_gets_is_told_to_open_pages_soon(log: EpisodeLog, tmp_path: Path) -> None:
    async def story(client: TestClient) -> Any:
        socket = await client.ws_connect("/live")
        told, began = [(await _next(socket))["standing"]], time.monotonic()
        for state, stands, lasts in [("raised", True, True), ("over", True, False), ("acknowledged", False, False)]:
            _write(log, "fall", state, stands, lasts)
            told.append((await _next(socket))["standing"])
        return told, time.monotonic() - began

    told, seconds = _ask(tmp_path, story)
    assert told == [[], [_alarm("fall")], [_alarm("fall", False)], []]
    assert seconds < 3 * 10  # a busy machine


def test_an_entry_that_changes_nothing_is_not_told(log: EpisodeLog, tmp_path: Path) -> None:
    async def story(client: TestClient) -> Any:
        socket = await client.ws_connect("/live")
        await _next(socket)
        _write(log, "fall", "raised")
        await _next(socket)
        _write(log, "fall", "repeated")
        await asyncio.sleep(1.5)
        _write(log, "still", "raised")
        return (await _next(socket))["standing"]

    assert _ask(tmp_path, story) == [_alarm("fall"), _alarm("still")]


def test_nobody_knows_whether_it_lasts_where_no_run_watches(log: EpisodeLog, tmp_path: Path) -> None:
    _write(log, "fall", "raised")

    async def story(client: TestClient) -> Any:
        socket = await client.ws_connect("/live")
        watched = await _next(socket)
        log.close()
        return watched["standing"], (await _next(socket))["standing"]

    assert _ask(tmp_path, story) == ([_alarm("fall")], [_alarm("fall", None)])


def test_an_alarm_that_an_earlier_version_logged_lasts_until_it_is_over(log: EpisodeLog, tmp_path: Path) -> None:
    for name, state in ("fall", "raised"), ("still", "over"):
        evidence = {"activity": "fall", "since": SINCE}
        log.alarm(name, 0, {"state": state, "quiet": False, "stands": True, "evidence": evidence})

    async def story(client: TestClient) -> Any:
        return (await _next(await client.ws_connect("/live")))["standing"]

    assert _ask(tmp_path, story) == [_alarm("fall"), _alarm("still", False)]


def test_without_a_log_no_alarm_stands(tmp_path: Path) -> None:
    async def story(client: TestClient) -> Any:
        return await _next(await client.ws_connect("/live"))

    assert _ask(tmp_path, story) == {"standing": [], "problem": ""}


def test_a_log_that_cannot_be_read_is_told_until_it_can(log: EpisodeLog, tmp_path: Path) -> None:
    _write(log, "fall", "raised")
    log.close()
    database = log_folder(tmp_path) / DATABASE
    whole = database.read_bytes()
    database.write_bytes(b"noise" * 1000)

    async def story(client: TestClient) -> Any:
        socket = await client.ws_connect("/live")
        damaged = await _next(socket)
        database.write_bytes(whole)
        return damaged, await _next(socket)

    damaged, mended = _ask(tmp_path, story)
    assert damaged["standing"] == []
    assert f"{DATABASE} is damaged" in damaged["problem"]
    assert mended == {"standing": [_alarm("fall", None)], "problem": ""}


def test_what_nobody_expected_is_told_and_the_page_goes_on(
    log: EpisodeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(log, "fall", "raised")

    async def story(client: TestClient) -> Any:
        socket = await client.ws_connect("/live")
        before = await _next(socket)
        with monkeypatch.context() as patch:
            patch.setattr(alarms, "_standing", lambda folder: {}["a fault"])
            _write(log, "still", "raised")
            wrong = await _next(socket)
        return before, wrong, await _next(socket)

    before, wrong, right = _ask(tmp_path, story)
    assert before == {"standing": [_alarm("fall")], "problem": ""}
    assert wrong["standing"] == [] and "the journal of the page says why" in wrong["problem"]
    assert right == {"standing": [_alarm("fall"), _alarm("still")], "problem": ""}


def test_only_an_alarm_that_stands_is_acknowledged(log: EpisodeLog, tmp_path: Path) -> None:
    _write(log, "fall", "raised")
    _write(log, "seen", "acknowledged", stands=False)

    async def story(client: TestClient) -> Any:
        names = ["fall", "seen", "..", "../x", None, 3, ["fall"]]
        asked = [{"name": name, "number": 1} for name in names] + [
            {"name": "fall", "number": n} for n in (None, "1", True)
        ]
        return [(await client.post("/api/alarms/acknowledge", json=content)).status for content in asked]

    assert _ask(tmp_path, story) == [200, 404, 404, 404, 404, 404, 404, 400, 400, 400]
    assert [path.name for path in (tmp_path / "acknowledged").iterdir()] == ["fall@1"]


def test_several_raises_are_told_with_the_first_and_what_was_not_shown_is_not_acknowledged(
    log: EpisodeLog, tmp_path: Path
) -> None:
    latest = "2026-03-03T12:30:00.000+00:00"
    details = {"state": "raised", "stands": True, "lasts": True, "number": 7, "times": 3, "first": SINCE}
    log.alarm("fall", 0, {**details, "evidence": {"activity": "fall", "since": latest}})

    async def story(client: TestClient) -> Any:
        told = (await _next(await client.ws_connect("/live")))["standing"]
        for seen in (5, 999):
            await client.post("/api/alarms/acknowledge", json={"name": "fall", "number": seen})
        return told

    assert _ask(tmp_path, story) == [_alarm("fall", latest=latest, times=3, number=7)]
    assert {path.name for path in (tmp_path / "acknowledged").iterdir()} == {"fall@5", "fall@7"}


def test_another_page_and_a_browser_without_the_token_acknowledge_nothing(log: EpisodeLog, tmp_path: Path) -> None:
    _write(log, "fall", "raised")

    async def foreign(client: TestClient) -> int:
        headers, content = {"Origin": "http://evil.example"}, {"name": "fall", "number": 1}
        return (await client.post("/api/alarms/acknowledge", json=content, headers=headers)).status

    async def stranger(client: TestClient) -> int:
        return (await client.post("/api/alarms/acknowledge", json={"name": "fall", "number": 1})).status

    assert (_ask(tmp_path, foreign), _ask(tmp_path, stranger, token="0123456789abcdef")) == (403, 401)
    assert not (tmp_path / "acknowledged").exists()


def test_an_acknowledgement_that_cannot_be_written_is_refused_in_words(log: EpisodeLog, tmp_path: Path) -> None:
    _write(log, "fall", "raised")
    (tmp_path / "acknowledged").touch()  # where a folder should be

    async def story(client: TestClient) -> Any:
        answer = await client.post("/api/alarms/acknowledge", json={"name": "fall", "number": 1})
        return answer.status, (await answer.json())["error"]

    assert _ask(tmp_path, story) == (507, "The disk refuses it: File exists.")
