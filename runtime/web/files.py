"""The page's own files. The server reads them once, when it starts, so that no request can name a file on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, NamedTuple

from aiohttp import web

_FOLDER = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class _File(NamedTuple):
    content: bytes
    kind: str
    etag: str


class PageFiles:
    """The answers to ``GET /`` and ``GET /page/NAME``."""

    def __init__(self) -> None:
        self._files: Dict[str, _File] = {}
        for path in sorted(_FOLDER.iterdir()):
            if path.suffix in _TYPES:
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()[:16]
                self._files[path.name] = _File(content, _TYPES[path.suffix], f'"{digest}"')

    async def index(self, request: web.Request) -> web.StreamResponse:
        """The page."""
        return self._answer(request, "index.html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of the page's modules or styles."""
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.StreamResponse:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        answer = web.Response(body=file.content, content_type=file.kind, charset="utf-8", headers=headers)
        answer.enable_compression()
        return answer
