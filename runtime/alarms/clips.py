"""Records a clip around an alarm. The last seconds wait in memory, and only an alarm writes them to the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from datetime import datetime, timedelta
from pathlib import Path
from typing import Callable, Deque, Dict, List, Mapping, NamedTuple, Optional

from pydantic import BaseModel, ConfigDict, Field

from cosmo_runtime.runtime.alarms.rules import as_word
from cosmo_runtime.runtime.recognition.loop import Sink
from cosmo_runtime.runtime.retention.expiry import ClockNotSet, Lifetime, expires
from cosmo_runtime.sensors.events import Event, Sample, Tick, Truth, host_ns
from cosmo_runtime.sensors.recording import RecordingError, RecordingWriter
from cosmo_runtime.sensors.recording.standing import Standing
from cosmo_runtime.sensors.sensor import SensorInfo

_LAG_NS = 5 * 10**9  # an alarm is raised a few windows after its cause
_WRITER_FILL = 1500  # events that may wait for the disk; beyond its queue, the writer drops events
_LAST_WRITES_S = 10.0  # how long a run that ends waits for a slow disk
_EVENT_BYTES = 300  # bytes of an event without its arrays

_log = logging.getLogger(__name__)


class ClipConfig(BaseModel):
    """``[clips]``: the recording around an alarm whose rule has ``clip = true``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    before_s: float = Field(30.0, ge=0, le=600, description="before the alarm")
    after_s: float = Field(60.0, ge=0, le=3600, description="after it")
    keep: Lifetime = Field(timedelta(days=30), description="`purge` deletes older clips")
    most_mb: float = Field(128.0, gt=0, description="memory for the time before the alarm")


class _Request(NamedTuple):
    name: str
    at_ns: int
    file: str


class ClipRing(Sink):
    """Holds the last seconds of events, limited in time and bytes, and records them on request.

    Another alarm during a clip extends it. If a clip cannot be written, this is logged once, and the run goes on. The
    writer leaves the last bytes of the disk to the log, which is worth more than clips.

    Args:
        folder: the clips' folder, created with the first clip.
        infos: the sensors' infos.
        config: the time before and after an alarm, the memory, and a clip's lifetime.
        local_time: the local time at a time of the host's monotonic clock, for names.
        metadata: of every clip. If it has an expiry, no clip outlives that.

    Attributes:
        most_bytes: the memory that the waiting events may take.
    """

    def __init__(
        self,
        folder: Path,
        infos: Mapping[str, SensorInfo],
        config: ClipConfig,
        local_time: Callable[[int], datetime],
        metadata: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._infos = infos
        self._local_time = local_time
        self._metadata = metadata
        self._before_ns, self._after_ns = round(config.before_s * 1e9), round(config.after_s * 1e9)
        self.most_bytes = round(config.most_mb * 1e6)
        self._keep = config.keep
        self._ring: Deque[Event] = deque()
        self._past: Deque[Event] = deque()  # before the ring: what a clip holds already, and the next may need, too
        self._bytes = 0
        self._newest_ns = 0
        self._standing = Standing()  # before the ring begins
        self._requests: Deque[_Request] = deque()
        self._writer: Optional[RecordingWriter] = None
        self._refused = False  # the last clip could not be begun
        self._finishing: List[threading.Thread] = []
        self._end_ns = 0

    def request(self, name: str, at_ns: int) -> str:
        """Requests a clip around a time, and returns its file's name: that of the present clip, which gets longer."""
        file = self._name(name, at_ns)
        if self._requests:
            file = self._requests[-1].file
        elif self._writer:
            file = self._writer.path.name
        self._requests.append(_Request(name, at_ns, file))
        return file

    @property
    def held_bytes(self) -> int:
        """The memory that the waiting events take."""
        return self._bytes

    def event(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, Tick):
            self._newest_ns = max(self._newest_ns, event.now_ns)
        else:
            self._ring.append(event)
            self._bytes += _size(event)
            self._newest_ns = max(self._newest_ns, host_ns(event))
        while self._requests:
            self._begin(self._requests.popleft())
        if self._writer:
            self._write_on(self._writer)
        self._forget(self._past)
        while self._writer and self._bytes > self.most_bytes:  # the queue before this sink may be full
            time.sleep(0.005)
            self._write_on(self._writer)
            self._forget(self._past)
        if not self._writer:
            self._forget(self._ring)

    def close(self) -> None:
        """Ends the present clip, if any."""
        while self._requests:
            self._begin(self._requests.popleft())
        patience = time.monotonic() + _LAST_WRITES_S
        while self._writer and self._ring and time.monotonic() < patience:
            self._write_on(self._writer)
            time.sleep(0.01)
        if self._writer:
            _finish(self._writer)

    def _begin(self, request: _Request) -> None:
        end_ns = request.at_ns + self._after_ns
        if self._writer:
            self._end_ns = max(self._end_ns, end_ns)
            return
        start_ns = request.at_ns - self._before_ns
        self._past.extend(self._ring)
        self._ring, self._past = self._past, deque()
        while self._ring and host_ns(self._ring[0]) < start_ns:
            self._drop(self._ring)
        path = self._folder / request.file
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            metadata = {**self._metadata, "alarm": request.name, **self._expiry()}
            self._writer = RecordingWriter(path, self._infos, metadata)
        except (RecordingError, OSError) as error:
            if not self._refused:
                _log.error("no clip of alarm %s, nor of those to come while this lasts: %s", request.name, error)
            self._refused = True
            return
        self._refused = False
        self._end_ns = end_ns
        first_ns = min((host_ns(event) for event in self._ring if not isinstance(event, Truth)), default=start_ns)
        for event in self._standing.events(first_ns):
            self._writer.write(event)
        _log.warning("alarm %s is recorded to %s", request.name, path)

    def _expiry(self) -> Dict[str, str]:
        """When the clip may be deleted. Without a set clock it never expires, because it may show a fall."""
        try:
            return expires(self._keep, self._metadata.get("expires"))
        except ClockNotSet:
            _log.warning("this machine's clock is not set, so the clip has no expiry; delete it by hand")
            return {}

    def _write_on(self, writer: RecordingWriter) -> None:
        """Passes waiting events on, as far as the disk keeps up, and ends the clip when its time is over."""
        while self._ring and writer.queued < _WRITER_FILL and host_ns(self._ring[0]) <= self._end_ns:
            event = self._ring.popleft()
            self._past.append(event)
            writer.write(event)
        over = self._newest_ns > self._end_ns and (not self._ring or host_ns(self._ring[0]) > self._end_ns)
        if over or writer.failure:
            self._writer = None
            # Python 3.8 keeps a lock of each thread that nobody asks whether it has ended
            self._finishing = [thread for thread in self._finishing if thread.is_alive()]
            self._finishing.append(threading.Thread(target=_finish, args=(writer,), daemon=False))
            self._finishing[-1].start()  # it waits for the disk

    def _forget(self, events: Deque[Event]) -> None:
        """Drops what no clip will need, and what there is no memory for."""
        oldest_ns = self._newest_ns - self._before_ns - _LAG_NS
        while events and (self._bytes > self.most_bytes or host_ns(events[0]) < oldest_ns):
            self._drop(events)

    def _drop(self, events: Deque[Event]) -> None:
        event = events.popleft()
        self._bytes -= _size(event)
        self._standing.note(event)

    def _name(self, name: str, at_ns: int) -> str:
        return f"{as_word(name, '-')}-{self._local_time(at_ns):%Y%m%d-%H%M%S}.mcap"


def _finish(writer: RecordingWriter) -> None:
    writer.close()
    if writer.dropped and not writer.failure:  # which it has told itself
        _log.warning("%s: the disk was too slow; %d events are not in it", writer.path, writer.dropped)


def _size(event: Event) -> int:
    return _EVENT_BYTES + (event.data.nbytes + len(event.raw) if isinstance(event, Sample) else 0)
