"""Whatever a browser sends, the answer is a message for people, and never a file outside the folder."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any, List
from urllib.parse import quote

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmo_runtime.runtime.web.server import Settings, make_app
from tests.runtime.web.conftest import Serve, served

SECRET = "the-content-of-a-file-beside-the-folder"
ODD = st.sampled_from(
    ["..", "../secret", "..%2fsecret", "secret.mcap", "/etc/passwd", "a\0b", "%00", "\ud800", "x" * 5000, ".", "", "~"]
)
NAMES = st.one_of(ODD, st.text(max_size=20))
NUMBERS = st.one_of(
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["1e999", "-0", "NaN", "Infinity", "٣", "1_000", "0x1"]),
)


def _routes(method: str) -> List[str]:
    app = make_app(Settings(Path("/nonexistent")))
    found = {
        str(route.resource.canonical)
        for route in app.router.routes()
        if route.method == method and isinstance(route.resource, (web.Resource, web.DynamicResource))
    }
    return sorted(found - {"/live"})


async def _ask(client: TestClient, method: str, path: str, **more: Any) -> None:
    answer = await client.request(method, path, allow_redirects=False, **more)
    text = await answer.text(errors="replace")
    assert answer.status < 500, (answer.status, path, text)
    assert "Traceback" not in text
    assert SECRET not in text
    if answer.status >= 400 and answer.content_type == "application/json":
        assert json.loads(text)["error"]


def _play(method: str, path: str, **more: Any) -> None:
    async def play() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "recordings"
            folder.mkdir()
            (Path(scratch) / "secret.mcap").write_text(SECRET)
            (Path(scratch) / "secret.csv").write_text(SECRET)
            (folder / "noise.mcap").write_bytes(b"noise")
            before = sorted(Path(scratch).iterdir())
            async with served(Settings(folder, home=folder)) as client:
                await _ask(client, method, path, **more)
            assert sorted(Path(scratch).iterdir()) == before

    asyncio.run(play())


def _path(route: str, name: str) -> str:
    encoded = quote(name.encode("utf-8", "surrogatepass"), safe="%/.")
    return route.replace("{name}", encoded).replace("{form}", encoded)


@settings(max_examples=60)
@given(
    st.sampled_from(_routes("GET")),
    NAMES,
    st.dictionaries(st.sampled_from(["at_s", "from_s", "to_s", "day", "token"]), NUMBERS),
)
def test_no_address_and_no_query_brings_a_traceback_or_a_secret(route: str, name: str, query: dict) -> None:
    _play("GET", _path(route, name), params=query)


@settings(max_examples=60)
@given(
    st.sampled_from(_routes("POST")),
    st.one_of(NAMES, st.just("noise")),
    st.recursive(
        st.none() | st.booleans() | st.floats() | NAMES | st.integers(),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "to",
                        "start_s",
                        "end_s",
                        "labels",
                        "version",
                        "tab",
                        "sessions",
                        "base",
                        "participant",
                        "prompt",
                        "rest_s",
                    ]
                ),
                c,
            )
        ),
        max_leaves=8,
    ),
)
def test_no_content_brings_a_traceback_or_a_secret(route: str, name: str, content: Any) -> None:
    try:
        data = json.dumps(content).encode("utf-8")
    except (ValueError, UnicodeEncodeError):
        return
    _play("POST", _path(route, name), data=data, headers={"Content-Type": "application/json"})


@settings(max_examples=12)
@given(st.lists(st.one_of(st.text(max_size=2000), st.binary(max_size=2000)), max_size=6))
def test_what_a_browser_says_on_the_socket_harms_nobody(said: List[Any]) -> None:
    async def play() -> None:
        async with served(Settings(Path("/nonexistent"))) as client:
            rude, polite = await client.ws_connect("/live"), await client.ws_connect("/live")
            for message in said:
                if rude.closed:
                    break
                try:
                    await (rude.send_str(message) if isinstance(message, str) else rude.send_bytes(message))
                except (ConnectionError, UnicodeEncodeError):
                    break
            await client.post("/api/models/use", json={"name": "everyday"})
            while True:
                message = await asyncio.wait_for(polite.receive(), 60)
                assert message.type is WSMsgType.TEXT
                if json.loads(message.data)["kind"] == "models":
                    break
            await rude.close()
            await polite.close()

    asyncio.run(play())


def test_what_is_too_large_is_refused(serve: Serve, monday: Path) -> None:
    async def story(client: TestClient) -> List[int]:
        sizes = [5 << 20, 200 << 20]
        answers = []
        for size in sizes:

            async def flood(size: int = size) -> Any:
                for _ in range(size >> 16):
                    yield b"x" * (1 << 16)

            try:
                answer = await client.post("/api/recordings/monday/labels/import", data=flood())
                answers.append(answer.status)
            except ConnectionError:  # the server hung up while it was being flooded
                answers.append(413)
        return answers

    assert serve(story) == [413, 413]
