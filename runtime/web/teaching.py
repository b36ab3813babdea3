"""The page's requests about models: teaching one in its own process, and putting one in use."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from aiohttp import web

from cosmo_runtime.models.shelf import SHIPPED_ENCODERS, Shelf, Shelved
from cosmo_runtime.names import UNCERTAIN
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.runtime.web.hub import Hub
from cosmo_runtime.runtime.web.labelling import COMMAND
from cosmo_runtime.runtime.web.request import beside, content_of
from cosmo_runtime.runtime.web.sessions import Sessions, read_segments
from cosmo_runtime.sensors.recording import Recording

_NICER = 7  # recognition has priority, then the page
_MOST_SAID = 2000  # characters of an error message
_STOP_S = 3.0


class TeachingApi:
    """The endpoints ``/api/teach`` and ``/api/models``.

    Args:
        sessions: the folder of recordings.
        shelf: the shelf of models.
        hub: informs the pages of progress.
    """

    def __init__(self, sessions: Sessions, shelf: Shelf, hub: Hub) -> None:
        self._sessions = sessions
        self._shelf = shelf
        self._hub = hub
        self._job: Optional[asyncio.Task] = None
        self._process: Optional[asyncio.subprocess.Process] = None
        self._stopped = False

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the endpoints."""
        router.add_get("/api/models", self.models)
        router.add_post("/api/models/use", self.use)
        router.add_post("/api/models/rollback", self.rollback)
        router.add_post("/api/teach", self.begin)
        router.add_post("/api/teach/stop", self.stop)

    async def close(self, _: web.Application) -> None:
        """Stops teaching when the server stops."""
        self._stopped = True
        self._terminate()
        if self._job:
            await asyncio.wait([self._job], timeout=_STOP_S)

    async def models(self, request: web.Request) -> web.Response:
        """The models of this machine, which one is in use, and whether it can teach."""
        shown = await beside(_shown, self._shelf)
        can_teach = importlib.util.find_spec("torch") is not None
        return web.json_response({**shown, "can_teach": can_teach, "teaching": self._job is not None})

    async def use(self, request: web.Request) -> web.Response:
        """Puts a model in use. A live run that watches for changes adopts it."""
        content = await content_of(request)
        name = content.get("name")
        if name not in [shelved.name for shelved in await beside(self._shelf.bundles)]:
            raise Refused(f"There is no model {name!r}.", 404)
        bundle = await beside(self._shelf.use, name)
        self._hub.tell("models")
        return web.json_response({"name": bundle.path.name})

    async def rollback(self, request: web.Request) -> web.Response:
        """Puts the previously used model in use again."""
        await content_of(request)
        bundle = await beside(self._shelf.rollback)
        self._hub.tell("models")
        return web.json_response({"name": bundle.path.name})

    async def begin(self, request: web.Request) -> web.Response:
        """Starts teaching. Progress and result go to all pages."""
        content = await content_of(request)
        names, base = content.get("sessions"), content.get("base")
        if not isinstance(names, list) or not names:
            raise Refused("Choose a session that has labels.")
        shown = await beside(_shown, self._shelf)
        if base not in [model["name"] for model in shown["models"]] + shown["encoders"]:
            raise Refused(f"There is no model {base!r}.", 404)
        folder = await beside(self._shelf.named, str(base))  # a folder beside the page may have the same name
        labels = await beside(self._labels_of, names)
        if not labels:
            raise Refused("Choose a session that has labels.")
        if self._job:  # checked last, because another page may have started meanwhile
            raise Refused("A model is being taught already.", 409)
        words = ["--bundle", str(folder or base), "--keep", "all" if content.get("keep", True) else "none"]
        self._stopped = False
        self._job = asyncio.ensure_future(self._teach(labels, words))
        return web.json_response({}, status=202)

    async def stop(self, request: web.Request) -> web.Response:
        """Stops teaching. All models stay as they are."""
        await content_of(request)
        self._stopped = True
        self._terminate()
        return web.json_response({}, status=202)

    def _labels_of(self, names: List[object]) -> List[Tuple[Recording, Segment]]:
        """The labels of recordings, each with its recording, without what a person has still to name."""
        recordings = [self._sessions.recording(name) for name in names]
        rows = [(recording, row) for recording in recordings for row in read_segments(recording)]
        return [(recording, row) for recording, row in rows if row.activity != UNCERTAIN]

    def _terminate(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.terminate()

    async def _teach(self, labels: List[Tuple[Recording, Segment]], words: List[str]) -> None:
        self._tell(step="getting ready", share=0.0)
        error, figures = "", None
        try:
            with tempfile.TemporaryDirectory(prefix="cosmo-teach-") as folder:
                table, report = Path(folder) / "labels.csv", Path(folder) / "figures.json"
                _write_table(table, labels)
                words = [*COMMAND, "finetune", "--labels", str(table), "--json", str(report), *words]
                error = await self._follow([*words, "--aside", "--progress"])
                if not error:
                    figures = json.loads(report.read_text(encoding="utf-8"))
                    figures["name"] = Path(figures.pop("bundle")).name
        except (OSError, ValueError) as problem:
            error = str(problem)
        finally:
            self._job = None
        if self._stopped and not figures:  # what was taught before it could be stopped is kept
            self._tell(running=False, stopped=True)
        else:
            self._tell(running=False, error=error, figures=figures)
        self._hub.tell("models")

    async def _follow(self, words: List[str]) -> str:
        """Runs the command and reports its progress. Returns the reason if it failed, or an empty string."""
        self._process = process = await asyncio.create_subprocess_exec(
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_be_nice,
        )
        if self._stopped:  # while the process was started
            self._terminate()
        assert process.stdout
        assert process.stderr
        complaint = asyncio.ensure_future(process.stderr.read())
        async for line in process.stdout:
            try:
                progress = json.loads(line)
                self._tell(step=str(progress["step"]), share=float(progress["share"]))
            except (ValueError, KeyError, TypeError):
                continue
        code = await process.wait()
        said = (await complaint).decode(errors="replace")
        if not code:
            return ""
        return said.rpartition("cosmo-runtime: ")[2].strip()[-_MOST_SAID:] or "The training was killed."

    def _tell(self, running: bool = True, **more: Any) -> None:
        self._hub.tell("teaching", running=running, **more)


def _be_nice() -> None:
    os.nice(_NICER)


def _write_table(table: Path, labels: List[Tuple[Recording, Segment]]) -> None:
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["start", "end", "activity", "session"])
        for recording, (begin_ns, end_ns, activity) in labels:
            seconds = [f"{(at_ns - recording.start_ns) / 1e9:.3f}" for at_ns in (begin_ns, end_ns)]
            rows.writerow([*seconds, activity, recording.path])


def _shown(shelf: Shelf) -> Dict[str, Any]:
    """The models on the shelf and the shipped encoders, as the page lists them."""
    in_use = shelf.in_use
    encoders = sorted(path.name for path in SHIPPED_ENCODERS.iterdir() if path.is_dir())
    return {"models": [_entry(shelved, shelved.path == in_use) for shelved in shelf.bundles()], "encoders": encoders}


def _entry(shelved: Shelved, in_use: bool) -> Dict[str, Any]:
    entry = {"name": shelved.name, "shipped": shelved.shipped, "in_use": in_use, "damage": shelved.damage}
    if shelved.bundle:
        provenance = shelved.bundle.provenance
        entry.update(
            activities=list(shelved.bundle.spec.classes),
            sensors=shelved.bundle.spec.sensors,
            about=str(provenance.get("about", "")),
            base=provenance.get("base"),
        )
    return entry
