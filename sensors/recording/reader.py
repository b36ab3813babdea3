"""Reads a recording: events in the order of the run, even from a file that was cut off, and across segments."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Container, Dict, Iterator, List, Mapping, Optional, Tuple

from cosmo_runtime.sensors.events import Event
from cosmo_runtime.sensors.recording.course import Course
from cosmo_runtime.sensors.recording.messages import (
    Message,
    RecordingDamaged,
    RecordingError,
    decode_clocks,
    decode_json,
)
from cosmo_runtime.sensors.recording.part import Part
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.sensors.recording.spelling import STANDING_TOPICS, EventReader
from cosmo_runtime.sensors.recording.standing import Standing
from cosmo_runtime.sensors.recording.wall_clock import WallClock
from cosmo_runtime.sensors.sensor import SensorInfo

Aside = Callable[[Dict[str, Any]], None]
"""Takes the content of a message. It may raise ``ValueError`` with a reason."""


class Recording:
    """A recording on disk: a file or a folder of segments. Each call of ``events`` and ``messages`` reads it again.

    Attributes:
        path: the file or the folder.
        files: the file, or the folder's segments.
        metadata: facts about the run.
        infos: the sensors' infos by name, without counts.
        cut: whether the file was cut off, because the run was killed, the disk was full, or it is still being written.
            Everything before the cut is there.
        holes: the file and the byte behind which nothing is read, of each file that was not cut off but is damaged.
        dropped: events that the run could not record because the disk was too slow; 0 for a file that was cut off.
        start_ns: monotonic time of the first message, where viewers begin to count; 0 for an empty file.
        end_ns: monotonic time of the last message, likewise.
        duration_s: time from the first message to the last.
        wall_offset_ns: the offset that was added to monotonic times in the file. The wall clock may have been set
            later; ``wall_ns`` and ``host_ns`` take that into account.

    Raises:
        RecordingError: the file is missing, is not a recording, or has another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = _open(path)
        first = self.files[0]
        self.metadata = first.metadata
        self.infos: Dict[str, SensorInfo] = {}
        for part in self.files:
            self.infos.update(part.infos)
        self.cut = any(part.cut for part in self.files)
        self.holes = [f"{part.path.name} at byte {part.hole}" for part in self.files if part.hole is not None]
        self.dropped = sum(part.dropped for part in self.files)
        self.wall_offset_ns = first.wall_offset_ns
        begins = [part.first_ns for part in self.files if part.first_ns is not None]
        ends = [part.last_ns for part in self.files if part.last_ns is not None]
        self.start_ns = min(begins, default=0)
        self.end_ns = max(ends, default=0)
        self.duration_s = (self.end_ns - self.start_ns) / 1e9
        self._clock: Optional[WallClock] = None

    def events(self, raw: bool = True, aside: Mapping[str, Aside] = MappingProxyType({})) -> Iterator[Event]:
        """Yields the events in the order in which they were written.

        Args:
            raw: whether to read the devices' own bytes, too. Only who writes the events again needs them.
            aside: takes the content of each message of other topics, all JSON, in its place between the events.

        Raises:
            RecordingError: the file is damaged here, or holds an impossible event. The events before it are sound.
        """
        course = Course(self.infos)
        reader = EventReader(self.infos, raw)
        counts = dict.fromkeys([*reader.topics, *aside], 0)
        standing = Standing()
        for message in self._messages(counts):
            counts[message.topic] += 1
            try:
                if message.topic in aside:
                    aside[message.topic](decode_json(message.data))
                    continue
                event = reader.read(message)
                if event is None:
                    continue
                course.check(event)
            except ValueError as error:
                raise self._refused(message.topic, counts[message.topic], str(error)) from error
            if len(self.files) > 1:
                if standing.has(event):
                    continue
                standing.note(event)
            yield event

    def messages(self, topic: str) -> Iterator[Tuple[int, Dict[str, Any]]]:
        """Yields monotonic time in ns and content of the messages of a JSON topic, for example ``/windows``.

        Raises:
            RecordingDamaged: the file is damaged here. The messages before that are sound. Damage in between, where
                none of these messages is, may stay unseen.
            RecordingError: a message is not a JSON object.
        """
        for number, message in enumerate(self._messages([topic], few=True), 1):
            try:
                content = decode_json(message.data)
            except ValueError as error:
                raise self._refused(topic, number, str(error)) from error
            yield message.at_ns, content

    def standing(self, at_ns: int) -> Standing:
        """What was so just before a time: the state and the correction of each sensor, and the true activity.

        Chunks without such messages are not read if the file has a summary. What is damaged is passed over.
        """
        standing, reader = Standing(), EventReader(self.infos, raw=False)
        for part in self.files:
            with suppress(RecordingDamaged):
                for message in part.messages(STANDING_TOPICS, few=True):
                    if message.at_ns < at_ns:
                        with suppress(ValueError):  # reading the events there reports it
                            event = reader.read(message)
                            if event is not None:
                                standing.note(event)
        return standing

    def wall_ns(self, host_ns: int) -> int:
        """The wall clock's time at a monotonic time."""
        return self._wall_clock().wall_ns(host_ns)

    def host_ns(self, wall_ns: int) -> int:
        """The monotonic time at which the wall clock showed a time, which may lie outside the recording.

        Raises:
            WallTimeError: the wall clock was set so that it never showed this time, or showed it twice.
            RecordingError: a reading of the clocks is invalid.
        """
        return self._wall_clock().host_ns(wall_ns)

    @property
    def began(self) -> str:
        """When it began, in UTC. A model notes this of each recording it learned from, because a file may be moved."""
        return datetime.fromtimestamp(self.wall_ns(self.start_ns) / 1e9, timezone.utc).isoformat()

    def _wall_clock(self) -> WallClock:
        """Reads the readings of both clocks, once."""
        if self._clock is None:
            self._clock = WallClock(self.wall_offset_ns, self.start_ns, self.end_ns, self._clock_readings())
        return self._clock

    def _clock_readings(self) -> List[Tuple[int, int]]:
        """The readings of both clocks, up to damage if there is any. Reading the events reports the damage."""
        readings: List[Tuple[int, int]] = []
        latest_ns = -1
        try:
            for message in self._messages(["/clock"], few=True):
                reading = decode_clocks(message)
                if reading[0] <= latest_ns:
                    if len(self.files) > 1:  # a segment may be finished after the next one has begun
                        continue
                    raise ValueError("its time is not after that of the previous one")
                latest_ns = reading[0]
                readings.append(reading)
        except RecordingDamaged:
            pass
        except ValueError as error:
            raise self._refused("/clock", len(readings) + 1, str(error)) from error
        return readings

    def _refused(self, topic: str, number: int, reason: str) -> RecordingError:
        return RecordingError(f"{self.path}: message {number} on {topic}: {reason}; everything before it can be read")

    def _messages(self, topics: Container[str], few: bool = False) -> Iterator[Message]:
        """Yields the messages of some topics in the order of the files, which is not the order of their times."""
        for part in self.files:
            yield from part.messages(topics, few)


def _open(path: Path) -> List[Part]:
    """The parts of a recording. A last segment that a kill left without a head is skipped."""
    files = segments_of(path)
    if not files:
        return [Part(path)]
    parts = [Part(file) for file in files[:-1]]
    try:
        parts.append(Part(files[-1]))
    except RecordingError:
        if not parts:
            raise
        parts[-1].cut = True
    return parts
