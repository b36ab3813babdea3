"""Sends news to all open pages. A slow page gets less, and delays nobody."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any, Callable, Deque, Dict, List, Set, Union

from aiohttp import WSMsgType, web

_HISTORY_MS, _HISTORY_MOST = 600_000, 10_000  # what a page gets when it opens: time, and number of predictions
_MOST_WAITING = 256  # messages for one page
_MOST_PAGES = 32
_PING_S = 10.0
_KEPT = ("run", "sensors", "recording", "teaching", "silence", "alarms")  # what a page must know even if it opens later

Payload = Union[str, bytes]


class _Page:
    def __init__(self) -> None:
        self.waiting: Dict[str, Payload] = {}
        self.news = asyncio.Event()

    def put(self, key: str, payload: Payload) -> None:
        if key not in self.waiting and len(self.waiting) >= _MOST_WAITING:
            self.waiting.pop(next(iter(self.waiting)))
        self.waiting[key] = payload
        self.news.set()


class Hub:
    """All open pages."""

    def __init__(self) -> None:
        self._pages: Set[_Page] = set()
        self._latest: Dict[str, Payload] = {}
        self._history: Deque[Dict[str, Any]] = deque(maxlen=_HISTORY_MOST)
        self._sequence = 0
        self._listeners: Dict[str, List[Callable[[Payload], None]]] = defaultdict(list)

    def listen(self, key: str, do: Callable[[Payload], None]) -> None:
        """Calls a function in the server itself on each message with a key."""
        self._listeners[key].append(do)

    def publish(self, key: str, payload: Payload) -> None:
        """Sends a message to all pages. It replaces a message with the same key that a page has not received yet."""
        for do in self._listeners[key]:
            do(payload)
        if key == "prediction" and isinstance(payload, str):
            self._latest.pop("silence", None)
            self._remember(json.loads(payload))
            self._sequence += 1
            key = f"prediction {self._sequence}"  # predictions never replace each other
        elif key in _KEPT:
            self._latest[key] = payload
        for page in self._pages:
            page.put(key, payload)

    def tell(self, kind: str, **content: Any) -> None:
        """Sends a message from the server itself."""
        self.publish(kind, json.dumps({"kind": kind, **content}))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serves one page until it is closed. Messages from the page are ignored: every change is a POST."""
        if len(self._pages) >= _MOST_PAGES:
            raise web.HTTPServiceUnavailable(reason="Too many pages are open.")
        socket = web.WebSocketResponse(heartbeat=_PING_S, max_msg_size=1024, compress=False)
        await socket.prepare(request)
        page = _Page()
        for key, payload in self._latest.items():
            page.put(key, payload)
        page.put("history", json.dumps({"kind": "history", "predictions": list(self._history)}))
        self._pages.add(page)
        writing = asyncio.ensure_future(self._write(socket, page))
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
        finally:
            self._pages.discard(page)
            writing.cancel()
        return socket

    async def _write(self, socket: web.WebSocketResponse, page: _Page) -> None:
        with suppress(ConnectionError):  # the page was closed
            while not socket.closed:
                await page.news.wait()
                page.news.clear()
                waiting, page.waiting = page.waiting, {}
                for payload in waiting.values():
                    if isinstance(payload, str):
                        await socket.send_str(payload)
                    else:
                        await socket.send_bytes(payload)

    def _remember(self, prediction: Dict[str, Any]) -> None:
        self._history.append({name: prediction[name] for name in ("end_ms", "activity", "confidence")})
        while self._history[0]["end_ms"] < prediction["end_ms"] - _HISTORY_MS:
            self._history.popleft()
