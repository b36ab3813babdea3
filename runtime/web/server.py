"""The server: one process, one event loop, and all endpoints."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Optional

from aiohttp import web

from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.config import EpisodesConfig
from cosmo_runtime.runtime.state import state_folder
from cosmo_runtime.runtime.web.alarms import AlarmsApi
from cosmo_runtime.runtime.web.days import DaysApi
from cosmo_runtime.runtime.web.files import PageFiles
from cosmo_runtime.runtime.web.guard import Guard
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.web.labelling import LabellingApi
from cosmo_runtime.runtime.web.playback import PlaybackApi
from cosmo_runtime.runtime.web.recordings import RecordingsApi
from cosmo_runtime.runtime.web.sessions import Sessions
from cosmo_runtime.runtime.web.teaching import TeachingApi

HUB = web.AppKey("hub", Hub)

_MOST_BYTES = 4 << 20  # the largest request; a table with a day's labels is a tenth of this
_STOP_S = 1.0
_NICER = 5  # recognition has priority


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    Attributes:
        folder: the folder of recordings.
        token: the token that a browser must have shown once; None if none is needed.
        cache: where training may have cached windows of recordings.
        home: where a run stores its log of what was done.
        motion: what an emulated rig plays, as in ``--emulate``; it may have its own model.
        output: where the run writes its predictions as JSON lines.
        episodes: when predictions make an episode, where no log says what was done.
    """

    folder: Path
    token: Optional[str] = None
    cache: Path = field(default_factory=cache_folder)
    home: Path = field(default_factory=state_folder)
    motion: Optional[str] = None
    output: Optional[Path] = None
    episodes: EpisodesConfig = field(default_factory=EpisodesConfig)


def make_app(settings: Settings, link: Optional[Connection] = None) -> web.Application:
    """Makes the application. Must be called in the event loop.

    Args:
        settings: what it serves, and to whom.
        link: the link to the run whose sensors it shows; None if there is no run.
    """
    guard, files, hub = Guard(settings.token), PageFiles(), Hub()
    app = web.Application(middlewares=[guard.middleware], client_max_size=_MOST_BYTES)
    app[HUB] = hub
    app.router.add_get("/enter", guard.enter)
    app.router.add_get("/", files.index)
    app.router.add_get("/page/{name}", files.file)
    app.router.add_get("/live", hub.serve)
    sessions = Sessions(settings.folder, settings.cache)
    shelf = Shelf(motion=settings.motion)
    teaching = TeachingApi(sessions, shelf, hub)
    recordings = RecordingsApi(sessions, hub, link)
    recordings.add_to(app.router)
    PlaybackApi(sessions, shelf).add_to(app.router)
    LabellingApi(sessions, shelf, hub, lambda: recordings.recording).add_to(app.router)
    teaching.add_to(app.router)
    DaysApi(settings.home, settings.folder, settings.output, settings.episodes, hub).add_to(app.router)
    AlarmsApi(settings.home, hub).add_to(app)
    app.on_shutdown.append(teaching.close)
    return app


def serve(settings: Settings, listening: socket.socket, link: Optional[Connection] = None) -> None:
    """Serves until the process is told to stop, or the run at the other end of the link has ended."""
    asyncio.run(_serve(settings, listening, link))


def serve_a_run(settings: Settings, listening: socket.socket, link: Connection) -> None:
    """Serves in its own process until the run has ended. Ctrl-C is left to the run."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICER)
    serve(settings, listening, link)


async def _serve(settings: Settings, listening: socket.socket, link: Optional[Connection]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    app = make_app(settings, link)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    if link:
        threading.Thread(target=_listen, args=(link, loop, app[HUB], ended), daemon=True).start()
    for number in (signal.SIGTERM,) if link else (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    await runner.cleanup()


def _listen(link: Connection, loop: asyncio.AbstractEventLoop, hub: Hub, ended: asyncio.Event) -> None:
    """Passes the run's messages to the pages."""
    try:
        while True:
            key, payload = link.recv()
            loop.call_soon_threadsafe(hub.publish, key, payload)
    except (EOFError, OSError):
        loop.call_soon_threadsafe(ended.set)
    except RuntimeError:  # the loop has ended
        return


def listen(host: str, port: int) -> socket.socket:
    """Opens the socket.

    Raises:
        OSError: the address is in use, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=64)
