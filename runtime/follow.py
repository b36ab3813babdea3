"""``--follow``: makes the bundle that is newly in use ready beside the running one, so that the loop only swaps."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Callable, Collection, Deque, Optional

from models.bundle import Bundle, BundleError, load_bundle
from models.shelf import Shelf
from runtime.aligner import same_windows
from runtime.recognizer import Recognizer

_LOOK_S = 0.25

_log = logging.getLogger(__name__)


class Follower:
    """Looks at a shelf in a thread of its own, and there loads, checks and warms up what has been put in use.

    What cannot run here is refused with a warning, and the running bundle goes on: it is damaged, no engine runs it,
    it does not know a sensor of the rig, or it asks for other windows where they must stay.

    Args:
        shelf: says which bundle is in use.
        running: the bundle that runs.
        sensors: of the rig.
        recognizer_of: opens the engine of a bundle, in the follower's thread.
        same_windows_only: other windows than those of ``running`` are refused, since a recording keeps but one kind.
    """

    def __init__(
        self,
        shelf: Shelf,
        running: Bundle,
        sensors: Collection[str],
        recognizer_of: Callable[[Bundle], Recognizer],
        same_windows_only: bool = False,
    ) -> None:
        self._shelf = shelf
        self._running = running
        self._sensors = sensors
        self._recognizer_of = recognizer_of
        self._same_windows_only = same_windows_only
        self._ready: Deque[Recognizer] = deque(maxlen=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def take(self) -> Optional[Recognizer]:
        """Returns the recognizer that is to take over, once, if there is one; never waits."""
        return self._ready.popleft() if self._ready else None

    def _watch(self) -> None:
        seen, complaint = self._running.path, ""
        while not self._stop.wait(_LOOK_S):
            try:
                in_use = self._shelf.in_use
                if in_use == seen:
                    continue
                seen = in_use
                if in_use != self._running.path:
                    self._prepare(load_bundle(in_use))
                complaint = ""
            except Exception as error:  # whatever ails the next one, the running one goes on
                if str(error) != complaint:
                    _log.warning("%s goes on: %s", self._running.path.name, error)
                complaint = str(error)

    def _prepare(self, bundle: Bundle) -> None:
        name = bundle.path.name
        unknown = [sensor for sensor in self._sensors if sensor not in bundle.spec.sensors]
        if unknown:
            known = ", ".join(bundle.spec.sensors)
            raise BundleError(f"{name}, which is in use now, does not know {', '.join(unknown)}; it knows {known}")
        if self._same_windows_only and not same_windows(bundle.spec, self._running.spec):
            raise BundleError(
                f"{name}, which is in use now, asks for other windows, of which a recording keeps but one kind"
            )
        self._ready.append(self._recognizer_of(bundle))
        self._running = bundle
