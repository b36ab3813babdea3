from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Dict

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmo_runtime.runtime.web import guard
from cosmo_runtime.runtime.web.guard import COOKIE, check_token, is_loopback, read_token
from cosmo_runtime.runtime.web.server import Settings
from tests.runtime.web.conftest import Serve, served

TOKEN = "0123456789abcdef"


def test_every_answer_forbids_inline_code_and_other_hosts(serve: Serve) -> None:
    async def story(client: TestClient) -> None:
        for path in "/", "/page/app.js", "/page/none.js", "/nowhere":
            answer = await client.get(path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    serve(story)


@pytest.mark.parametrize("path", ["/page/..%2fguard.py", "/page/%2e%2e/guard.py", "/page/../../guard.py", "/page/"])
def test_no_file_but_those_of_the_page_is_served(serve: Serve, path: str) -> None:
    async def story(client: TestClient) -> int:
        return (await client.get(path)).status

    assert serve(story) == 404


def test_a_name_that_is_not_this_machine_s_is_refused(serve: Serve) -> None:
    async def story(client: TestClient) -> int:
        return (await client.get("/", headers={"Host": "evil.example:8642"})).status

    assert serve(story) == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["origin", "no origin", "another site"],
)
def test_another_page_changes_nothing(serve: Serve, headers: Dict[str, str]) -> None:
    async def story(client: TestClient) -> int:
        return (await client.post("/api/nothing", headers=headers)).status

    assert serve(story) == 403


def test_another_page_does_not_listen(serve: Serve) -> None:
    async def story(client: TestClient) -> int:
        headers = {"Origin": "http://evil.example", "Upgrade": "websocket", "Connection": "Upgrade"}
        return (await client.get("/live", headers=headers)).status

    assert serve(story) == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_and_post_are_understood(serve: Serve, method: str) -> None:
    async def story(client: TestClient) -> int:
        return (await client.request(method, "/")).status

    assert serve(story) == 405


def test_with_a_token_nothing_is_served_before_the_printed_link_was_opened(serve: Serve) -> None:
    async def story(client: TestClient) -> None:
        for path in "/", "/page/app.js", "/live":
            assert (await client.get(path)).status == 401
        entered = await client.get(f"/enter?token={TOKEN}", allow_redirects=False)
        assert entered.status == 303
        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        client.session.cookie_jar.clear()
        value = cookie.split(";")[0].split("=")[1]
        assert (await client.get("/", headers={"Cookie": f"{COOKIE}={value}"})).status == 200

    serve(story, token=TOKEN)


def test_wrong_tokens_take_turns_and_are_slow(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_SLOW_S", 0.2)

    async def story(client: TestClient) -> Any:
        began = time.monotonic()
        answers = await asyncio.gather(*(client.get(f"/enter?token=wrong{n}") for n in range(12)))
        return [answer.status for answer in answers], time.monotonic() - began

    statuses, seconds = serve(story, token=TOKEN)
    assert set(statuses) == {403, 429}
    assert seconds > 0.2 * statuses.count(403) * 0.9


@pytest.mark.parametrize("token", ["short", "with space and more", "ä" * 20, ""])
def test_a_weak_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="openssl"):
        check_token(token)


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.write_text(TOKEN, encoding="utf-8-sig")
    assert read_token(path) == TOKEN


@pytest.mark.parametrize(
    "host, own", [("localhost", True), ("127.0.0.5", True), ("::1", True), ("0.0.0.0", False), ("a.b", False)]
)
def test_own_addresses_are_known(host: str, own: bool) -> None:
    assert is_loopback(host) is own


@settings(max_examples=60)
@given(
    st.text(st.characters(blacklist_categories=("Cs",)), max_size=40),
    st.sampled_from(["GET", "POST"]),
    st.binary(max_size=200),
)
def test_no_path_and_no_content_brings_a_traceback(path: str, method: str, content: bytes) -> None:
    from urllib.parse import quote

    async def play() -> None:
        async with served(Settings(Path("/nonexistent"))) as client:
            for begin in "/", "/page/", "/api/", "/api/recordings/":
                data = content if method == "POST" else None
                answer = await client.request(method, begin + quote(path.lstrip("/"), safe="/."), data=data)
                assert answer.status < 500
                assert b"Traceback" not in await answer.read()

    asyncio.run(play())
