"""Shows the page which alarms stand, and acknowledges them.

The log of a run with ``--home`` says which they are. So it does not matter which process keeps it, or where somebody
acknowledges an alarm.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, AsyncIterator, Dict, Optional, Tuple

from aiohttp import web

from cosmo_runtime.runtime.alarms.last import standing
from cosmo_runtime.runtime.episodes.entries import LogError, NoLog, is_written, last_id, why_behind
from cosmo_runtime.runtime.state import acknowledge, log_folder
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.web.request import beside, content_of

_LOOK_S = 1.0

_log = logging.getLogger(__name__)


_State = Tuple[Optional[int], Optional[bool], str]
_NOT_SEEN: _State = (None, None, "")


class AlarmsApi:
    """The endpoint ``/api/alarms/acknowledge``, and the message ``alarms`` to all pages.

    Args:
        home: the folder of the run whose alarms are shown.
        hub: informs the pages.
    """

    def __init__(self, home: Path, hub: Hub) -> None:
        self._home = home
        self._hub = hub
        self._seen = _NOT_SEEN
        self._told: Dict[str, Any] = {}

    def add_to(self, app: web.Application) -> None:
        """Adds the endpoint, and tells the pages as long as the server runs."""
        app.router.add_post("/api/alarms/acknowledge", self.acknowledge)
        app.cleanup_ctx.append(self._watched)

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Notes that somebody has seen to an alarm. The run takes it with its next window, or as it starts."""
        content = await content_of(request)
        name, seen = content.get("name"), content.get("number")
        told = await beside(_standing, log_folder(self._home))
        numbers = [alarm["number"] for alarm in told["standing"] if alarm["name"] == name]
        if not numbers:
            raise Refused(f"No alarm {name!r} stands.", 404)
        if type(seen) is not int:
            raise Refused("number: expected that of the last raise that was shown.")
        await beside(acknowledge, self._home, name, min(seen, *numbers))
        return web.json_response({})

    async def _watched(self, _: web.Application) -> AsyncIterator[None]:
        await self._look()
        watching = asyncio.ensure_future(self._watch())
        yield
        watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._look()

    async def _look(self) -> None:
        """Tells the pages which alarms stand, if that has changed."""
        try:
            seen = await beside(_state, log_folder(self._home))
            if seen == self._seen and seen[0] is not None:
                return
            told = await beside(_standing, log_folder(self._home))
        except Exception:  # nobody must believe that all is well
            seen, told = _NOT_SEEN, {"standing": [], "problem": "the journal of the page says why"}
            if told != self._told:
                _log.exception("The alarms that stand cannot be read")
        self._seen = seen
        if told != self._told:
            self._told = told
            self._hub.tell("alarms", **told)


def _state(folder: Path) -> _State:
    """What changes when an alarm does. Reading this costs little, however long the log is."""
    return last_id(folder), is_written(folder), why_behind(folder)


def _standing(folder: Path) -> Dict[str, Any]:
    """The alarms that nobody has acknowledged, or why nobody can tell which they are."""
    try:
        return {"standing": standing(folder), "problem": why_behind(folder)}
    except NoLog:
        return {"standing": [], "problem": why_behind(folder)}
    except LogError as error:
        return {"standing": [], "problem": str(error)}
