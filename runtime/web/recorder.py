"""Records a run when the page asks for it, and prompts a person through activities meanwhile."""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Union

from cosmo_runtime.runtime.labels.prompt import Activity, Prompter
from cosmo_runtime.runtime.labels.prompted import PromptedLabels
from cosmo_runtime.runtime.labels.table import LabelsError, labels_beside, refuse_existing
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.retention.expiry import ClockNotSet, expires, parse_lifetime, same_person
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Event, host_ns
from cosmo_runtime.sensors.recording import RecordingError, RecordingWriter
from cosmo_runtime.sensors.recording.standing import Standing
from cosmo_runtime.sensors.sensor import SensorInfo

_TELL_NS = 200_000_000
_CLOSE_S = 10.0

Send = Callable[[str, Union[str, bytes]], object]

_log = logging.getLogger(__name__)


class Recorder(Sink):
    """Records the run into recordings that the page starts and ends.

    The loop only hands over events. A separate thread does whatever touches the disk or takes time.

    Args:
        send: takes a key and a message for the pages.
        infos: the sensors' infos.
        metadata: of every recording, unless the page names another participant.
    """

    def __init__(self, send: Send, infos: Mapping[str, SensorInfo], metadata: Mapping[str, str]) -> None:
        self._send = send
        self._infos = infos
        self._metadata = metadata
        self._active: Optional[_Active] = None
        self._standing = Standing()
        self._lock = threading.Lock()
        self._work = ThreadPoolExecutor(1, thread_name_prefix="page recordings")
        self._told_ns = 0
        self._telling: Optional[Future[None]] = None
        self._tell(None)

    def obey(self, command: Mapping[str, Any]) -> None:
        """Carries out a command from the page. May be called from any thread."""
        self._work.submit(self._obey, dict(command))

    def event(self, event: Event) -> None:
        """Records one event, and prompts the person by its time."""
        with self._lock:
            self._standing.note(event)
            active = self._active
            if active is None:
                return
            if not active.ended:
                active.sink.event(event)
        at_ns = host_ns(event)
        if active.prompter and at_ns >= 0:
            active.prompter.advance(at_ns)
            if active.prompter.ended and not active.ending:
                active.ending = True
                self.obey({"do": "stop"})
        if time.monotonic_ns() - self._told_ns > _TELL_NS and (self._telling is None or self._telling.done()):
            self._told_ns = time.monotonic_ns()
            self._telling = self._work.submit(self._tell, active)  # a browser may be slow to receive it

    def outcome(self, outcome: Outcome) -> None:
        """Records one prediction."""
        active = self._active
        if active:
            with self._lock:
                if not active.ended:
                    active.sink.outcome(outcome)

    def outdated(self, window: Window) -> None:
        """Records that a window was not answered."""
        active = self._active
        if active:
            with self._lock:
                if not active.ended:
                    active.sink.outdated(window)

    def close(self) -> None:
        """Ends the recording, if there is one."""
        with suppress(TimeoutError):
            self._work.submit(self._obey, {"do": "stop"}).result(_CLOSE_S)
        self._work.shutdown(wait=False)

    def _obey(self, command: Dict[str, Any]) -> None:
        try:
            do = command.get("do")
            if do == "record" and self._active is None:
                self._begin(command)
            elif do == "stop" and self._active is not None:
                self._end(self._active)
            elif do == "cue" and self._active and self._active.prompter:
                self._active.prompter.obey(command["word"])
        except (RecordingError, LabelsError, ClockNotSet, ValueError, OSError) as error:
            self._tell(self._active, error=str(error))
        except Exception:
            _log.exception("the page asked for %s, and that failed", command.get("do"))

    def _begin(self, command: Mapping[str, Any]) -> None:
        path = Path(command["path"])
        refuse_existing(labels_beside(path))  # the name was free when the page asked
        lifetime = parse_lifetime(command["expires"]) if command.get("expires") else None
        about, who = dict(self._metadata), command.get("participant")
        if who and not same_person(who, about.get("participant", "")):
            for of_somebody_else in ("consent_until", "note"):
                about.pop(of_somebody_else, None)
            about["participant"] = who
        writer = RecordingWriter(path, self._infos, {**about, **expires(lifetime)})
        active = _Active(RecordingSink(writer))
        if command.get("activities"):
            active.prompter = Prompter(
                [Activity(*row) for row in command["activities"]],
                float(command["rest_s"]),
                say=lambda line: None,
                beep=lambda: None,
                on_done=lambda done: self._work.submit(self._keep, active, list(done)),
            )
        with self._lock:
            for event in self._standing.events(time.monotonic_ns()):
                active.sink.event(event)
            self._active = active
        self._tell(active)

    def _end(self, active: _Active) -> None:
        with self._lock:
            active.ended = True
        self._active = None
        active.sink.close()
        trouble = str(active.sink.writer.failure or "")
        if active.prompter:
            active.labels.keep(active.prompter.done, whole=True)
            trouble = trouble or active.labels.warning
        labels = len(active.prompter.done) if active.prompter else 0
        prompted = active.prompter is not None
        self._tell(None, kept=active.name, prompted=prompted, labels=labels, **({"error": trouble} if trouble else {}))

    def _keep(self, active: _Active, done: Sequence[Segment]) -> None:
        if not active.ended:  # its end keeps all
            active.labels.keep(done)

    def _tell(self, active: Optional[_Active], **more: Any) -> None:
        if active and active is not self._active:  # it has ended meanwhile, and that was told
            return
        self._told_ns = time.monotonic_ns()
        told: Dict[str, Any] = {"kind": "recording", "name": None, **more}
        if active:
            cue = active.prompter.cue if active.prompter else None
            told.update(
                name=active.name,
                seconds=round((self._told_ns - active.began_ns) / 1e9, 1),
                size=active.sink.size,
                prompted=active.prompter is not None,
                cue=cue._asdict() if cue else None,
            )
            active.sink.idle()
            if active.sink.writer.failure and not active.ending:  # a full disk; what was recorded before is intact
                active.ending = True
                self.obey({"do": "stop"})
        self._send("recording", json.dumps(told))


class _Active:
    def __init__(self, sink: RecordingSink) -> None:
        self.sink = sink
        self.name = sink.writer.path.stem
        self.began_ns = time.monotonic_ns()
        self.prompter: Optional[Prompter] = None
        self.labels = PromptedLabels(sink.writer.path)
        self.ending = self.ended = False
