"""The page's requests about recordings: listing, making, renaming, deleting and cutting them."""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any, Dict, Optional

from aiohttp import web

from cosmo_runtime.runtime.labels.prompt import Prompter, PromptError, parse_activities
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.web.request import beside, content_of, number
from cosmo_runtime.runtime.web.sessions import Sessions, lifetime_of, participant_of

_MOST_PROMPTED_S = 12 * 3600


class RecordingsApi:
    """The endpoints below ``/api/recordings`` and ``/api/record``.

    Args:
        sessions: the folder of recordings.
        hub: informs the pages of changes.
        link: the link to the run that can record; None if there is no run.

    Attributes:
        recording: the name of the recording that is being made; None if there is none.
    """

    def __init__(self, sessions: Sessions, hub: Hub, link: Optional[Connection]) -> None:
        self._sessions = sessions
        self._hub = hub
        self._link = link
        self.recording: Optional[str] = None
        self._can_record = False  # until the run reports that it can
        hub.listen("recording", self._heard)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the endpoints."""
        router.add_get("/api/recordings", self.list)
        router.add_post("/api/record", self.record)
        router.add_post("/api/record/stop", self.stop)
        router.add_post("/api/record/cue", self.cue)
        router.add_post("/api/recordings/{name}/rename", self.rename)
        router.add_post("/api/recordings/{name}/delete", self.delete)
        router.add_post("/api/recordings/{name}/cut", self.cut)

    async def list(self, request: web.Request) -> web.Response:
        """All recordings, what is left out and why, and whether new ones can be made."""
        found = await beside(self._sessions.list)
        shown = [entry for entry in found if entry["name"] != self.recording]
        left_out = await beside(self._sessions.left_out)
        folder = str(self._sessions.folder)
        told = {"recordings": shown, "left_out": left_out, "folder": folder, "can_record": self._can_record}
        return web.json_response(told)

    async def record(self, request: web.Request) -> web.Response:
        """Starts a recording, with or without prompts."""
        content = await content_of(request)
        if self.recording:
            raise Refused(f"{self.recording} is being recorded already.", 409)
        command: Dict[str, Any] = {"do": "record", "path": str(self._sessions.new_path(content.get("name")))}
        command["expires"] = lifetime_of(content.get("expires"))
        command["participant"] = participant_of(content.get("participant"))
        if content.get("prompt") is not None:
            try:
                activities = parse_activities(str(content["prompt"]), "the list")
            except PromptError as error:
                raise Refused(str(error)) from error
            rest_s = number(content, "rest_s", 1, 600)
            if sum((activity.seconds + rest_s) * activity.times for activity in activities) > _MOST_PROMPTED_S:
                raise Refused("That would take more than 12 hours.")
            command.update(activities=[list(activity) for activity in activities], rest_s=rest_s)
        self._say(command)
        return web.json_response({"name": command["path"].rpartition("/")[2][: -len(".mcap")]}, status=202)

    async def stop(self, request: web.Request) -> web.Response:
        """Ends the recording."""
        self._say({"do": "stop"})
        return web.json_response({}, status=202)

    async def cue(self, request: web.Request) -> web.Response:
        """Repeats, skips, pauses or ends the prompts."""
        word = (await content_of(request)).get("word")
        if word not in Prompter.WORDS:
            raise Refused(f"Expected one of {', '.join(Prompter.WORDS)}.")
        self._say({"do": "cue", "word": word})
        return web.json_response({}, status=202)

    async def rename(self, request: web.Request) -> web.Response:
        """Renames a recording."""
        content = await content_of(request)
        name = await beside(self._sessions.rename, self._finished(request), content.get("to"))
        self._changed()
        return web.json_response({"name": name})

    async def delete(self, request: web.Request) -> web.Response:
        """Deletes a recording, its labels, and the windows that training cached from it."""
        await content_of(request)
        await beside(self._sessions.delete, self._finished(request))
        self._changed()
        return web.json_response({})

    async def cut(self, request: web.Request) -> web.Response:
        """Makes a recording from a piece of another."""
        content = await content_of(request)
        start_s, end_s = number(content, "start_s"), number(content, "end_s")
        name = await beside(self._sessions.cut, self._finished(request), content.get("to"), start_s, end_s)
        self._changed()
        return web.json_response({"name": name})

    def _finished(self, request: web.Request) -> str:
        name = request.match_info["name"]
        if name == self.recording:
            raise Refused(f"{name} is still being recorded.", 409)
        return name

    def _say(self, command: Dict[str, Any]) -> None:
        if self._link is None:
            raise Refused("No sensors are running here: start cosmo-runtime web with --sensors.", 409)
        try:
            self._link.send(command)
        except OSError as error:
            raise Refused("The run has ended.", 409) from error

    def _heard(self, payload: object) -> None:
        self._can_record = True
        message = json.loads(str(payload))
        before, self.recording = self.recording, message["name"]
        if before and not self.recording:
            self._changed()

    def _changed(self) -> None:
        self._hub.tell("recordings")
