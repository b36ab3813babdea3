"""Decides who may use the server, and sets the headers of every answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import stat
from pathlib import Path
from typing import Awaitable, Callable, Optional
from urllib.parse import urlsplit

from aiohttp import web

COOKIE = "cosmo-runtime"
LEAST_TOKEN = 16  # characters; a shorter one can be guessed
_SLOW_S = 1.0  # delay of each wrong token; several wait for each other
_MOST_WAITING = 8
_YEAR_S = 365 * 24 * 3600

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


class Refused(Exception):
    """The server refuses a request. The message is for the person at the page."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def read_token(path: Path) -> str:
    """Reads a token from a file that nobody else may read.

    Raises:
        ValueError: others may read the file, or it has no token.
        OSError: the file cannot be read.
    """
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ValueError(f"{path}: others on this machine may read it; chmod 600 {path}")
    return check_token(path.read_text(encoding="utf-8-sig", errors="replace").strip())


def check_token(token: str) -> str:
    """Returns the token if nobody can guess it.

    Raises:
        ValueError: it is too short, or cannot be part of a link.
    """
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum():
        raise ValueError(f"a token has {LEAST_TOKEN} letters and digits at least; openssl rand -hex 16 makes one")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Checks every request before anything else.

    Without a token, it serves only browsers on this machine, and only under the machine's own name. So it refuses a
    foreign page whose domain name points to this machine.

    Args:
        token: the token that a browser must have shown once; None if none is needed.
    """

    def __init__(self, token: Optional[str]) -> None:
        self._token = token
        self._cookie = hashlib.sha256(f"cosmo-runtime page {token}".encode()).hexdigest() if token else ""
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Checks the token of the printed link, and sets the cookie."""
        if self._token and not await self._matches(request.query.get("token", ""), self._token):
            raise Refused("This link is not the one that cosmo-runtime printed.", 403)
        answer = web.Response(status=303, headers={"Location": "/"})
        if self._token:
            answer.set_cookie(COOKIE, self._cookie, max_age=_YEAR_S, httponly=True, samesite="Strict", path="/")
        return answer

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses forbidden requests, and turns every error into a message."""
        try:
            await self._check(request)
            answer = await handler(request)
        except Refused as error:
            answer = web.json_response({"error": str(error)}, status=error.status)
        except web.HTTPException as error:
            answer = web.json_response({"error": error.reason}, status=error.status)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            _log.exception("the page asked %s %s, and that failed", request.method, request.path)
            answer = web.json_response({"error": "That failed. The log of cosmo-runtime says why."}, status=500)
        if not answer.prepared:
            answer.headers.update(_HEADERS)
            answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    async def _check(self, request: web.Request) -> None:
        host = urlsplit(f"//{request.host}").hostname or ""
        if not self._token and not is_loopback(host):
            raise Refused(f"{host!r} is not a name of this machine. Open the link that cosmo-runtime printed.", 403)
        origin = request.headers.get("Origin")
        changes = request.method not in ("GET", "HEAD")
        if changes and request.method != "POST":
            raise Refused("Only GET and POST are understood.", 405)
        upgrades = request.headers.get("Upgrade") is not None
        if origin is not None and (changes or upgrades) and urlsplit(origin).netloc != request.host:
            raise Refused("Another page may not do this.", 403)
        if changes and request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused("Another page may not do this.", 403)
        if self._token and request.path != "/enter":
            shown = request.cookies.get(COOKIE, "")
            if not shown or not await self._matches(shown, self._cookie):
                raise Refused("Open the link that cosmo-runtime printed when it started; it holds the token.", 401)

    async def _matches(self, shown: str, wanted: str) -> bool:
        if hmac.compare_digest(shown.encode(errors="replace"), wanted.encode()):
            return True
        if self._waiting >= _MOST_WAITING:
            raise Refused("Too many wrong tokens; wait a moment.", 429)
        self._waiting += 1
        try:
            async with self._turn:
                await asyncio.sleep(_SLOW_S)
        finally:
            self._waiting -= 1
        return False
