"""The page's requests for playback of a recording: its images, its curves, and a survey."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from typing import Any, Dict, List, Tuple

import numpy as np
from aiohttp import web

from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.web.feed import packed
from cosmo_runtime.runtime.web.film import Film
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.runtime.web.request import beside, number
from cosmo_runtime.runtime.web.sessions import Sessions

_MOST_OPEN = 2
_MOST_FRAMES_S = 3.0
_MOST_TRACES_S = 120.0


class PlaybackApi:
    """The endpoints below ``/api/recordings/NAME`` for playback.

    Args:
        sessions: the folder of recordings.
        shelf: the shelf of models.
    """

    def __init__(self, sessions: Sessions, shelf: Shelf) -> None:
        self._sessions = sessions
        self._shelf = shelf
        self._films: OrderedDict[str, Film] = OrderedDict()
        self._lock = threading.Lock()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the endpoints."""
        router.add_get("/api/recordings/{name}", self.about)
        router.add_get("/api/recordings/{name}/frames", self.frames)
        router.add_get("/api/recordings/{name}/frame", self.frame)
        router.add_get("/api/recordings/{name}/traces", self.traces)
        router.add_get("/api/recordings/{name}/survey", self.survey)

    def film(self, name: str) -> Film:
        """Opens a recording for playback. At most two are open at a time."""
        with self._lock:
            recording = self._sessions.recording(name)
            film = self._films.pop(name, None)
            if film and film.recording is not recording:  # the recording has changed
                film.close()
                film = None
            film = film or Film(recording)
            self._films[name] = film
            while len(self._films) > _MOST_OPEN:
                self._films.popitem(last=False)[1].close()
        return film

    async def about(self, request: web.Request) -> web.Response:
        """A description of the recording, and the activities that its labels may have."""
        film = await beside(self.film, request.match_info["name"])
        recording = film.recording
        began_ms = (recording.start_ns + recording.wall_offset_ns) / 1e6
        sensors = {name: {"kind": info.kind, "rate_hz": info.rate_hz} for name, info in recording.infos.items()}
        known = await beside(_known_activities, self._shelf)
        return web.json_response(
            {
                "name": request.match_info["name"],
                "seconds": round(recording.duration_s, 3),
                "began_ms": began_ms,
                "sensors": sensors,
                "activities": known,
                "damaged": recording.holes,
            }
        )

    async def frames(self, request: web.Request) -> web.Response:
        """Images and points between two times in seconds."""
        start_s, end_s = _range(request, _MOST_FRAMES_S)
        film = await beside(self.film, request.match_info["name"])
        return _many(await beside(film.frames, start_s, end_s))

    async def frame(self, request: web.Request) -> web.Response:
        """The images and points of one moment."""
        at_s = number(dict(request.query), "at_s")
        film = await beside(self.film, request.match_info["name"])
        return _many(await beside(film.frame, at_s))

    async def traces(self, request: web.Request) -> web.Response:
        """The IMUs' measurements and the predictions between two times in seconds.

        The measurements' times count from the first of these, so that 32 bits hold them to a fraction of a millisecond.
        """
        start_s, end_s = _range(request, _MOST_TRACES_S)
        film = await beside(self.film, request.match_info["name"])
        rows, predictions = await beside(film.traces, start_s, end_s)
        head: Dict[str, Any] = {"kind": "predictions", "predictions": predictions}
        messages = [packed(head, b"")]
        for name, measured in rows.items():
            measured[:, 0] -= start_s
            head = {"kind": "imu", "sensor": name, "rows": len(measured)}
            messages.append(packed(head, measured.astype(np.float32).tobytes()))
        return _many(messages)

    async def survey(self, request: web.Request) -> web.Response:
        """The whole recording in a few columns."""
        film = await beside(self.film, request.match_info["name"])
        answer = web.json_response(await beside(film.survey))
        answer.enable_compression()
        return answer


def _range(request: web.Request, longest_s: float) -> Tuple[float, float]:
    query = dict(request.query)
    start_s, end_s = number(query, "from_s", -10.0), number(query, "to_s")
    if not start_s < end_s <= start_s + longest_s:
        raise Refused(f"Expected at most {longest_s:g} s, from its start to its end.")
    return start_s, end_s


def _many(messages: List[bytes]) -> web.Response:
    """Messages one after the other, each after its length."""
    body = b"".join(struct.pack("<I", len(message)) + message for message in messages)
    return web.Response(body=body, content_type="application/octet-stream")


def _known_activities(shelf: Shelf) -> List[str]:
    """The activities of the model in use."""
    in_use = [shelved.bundle for shelved in shelf.bundles() if shelved.path == shelf.in_use and shelved.bundle]
    return list(in_use[0].spec.classes) if in_use else []
