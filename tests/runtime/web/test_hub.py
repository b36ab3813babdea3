from __future__ import annotations

import asyncio
import json
from typing import Any, Dict, List

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from aiohttp.test_utils import TestClient

from cosmo_runtime.runtime.web.server import HUB
from tests.runtime.web.conftest import Serve


def _prediction(number: int) -> str:
    return json.dumps({"kind": "prediction", "end_ms": number, "activity": "walk", "confidence": 0.9})


async def _read(socket: Any, count: int) -> List[Dict[str, Any]]:
    return [json.loads((await asyncio.wait_for(socket.receive(), 60)).data) for _ in range(count)]


async def _opened(client: TestClient) -> Any:
    """A page that has got what it must know: the alarms, and what was done before."""
    socket = await client.ws_connect("/live")
    await _read(socket, 2)
    return socket


def test_a_page_that_opens_later_gets_what_it_must_know(serve: Serve) -> None:
    async def story(client: TestClient) -> None:
        hub = client.app[HUB]
        hub.tell("run", title="here")
        hub.publish("prediction", _prediction(1 - 600_001))  # ten minutes earlier
        hub.publish("prediction", _prediction(1))
        socket = await client.ws_connect("/live")
        _, run, history = await _read(socket, 3)
        assert run == {"kind": "run", "title": "here"}
        assert history["predictions"] == [{"end_ms": 1, "activity": "walk", "confidence": 0.9}]
        hub.publish("prediction", _prediction(2))
        assert (await _read(socket, 1))[0]["end_ms"] == 2
        await socket.close()

    serve(story)


def test_a_slow_page_gets_the_latest_picture_and_every_prediction(serve: Serve) -> None:
    async def story(client: TestClient) -> None:
        hub = client.app[HUB]
        socket = await _opened(client)
        for number in range(40):  # without giving the page's writer a turn
            hub.publish("frame depth", json.dumps({"kind": "depth", "number": number}))
            hub.publish("prediction", _prediction(number))
        heard = await _read(socket, 41)
        assert [message["number"] for message in heard if message["kind"] == "depth"] == [39]
        assert [message["end_ms"] for message in heard if message["kind"] == "prediction"] == list(range(40))

    serve(story)


@pytest.mark.parametrize("said", ["{", "x" * 900, "null", '{"do": "rm"}'])
def test_what_a_page_says_is_not_listened_to(serve: Serve, said: str) -> None:
    async def story(client: TestClient) -> None:
        socket = await _opened(client)
        await socket.send_str(said)
        client.app[HUB].tell("run", title="still here")
        assert (await _read(socket, 1))[0]["title"] == "still here"

    serve(story)


def test_a_page_that_says_too_much_is_closed(serve: Serve) -> None:
    async def story(client: TestClient) -> bool:
        socket = await _opened(client)
        await socket.send_str("x" * 5000)
        await asyncio.wait_for(socket.receive(), 60)
        return bool(socket.closed)

    assert serve(story)
