"""The page's requests about labels: reading, saving each change at once, other tools' files, and proposals."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable, DefaultDict, Dict, List, Optional, Sequence

from aiohttp import web

from cosmo_runtime.models.activity_names import is_uncertain, label_name
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.runtime.labels import exchange
from cosmo_runtime.runtime.labels.exchange import Label
from cosmo_runtime.runtime.labels.rows import LabelTable
from cosmo_runtime.runtime.labels.table import LabelsError, labels_beside, read_labels, write_labels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.labels.whole import checked
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.web.request import beside, content_of, number
from cosmo_runtime.runtime.web.sessions import Sessions, read_segments
from cosmo_runtime.sensors.recording import Recording

_MOST_LABELS = 100_000
_PROPOSAL_S = 3600.0

COMMAND = [sys.executable, "-m", "cosmo_runtime.runtime.cli"]
"""The command line, for work in its own process."""


class LabellingApi:
    """The endpoints below ``/api/recordings/NAME/labels``.

    Args:
        sessions: the folder of recordings.
        shelf: the shelf of models.
        hub: informs other tabs of changes.
        being_recorded: returns the name of the recording that is being made, whose labels its prompts write.
    """

    def __init__(self, sessions: Sessions, shelf: Shelf, hub: Hub, being_recorded: Callable[[], Optional[str]]) -> None:
        self._sessions = sessions
        self._shelf = shelf
        self._hub = hub
        self._being_recorded = being_recorded
        self._turns: DefaultDict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the endpoints."""
        router.add_get("/api/recordings/{name}/labels", self.read)
        router.add_post("/api/recordings/{name}/labels", self.write)
        router.add_post("/api/recordings/{name}/labels/import", self.take)
        router.add_get("/api/recordings/{name}/labels/export/{form}", self.give)
        router.add_post("/api/recordings/{name}/labels/propose", self.propose)

    async def read(self, request: web.Request) -> web.Response:
        """The labels and their version."""
        return web.json_response(await beside(self._read, request.match_info["name"]))

    async def write(self, request: web.Request) -> web.Response:
        """Saves the labels, unless somebody else has changed them since, or they cannot be changed here any more.

        Then it answers with what is there now.
        """
        content = await content_of(request)
        name = request.match_info["name"]
        recording = await beside(self._sessions.recording, name)
        labels = _checked(content.get("labels"), recording.duration_s)
        async with self._turns[name]:
            before = await beside(self._read, name)
            if before["problem"] or before["version"] != content.get("version"):
                error = before["problem"] or "Another tab has changed these labels."
                return web.json_response({"error": error, **before}, status=409)
            start_ns, table = recording.start_ns, labels_beside(recording.path)
            segments = [
                Segment(start_ns + round(a * 1e9), start_ns + round(b * 1e9), activity) for a, b, activity in labels
            ]
            await beside(write_labels, table, segments, recording, True)
            version = await beside(_version, table)
        self._hub.tell("labels", name=name, version=version, tab=str(content.get("tab", ""))[:40])
        return web.json_response({"version": version})

    async def take(self, request: web.Request) -> web.Response:
        """Reads another tool's file and answers with its labels, and how many are left out. The page saves them."""
        name = request.match_info["name"]
        recording = await beside(self._sessions.recording, name)
        labels = await beside(_imported, await request.read(), recording)
        last_s = recording.duration_s
        inside = [Label(max(0.0, a), min(b, last_s), c) for a, b, c in labels if a < last_s and b >= max(0.0, a)]
        lasting = [label for label in inside if round(label.start_s, 3) < round(label.end_s, 3)]
        left_out = {"outside": len(labels) - len(inside), "short": len(inside) - len(lasting)}
        if not lasting:
            raise Refused("None of its labels lies in this recording." if not inside else "Its labels are too short.")
        try:
            apart = checked(lasting, last_s)
        except ValueError as error:
            raise Refused(f"This file cannot be read: {error}") from error
        return web.json_response({"labels": apart, **left_out})

    async def give(self, request: web.Request) -> web.Response:
        """The labels as another tool's file."""
        name, form = request.match_info["name"], request.match_info["form"]
        read = await beside(self._read, name)
        labels = [Label(*label) for label in read["labels"] if label.activity != UNCERTAIN]
        if form == "audacity":
            text, ending = exchange.to_audacity(labels), "txt"
        elif form == "elan":
            text, ending = exchange.to_elan(labels), "eaf"
        elif form == "label-studio":
            text, ending = exchange.to_label_studio(labels, name), "json"
        else:
            raise Refused("Expected audacity, elan or label-studio.", 404)
        file = "".join(letter if letter.isascii() and letter not in '"\\' else "_" for letter in name)
        headers = {"Content-Disposition": f'attachment; filename="{file}.{ending}"'}
        return web.Response(text=text, content_type="application/octet-stream", headers=headers)

    async def propose(self, request: web.Request) -> web.Response:
        """Lets the model in use propose labels, in its own process. Saves nothing."""
        await content_of(request)
        name = request.match_info["name"]
        path = self._sessions.path(name)
        with tempfile.TemporaryDirectory(prefix="cosmo-proposal-") as folder:
            table = Path(folder) / f"{name}.csv"
            in_use = await beside(lambda: self._shelf.in_use)
            words = [*COMMAND, "label", str(path), "--bundle", str(in_use), "--out", str(table)]
            process = await asyncio.create_subprocess_exec(
                *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            try:
                _, complaint = await asyncio.wait_for(process.communicate(), _PROPOSAL_S)
            finally:
                if process.returncode is None:
                    process.kill()
            if process.returncode:
                raise Refused(complaint.decode(errors="replace").strip()[-600:] or "That failed.", 422)
            return web.json_response({"labels": await beside(_proposed, table)})

    def _read(self, name: str) -> Dict[str, Any]:
        """A recording's labels in seconds, their version, and the reason if they cannot be changed."""
        recording = self._sessions.recording(name)
        version = _version(labels_beside(recording.path))
        try:
            segments, problem = read_segments(recording), ""
        except LabelsError as error:
            segments, problem = [], str(error)
        problem = self._still_recorded(name) or problem
        return {"version": version, "labels": _in_seconds(segments, recording), "problem": problem}

    def _still_recorded(self, name: str) -> str:
        """Why labels cannot be saved now; empty if they can. A prompt would replace them with its own."""
        if name != self._being_recorded():
            return ""
        return f"{name} is still being recorded. It can be labelled when that has ended."


def _in_seconds(segments: Sequence[Segment], recording: Recording) -> List[Label]:
    start_ns = recording.start_ns
    return [Label(round((a - start_ns) / 1e9, 3), round((b - start_ns) / 1e9, 3), name) for a, b, name in segments]


def _version(labels: Path) -> str:
    try:
        return hashlib.sha256(labels.read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        return "none"


def _checked(labels: object, duration_s: float) -> List[Label]:
    """Posted labels, oldest first.

    Raises:
        Refused: they are not labels, overlap, or lie outside the recording.
    """
    if not isinstance(labels, list) or len(labels) > _MOST_LABELS:
        raise Refused("labels: expected a list.")
    named: List[Label] = []
    for row in labels:
        if not isinstance(row, list) or len(row) != 3 or not isinstance(row[2], str) or len(row[2]) > 200:
            raise Refused("A label is its start, its end and its activity.")
        times = {"start": row[0], "end": row[1]}
        start_s, end_s = number(times, "start"), number(times, "end")
        try:
            name = _name(row[2])
        except ValueError as error:
            raise Refused(str(error)) from error
        named.append(Label(start_s, end_s, name))
    try:
        return checked(named, duration_s)
    except ValueError as error:
        raise Refused(str(error)) from error


def _name(text: str) -> str:
    """The stored form of an activity, or ``uncertain``: a person has still to say what that is.

    Raises:
        ValueError: it is no name.
    """
    return UNCERTAIN if is_uncertain(text) else label_name(text)


def _imported(content: bytes, recording: Recording) -> Sequence[Label]:
    """The labels in a file from any of the supported tools.

    Raises:
        Refused: the file is from none of them.
    """
    begin = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    try:
        if begin == b"<":
            labels: Sequence[Label] = exchange.from_elan(content)
        elif begin in (b"[", b"{"):
            labels = exchange.from_label_studio(content)
        else:
            labels = _from_table(content, recording)
        return [label._replace(activity=_name(label.activity)) for label in labels]
    except ValueError as error:
        raise Refused(f"This file cannot be read: {error}.") from error
    except LabelsError as error:
        raise Refused(str(error).split(": ", 1)[-1]) from error


def _from_table(content: bytes, recording: Recording) -> Sequence[Label]:
    with tempfile.TemporaryDirectory(prefix="cosmo-import-") as folder:
        table = Path(folder) / "labels.csv"
        table.write_bytes(content)
        if "session" in LabelTable(table).columns:
            raise ValueError("it has a column session, and is of several recordings")
        (segments,) = read_labels(table, recording, examples=1, open_questions=True).values()
    return _in_seconds(segments, recording)


def _proposed(table: Path) -> List[Label]:
    """The rows that ``label`` wrote. It calls unknown stretches uncertain, which is not a valid label."""
    rows = LabelTable(table).rows
    found = [(float(row.cells["start"]), float(row.cells["end"]), row.cells["activity"]) for row in rows]
    return [Label(round(a, 3), round(b, 3), c or UNCERTAIN) for a, b, c in found]
