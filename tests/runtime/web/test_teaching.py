from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.folders import write_folder
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.labels.table import labels_beside
from cosmo_runtime.runtime.web import teaching as teaching_module
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.web.server import Settings
from cosmo_runtime.runtime.web.sessions import Sessions
from cosmo_runtime.runtime.web.teaching import TeachingApi
from tests.runtime.web.conftest import Serve, served


@pytest.fixture
def another(tiny_bundle: Bundle) -> str:
    """Another model on the shelf."""
    files = {path.name: path.read_bytes() for path in tiny_bundle.path.iterdir() if path.is_file()}
    write_folder(Shelf().folder / "another", files)
    return "another"


def test_nothing_is_learned_from_what_a_model_could_not_tell(recordings: Path, monday: Path) -> None:
    labels_beside(monday).write_text("start,end,activity\n1,3,walk\n4,6,uncertain\n7,9,walk\n")
    sessions = Sessions(recordings, recordings.parent / "cache")
    labels = TeachingApi(sessions, Shelf(), Hub())._labels_of(["monday"])
    assert [row.activity for _, row in labels] == ["walk", "walk"]


async def _until_done(client: TestClient, asked: Dict[str, Any]) -> List[Dict[str, Any]]:
    socket = await client.ws_connect("/live")
    answer = await client.post("/api/teach", json=asked)
    assert answer.status == 202, await answer.text()
    told: List[Dict[str, Any]] = []
    while not told or told[-1]["running"]:
        message = json.loads((await asyncio.wait_for(socket.receive(), 100)).data)
        if message["kind"] == "teaching":
            told.append(message)
    return told


def test_the_models_are_listed_with_the_one_in_use(serve: Serve, another: str) -> None:
    async def story(client: TestClient) -> Any:
        return await (await client.get("/api/models")).json()

    listed = serve(story)
    in_use = {model["name"]: model["in_use"] for model in listed["models"]}
    assert in_use == {"another": False, "everyday": True, "person": False}
    assert "utd" in listed["encoders"]


def test_before_a_simulated_person_the_model_that_knows_it_is_shown_in_use(recordings: Path) -> None:
    async def play() -> Any:
        async with served(Settings(recordings, motion="person:3")) as client:
            listed = await (await client.get("/api/models")).json()
            await client.post("/api/models/use", json={"name": "everyday"})
            return listed, await (await client.post("/api/models/rollback", json={})).json()

    listed, back = asyncio.run(play())
    assert [model["name"] for model in listed["models"] if model["in_use"]] == ["person"]
    assert back == {"name": "person"}


def test_a_model_is_put_in_use_and_back(serve: Serve, another: str) -> None:
    async def story(client: TestClient) -> Any:
        used = await (await client.post("/api/models/use", json={"name": another})).json()
        back = await (await client.post("/api/models/rollback", json={})).json()
        again = await client.post("/api/models/rollback", json={})
        return used, back, again.status

    assert serve(story) == ({"name": "another"}, {"name": "everyday"}, 422)


@pytest.mark.parametrize("name", [None, "../person", "", "anoth", 3, []], ids=repr)
def test_a_model_that_is_none_is_not_put_in_use(serve: Serve, another: str, name: Any) -> None:
    async def story(client: TestClient) -> int:
        return (await client.post("/api/models/use", json={"name": name})).status

    assert serve(story) == 404


@pytest.mark.parametrize(
    "asked, status",
    [
        ({}, 400),
        ({"sessions": [], "base": "person"}, 400),
        ({"sessions": ["monday"], "base": "/etc"}, 404),
        ({"sessions": ["../monday"], "base": "person"}, 400),
        ({"sessions": ["tuesday"], "base": "person"}, 404),
        ({"sessions": "monday", "base": "person"}, 400),
        ({"sessions": [3], "base": "person"}, 400),
    ],
    ids=repr,
)
def test_what_cannot_be_taught_is_refused(serve: Serve, monday: Path, asked: Any, status: int) -> None:
    async def story(client: TestClient) -> int:
        return (await client.post("/api/teach", json=asked)).status

    assert serve(story) == status


@pytest.mark.slow
def test_why_nothing_was_learned_is_told(serve: Serve, monday: Path) -> None:
    pytest.importorskip("torch", reason="teaching needs the extra [train]")

    labels_beside(monday).write_text("start,end,activity\n1,4,walk\n5,9,walk\n")

    async def story(client: TestClient) -> Any:
        return await _until_done(client, {"sessions": ["monday"], "base": "person", "keep": False})

    told = serve(story)
    assert told[0]["step"] == "getting ready"
    assert "would know 'walk' alone" in told[-1]["error"]
    assert "Traceback" not in told[-1]["error"]
    assert [shelved.name for shelved in Shelf().bundles()] == ["everyday", "person"]


@pytest.mark.slow
def test_what_is_stopped_leaves_nothing(serve: Serve, monday: Path) -> None:
    pytest.importorskip("torch", reason="teaching needs the extra [train]")

    async def story(client: TestClient) -> Any:
        teaching = asyncio.ensure_future(_until_done(client, {"sessions": ["monday"], "base": "person"}))
        while not (await (await client.get("/api/models")).json())["teaching"]:
            await asyncio.sleep(0.1)
        assert (await client.post("/api/teach", json={"sessions": ["monday"], "base": "person"})).status == 409
        await client.post("/api/teach/stop", json={})
        return await teaching

    assert serve(story)[-1] == {"kind": "teaching", "running": False, "stopped": True}
    assert [shelved.name for shelved in Shelf().bundles()] == ["everyday", "person"]


_LEARNS_UNTIL_STOPPED = """
import json, signal, sys, time
def end(*_):
    if {finished}:
        with open(sys.argv[sys.argv.index("--json") + 1], "w") as file:
            json.dump({{"bundle": "folder/new"}}, file)
    sys.exit(not {finished})
signal.signal(signal.SIGTERM, end)
print('{{"step": "learning", "share": 0.5}}', flush=True)
time.sleep(100)
"""


def _learn_until_stopped(monkeypatch: pytest.MonkeyPatch, finished: bool) -> None:
    """Puts a process in the place of the one that learns. It ends as soon as it is stopped."""
    program = _LEARNS_UNTIL_STOPPED.format(finished=finished)
    monkeypatch.setattr(teaching_module, "COMMAND", [sys.executable, "-c", program])


def test_what_is_stopped_before_its_process_has_started_is_stopped(
    serve: Serve, monday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _learn_until_stopped(monkeypatch, finished=False)
    start, stopped = asyncio.create_subprocess_exec, []

    async def start_late(*words: Any, **more: Any) -> Any:
        while not stopped:
            await asyncio.sleep(0.01)
        return await start(*words, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_late)

    async def story(client: TestClient) -> Any:
        teaching = asyncio.ensure_future(_until_done(client, {"sessions": ["monday"], "base": "person"}))
        while not (await (await client.get("/api/models")).json())["teaching"]:
            await asyncio.sleep(0.01)
        stopped.append(await client.post("/api/teach/stop", json={}))
        return await teaching

    assert serve(story)[-1] == {"kind": "teaching", "running": False, "stopped": True}


def test_what_was_learned_before_it_could_be_stopped_is_told(
    serve: Serve, monday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _learn_until_stopped(monkeypatch, finished=True)

    async def story(client: TestClient) -> Any:
        socket = await client.ws_connect("/live")
        await client.post("/api/teach", json={"sessions": ["monday"], "base": "person"})
        told: Dict[str, Any] = {}
        while told.get("running") is not False:
            told = json.loads((await asyncio.wait_for(socket.receive(), 50)).data)
            if told.get("step") == "learning":
                await client.post("/api/teach/stop", json={})
        return told

    assert serve(story)["figures"] == {"name": "new"}
