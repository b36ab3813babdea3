"""A message every minute, whatever happens, about the device and its health: in a file, the journal, and by MQTT.

What would make the last message wrong in the very place where it is read, the broker, is told at once.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional

from cosmo_runtime.models.files import write_whole

if TYPE_CHECKING:
    from cosmo_runtime.runtime.health.vitals import Vitals

FILE = "health.json"
EVERY_S = 60.0

_LOOK_S = 0.5  # for the first window

_log = logging.getLogger(__name__)


def in_words(message: Mapping[str, Any], ill: str) -> str:
    """A heartbeat in a line.

    Args:
        message: the heartbeat.
        ill: what a run is called that is not well.
    """
    troubles = "; ".join(message["troubles"])
    if not message["well"]:
        return f"{ill}: {troubles}"
    return ("starting" if message.get("starting") else "well") + (f", but {troubles}" if troubles else "")


class Heartbeat:
    """Beats in its own thread: at the start, with the first window, then every minute. Use it as a context manager.

    Args:
        folder: the folder of the run's state, which holds the file and whose disk is watched.
        vitals: the run's.
        version: the program's.
        standing: names of the alarms that nobody has acknowledged.
        tell: further callbacks, each called with the message as JSON.
        every_s: time between beats.
        wake: set by others for a beat at once.
    """

    def __init__(
        self,
        folder: Path,
        vitals: Vitals,
        version: str,
        standing: Callable[[], List[str]] = list,
        tell: Optional[Callable[[str], None]] = None,
        every_s: float = EVERY_S,
        wake: Optional[threading.Event] = None,
    ) -> None:
        self._folder = folder
        self._vitals = vitals
        self._version = version
        self._standing = standing
        self._tell = tell
        self._every_s = every_s
        self._wake = wake or threading.Event()
        self._ended = False
        self._last_state = ""
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        ended = False
        while True:
            waits_for_window = self._vitals.last is None
            try:
                self._beat(running=not ended)
            except Exception as error:  # the next one may succeed
                _log.info("no heartbeat: %s", error)
            if ended:
                return
            ended = self._wait(waits_for_window)

    def _wait(self, for_first_window: bool) -> bool:
        """Waits for the next beat. Returns whether the run has ended."""
        next_beat = time.monotonic() + self._every_s
        while not self._wake.is_set():
            left_s = next_beat - time.monotonic()
            if left_s <= 0 or (for_first_window and self._vitals.last is not None):
                break
            self._wake.wait(min(left_s, _LOOK_S) if for_first_window else left_s)
        self._wake.clear()
        return self._ended

    def _beat(self, running: bool) -> None:
        message = {**self._message(), "running": running}
        words = json.dumps(message)
        state = in_words(message, "degraded")
        changed, self._last_state = state != self._last_state, state
        level = logging.WARNING if changed or "JOURNAL_STREAM" in os.environ else logging.INFO
        _log.log(level, "%s", state)
        if self._tell:
            self._tell(words)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._folder / FILE, words.encode())
        except OSError as error:  # a full disk; journal and broker have heard
            _log.log(level, "%s cannot be written: %s", self._folder / FILE, error.strerror)

    def _message(self) -> Dict[str, Any]:
        disk = shutil.disk_usage(next(path for path in (self._folder, *self._folder.parents) if path.exists()))
        return {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "device": platform.node(),
            "version": self._version,
            **self._vitals.as_dict(),
            "alarms": self._standing(),
            "disk_free_bytes": disk.free,
            "disk_free_share": round(disk.free / disk.total, 4),
        }
