"""Replays a recording's events, at the original pace or as fast as possible."""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from typing import Any, Callable, Collection, Dict, Iterator, List, Mapping, Optional, Set

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.recognition.evidence import lack_speeds
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick, host_ns
from cosmo_runtime.sensors.recording import Recording, RecordingDamaged

_SLICE_S = 0.1

_log = logging.getLogger(__name__)


def is_same_run(recording: Recording, names: Collection[str], key: str) -> bool:
    """Whether the recorded run cut the same windows from the same sensors. Then its own ticks can close them again."""
    return recording.metadata.get("windows") == key and set(names) == set(recording.infos)


def windows_key(spec: ModelSpec, lateness_ms: float) -> str:
    """Everything that determines a run's windows, as in its recording's metadata ``windows``."""
    return f"{spec.model_dump_json(include={'modalities', 'window_s', 'hop_s'})} lateness {lateness_ms:g} ms"


def replay(
    recording: Recording,
    names: Collection[str],
    own_ticks: bool,
    paced: bool,
    stopped: Callable[[], bool] = lambda: False,
    check: Optional[WindowCheck] = None,
    raw: bool = True,
) -> Iterator[Event]:
    """Yields a recording's events.

    Args:
        recording: what to play.
        names: the sensors to play. Others are skipped.
        own_ticks: use the recording's ticks, which closed late windows, as the clock. Only for the same windows.
            Otherwise the arrival of samples is the clock.
        paced: play at the original pace instead of as fast as possible.
        stopped: called while a paced replay waits. If it returns True, the wait ends.
        check: is told of the windows of the live run.
        raw: whether samples bring the devices' own bytes, too.
    """
    began_ns, first_ns = time.monotonic_ns(), -1
    counts = {name: info.counts for name, info in recording.infos.items() if name in names}
    unseen = {name for name in counts if recording.infos[name].kind == "radar"}  # radars whose first points are to come
    for event in recording.events(raw, {"/windows": check.expect} if check else {}):
        if isinstance(event, (Sample, StateChange, Correction)) and event.sensor not in counts:
            continue
        if paced and host_ns(event) >= 0:
            first_ns = host_ns(event) if first_ns < 0 else first_ns
            _sleep_until(began_ns + host_ns(event) - first_ns, stopped)
        if isinstance(event, Sample):
            counts[event.sensor]["samples"] += 1
            if event.sensor in unseen and len(event.data):
                unseen.discard(event.sensor)
                if lack_speeds(event.data):
                    _log.warning(
                        "%s: the points of %s have no speeds. To a model they stand still, and show no person.",
                        recording.path,
                        event.sensor,
                    )
            if not own_ticks:
                yield Tick(event.arrival_ns)
        elif isinstance(event, Tick) and not own_ticks:
            continue
        yield event
    if check:
        check.expect_no_more()


def _sleep_until(due_ns: int, stopped: Callable[[], bool]) -> None:
    """Sleeps in slices, because Python resumes an interrupted sleep after handling a signal."""
    left_s = (due_ns - time.monotonic_ns()) * 1e-9
    while left_s > 0 and not stopped():
        time.sleep(min(left_s, _SLICE_S))
        left_s = (due_ns - time.monotonic_ns()) * 1e-9


class WindowCheck(Sink):
    """Compares each window with that of the live run, as far as the recording has it: it may be cut off.

    A run writes a window's fingerprint after the event that closed it. So the replay comes to it just after the window.

    Earlier versions recorded fingerprints of windows of raw pictures. For their recordings, these windows are cut, too.

    Args:
        recording: what is replayed.
        raw_aligner: cuts windows of raw pictures, otherwise like the replay's aligner.

    Raises:
        RecordingError: the recording's information on its first window is invalid.

    Attributes:
        same: how many windows are equal bit for bit.
        missing: windows of the live run that have not come yet, as far as the replay has read of them.
        unanswered: ends of the windows that the live run dropped because it had fallen behind. The replay answers
            them, so there is nothing to compare.
    """

    def __init__(self, recording: Recording, raw_aligner: Aligner) -> None:
        self._raw_aligner: Optional[Aligner] = None
        self._raw: Dict[int, str] = {}
        self._came: Dict[int, Optional[str]] = {}  # windows that the live run has not been heard of yet
        self._different: List[int] = []
        self._read_to_ns: float = -1
        self._whole = not recording.cut
        self.same = 0
        self.missing: Dict[int, str] = {}
        self.unanswered: Set[int] = set()
        with suppress(RecordingDamaged):  # the replay reports it when it comes to it
            _, first = next(recording.messages("/windows"), (0, {}))
            self._raw_aligner = raw_aligner if "digest" in first else None

    @property
    def different(self) -> List[int]:
        """Ends of the windows that differ, or that the live run did not have."""
        return sorted([*self._different, *(end_ns for end_ns in self._came if end_ns <= self._read_to_ns)])

    def expect(self, message: Mapping[str, Any]) -> None:
        """Takes the fingerprint of a window of the live run.

        Raises:
            ValueError: the message is not one.
        """
        end_ns, digest = message.get("end_ns"), message.get("digest" if self._raw_aligner else "features")
        if type(end_ns) is not int or not isinstance(digest, (str, type(None))):
            raise ValueError("it is not a fingerprint of a window")
        self._read_to_ns = max(self._read_to_ns, end_ns)
        if digest is None:
            self.unanswered.add(end_ns)
            self._came.pop(end_ns, None)
        elif end_ns in self._came:
            self._compare(end_ns, self._came.pop(end_ns), digest)
        else:
            self.missing[end_ns] = digest

    def expect_no_more(self) -> None:
        """Notes that the recording was read to its end."""
        if self._whole:
            self._read_to_ns = math.inf

    def event(self, event: Event) -> None:
        """Cuts windows of raw pictures, if the recording's fingerprints are of such."""
        if self._raw_aligner:
            self._raw = {window.end_ns: window.digest() for window in self._raw_aligner.feed(event)}

    def outcome(self, outcome: Outcome) -> None:
        """Compares one window."""
        end_ns = outcome.window.end_ns
        if end_ns in self.unanswered:
            return
        digest = self._raw.get(end_ns) if self._raw_aligner else outcome.window.digest()
        if end_ns in self.missing:
            self._compare(end_ns, digest, self.missing.pop(end_ns))
        else:
            self._came[end_ns] = digest

    def _compare(self, end_ns: int, digest: Optional[str], expected: str) -> None:
        if digest == expected:
            self.same += 1
        else:
            self._different.append(end_ns)
