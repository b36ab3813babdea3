"""``--follow``: loads a bundle that was put in use in the background, so that the loop only swaps recognizers."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Callable, Collection, Deque, Optional

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.windows.aligner import same_windows

_LOOK_S = 0.25

_log = logging.getLogger(__name__)


class Follower:
    """Watches a shelf in its own thread, and loads, checks and warms up each bundle that is put in use.

    A bundle is refused with a warning, and the running one stays, if it is damaged, no engine can run it, it lacks a
    sensor of the rig, or its windows differ where they must not change.

    Args:
        shelf: knows which bundle is in use.
        running: the bundle that runs now.
        sensors: the rig's sensors.
        recognizer_of: opens the engine of a bundle, in the follower's thread.
        same_windows_only: refuse bundles whose windows differ from those of ``running``, for a run that is recorded.
        hop_s: the run's time from answer to answer, if it is not the bundles' own.
    """

    def __init__(
        self,
        shelf: Shelf,
        running: Bundle,
        sensors: Collection[str],
        recognizer_of: Callable[[Bundle], Recognizer],
        same_windows_only: bool = False,
        hop_s: Optional[float] = None,
    ) -> None:
        self._shelf = shelf
        self._running = running
        self._sensors = sensors
        self._recognizer_of = recognizer_of
        self._same_windows_only = same_windows_only
        self._hop_s = hop_s
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
        """Returns a recognizer that is ready to take over, once. Never waits."""
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
                    self._prepare(load_bundle(in_use).at_hop(self._hop_s))
                complaint = ""
            except Exception as error:  # whatever is wrong with the next bundle, the running one stays
                if str(error) != complaint:
                    _log.warning("%s goes on: %s", self._running.path.name, error)
                complaint = str(error)

    def _prepare(self, bundle: Bundle) -> None:
        name = bundle.path.name
        unknown = bundle.spec.unknown(self._sensors)
        if unknown:
            raise BundleError(f"{name}, which is in use now, {unknown}")
        if self._same_windows_only and not same_windows(bundle.spec, self._running.spec):
            raise BundleError(f"{name}, which is in use now, needs other windows, and a recording holds one kind only")
        self._ready.append(self._recognizer_of(bundle))
        self._running = bundle
