"""Writes a recording that may run for months, as segments of limited length."""

from __future__ import annotations

import logging
import math
import shutil
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from cosmo_runtime.sensors.events import Event, host_ns
from cosmo_runtime.sensors.recording.messages import RecordingError, not_written
from cosmo_runtime.sensors.recording.standing import Standing
from cosmo_runtime.sensors.recording.writer import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

SEGMENT_S = 600.0
_AGAIN_NS = 10 * 10**9
_ROOM_BYTES = 32 * 2**20  # with less, the next segment would soon stop, too; about half a minute of a full rig

_log = logging.getLogger(__name__)


class SegmentedWriter:
    """A ``RecordingWriter`` that writes segments into a folder.

    Other threads open the next segment and finish the last one. The present segment continues until the next one is
    open, so a busy disk delays nobody. If a full disk stops a segment, the next one begins when there is room, which is
    checked every ten seconds of the events' time.

    Args:
        path: the new folder.
        infos: the sensors' infos by name.
        metadata: facts about the run, which every segment repeats.
        segment_s: the length of a segment.
        own_metadata: called for the facts about a segment that begins now, such as when it expires. They replace those
            of the run.
        when_turned: called in another thread at the start, whenever a segment has begun, and while there is no room,
            for tidying.
        segment_bytes: the size at which a segment ends earlier; None for any. It is looked at four times a second.

    Attributes:
        still_s: for how long nothing was recorded, before it went on.

    Raises:
        RecordingError: the folder exists already or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        infos: Mapping[str, SensorInfo],
        metadata: Optional[Mapping[str, str]] = None,
        segment_s: float = SEGMENT_S,
        own_metadata: Callable[[], Mapping[str, str]] = dict,
        when_turned: Callable[[Path], None] = lambda file: None,
        segment_bytes: Optional[int] = None,
    ) -> None:
        self.path = path
        self._infos = infos
        self._metadata = dict(metadata or {})
        self._segment_ns = round(segment_s * 1e9)
        self._segment_bytes = math.inf if segment_bytes is None else segment_bytes
        self._own_metadata = own_metadata
        self._when_turned = when_turned
        self._standing = Standing()
        self._number = 0
        self.still_s = 0.0
        self._lost = 0  # in finished segments
        self._turn_ns: Optional[int] = None
        self._try_ns = 0  # when the next segment may be opened
        self._stopped_ns: Optional[int] = None
        self._refused = ""  # why the next segment could not be opened
        self._opening: Optional[threading.Thread] = None
        self._opened: Optional[RecordingWriter] = None
        self._finishing: List[threading.Thread] = []
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise not_written(path, error) from error
        self._writer = self._next()
        self._tidy()

    @property
    def file(self) -> Path:
        """The segment that is being written."""
        return self._writer.path

    @property
    def failure(self) -> Optional[RecordingError]:
        """Why nothing is recorded now; None while all is well."""
        return self._writer.failure

    @property
    def dropped(self) -> int:
        """Events and messages that are missing from all segments."""
        return self._lost + self._writer.dropped

    @property
    def queued(self) -> int:
        """Events and messages that are waiting to be written."""
        return self._writer.queued

    def write(self, event: Event) -> None:
        """Records an event. The array of a sample must not change afterwards."""
        at_ns = host_ns(event)
        if at_ns >= 0:
            self._turn_ns = at_ns + self._segment_ns if self._turn_ns is None else self._turn_ns
            if self.failure and self._stopped_ns is None:
                self._stopped_ns, self._try_ns = at_ns, at_ns + _AGAIN_NS
            if at_ns >= self._turn_ns or self._writer.size >= self._segment_bytes or self.failure:
                self._turn(at_ns)
        self._standing.note(event)
        self._writer.write(event)

    def write_json(self, topic: str, at_ns: int, content: Dict[str, Any]) -> None:
        """As ``RecordingWriter`` does."""
        self._writer.write_json(topic, at_ns, content)

    def write_text(self, topic: str, at_ns: int, text: str, source: str) -> None:
        """As ``RecordingWriter`` does."""
        self._writer.write_text(topic, at_ns, text, source)

    def write_numbers(self, topic: str, at_ns: int, values: Mapping[str, float]) -> None:
        """As ``RecordingWriter`` does."""
        self._writer.write_numbers(topic, at_ns, values)

    def close(self) -> None:
        """Writes what is still queued and finishes all segments. Never raises; see ``failure``."""
        if self._opening:
            self._opening.join()
        if self._opened:  # it is empty
            self._opened.close()
            self._opened.path.unlink()
        self._writer.close()
        for thread in self._finishing:
            thread.join()

    def __enter__(self) -> SegmentedWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _turn(self, at_ns: int) -> None:
        """Switches to the next segment if it is open. Otherwise has it opened."""
        opening = self._opening is not None and self._opening.is_alive()  # looked at first: it sets what it has opened
        if self._opened is None:
            if at_ns >= self._try_ns and not opening:
                self._try_ns = at_ns + _AGAIN_NS
                self._opening = threading.Thread(target=self._open, daemon=True)
                self._opening.start()
            return
        finished, self._writer, self._opened, self._opening = self._writer, self._opened, None, None
        self._turn_ns, self._try_ns = at_ns + self._segment_ns, 0
        if self._stopped_ns is not None:
            still_s, self._stopped_ns = (at_ns - self._stopped_ns) / 1e9, None
            self.still_s += still_s
            _log.warning("%s: recording goes on after %.0f s, in %s", self.path, still_s, self._writer.path.name)
        for event in self._standing.events(at_ns):
            self._writer.write(event)
        self._finishing = [thread for thread in self._finishing if thread.is_alive()]
        thread = threading.Thread(target=self._finish, args=(finished,))
        self._finishing.append(thread)
        thread.start()

    def _open(self) -> None:
        """Opens the next segment. Without room for it the present one goes on if it can, and it is tried again."""
        try:
            if self.failure:
                self._when_turned(self._writer.path)
                if shutil.disk_usage(self.path).free < _ROOM_BYTES:
                    return
            self._opened = self._next()
            self._refused = ""
        except (RecordingError, OSError) as error:
            if str(error) != self._refused:
                _log.error("%s", error)
            self._refused = str(error)

    def _finish(self, writer: RecordingWriter) -> None:
        writer.close()
        self._lost += writer.dropped
        self._when_turned(self._writer.path)

    def _tidy(self) -> None:
        thread = threading.Thread(target=self._when_turned, args=(self._writer.path,))
        self._finishing.append(thread)
        thread.start()

    def _next(self) -> RecordingWriter:
        number = self._number + 1
        name = f"{number:06d}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.mcap"
        metadata = {**self._metadata, **self._own_metadata(), "segment": str(number)}
        writer = RecordingWriter(self.path / name, self._infos, metadata, "it goes on when there is room")
        self._number = number
        return writer
