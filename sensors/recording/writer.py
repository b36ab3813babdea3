"""Writes a recording while a run goes on, and never holds the run up."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, Mapping, Optional, Union

from mcap.writer import CompressionType, Writer

from sensors.events import Event, Sample
from sensors.recording.messages import (
    FORMAT_VERSION,
    SENSOR_METADATA,
    Message,
    RecordingError,
    encode,
    encode_geometry,
    encode_info,
    encode_json,
    register_channel,
)
from sensors.sensor import SensorInfo

_QUEUE_LENGTH = 2000  # some 10 s of an IMU at 100 Hz, a camera at 30, a radar at 20 and what the run adds
_BATCH_S = 0.05  # waking for every event would cost nearly three times the CPU
_FLUSH_S = 0.25  # half of what a kill may take
_CLOCK_NS = 10**9
_GEOMETRY_NS = 10 * 10**9

_log = logging.getLogger(__name__)


class RecordingWriter:
    """Records events from the moment it is made until it is closed; use as a context manager.

    ``write`` only hands over to a thread that encodes and writes, so the disk never holds the caller up: when the
    disk is slow, events are dropped and counted; when it is full or gone, recording stops, says so once in the log
    and in ``failure``, and the caller goes on. A kill loses what came in the last half second.

    Args:
        path: the new file.
        infos: of the sensors by name; what changes in them later is recorded too.
        metadata: what is to be known of the run.

    Attributes:
        failure: why recording stopped before it was closed; None while all is well.
        wall_offset_ns: wall clock minus the host's monotonic clock in the file.

    Raises:
        RecordingError: the file exists already, or cannot be made.
    """

    failure: Optional[RecordingError] = None

    def __init__(
        self, path: Path, infos: Mapping[str, SensorInfo], metadata: Optional[Mapping[str, str]] = None
    ) -> None:
        self.path = path
        self._infos = infos
        self.wall_offset_ns = time.time_ns() - time.monotonic_ns()
        self._channels: Dict[str, int] = {}
        self._recorded_infos: Dict[str, Dict[str, str]] = {}
        self._next_geometry_ns = dict.fromkeys(infos, 0)
        self._next_clock_ns = 0
        self._refused = 0  # counted by the caller's thread: the queue was full, or recording has stopped
        self._unflushed = 0  # counted by the writing thread: not yet safe in the file
        self._queue: Deque[Union[Event, Message]] = deque()
        self._closed = threading.Event()
        try:
            self._file = path.open("xb")
        except FileExistsError as error:
            raise RecordingError(f"{path} exists already: choose another name, or move it away") from error
        except OSError as error:
            raise RecordingError(f"{path} cannot be written: {error.strerror}") from error
        try:
            self._mcap = Writer(self._file, compression=CompressionType.ZSTD)
            self._start(metadata or {})
        except OSError as error:
            with contextlib.suppress(OSError):  # closing tries once more to write what is buffered
                self._file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise RecordingError(f"{path} cannot be written: {error.strerror}") from error
        self._thread = threading.Thread(target=self._run, name=f"recording {path.name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Events and messages that are not in the file, because the disk was too slow or recording stopped."""
        return self._refused + (self._unflushed + len(self._queue) if self.failure else 0)

    def write(self, event: Event) -> None:
        """Records an event. The array of a sample must not change afterwards."""
        self._put(event)

    def write_json(self, topic: str, at_ns: int, content: Dict[str, Any]) -> None:
        """Records something that is no event, for example a prediction on ``/predictions``.

        Args:
            topic: its name in the recording; begins with ``/`` and is none of the events' topics.
            at_ns: the time of the monotonic clock that it belongs to.
            content: whatever ``json`` can spell.
        """
        self._put(encode_json(topic, at_ns, content))

    def close(self) -> None:
        """Writes what is still queued and finishes the file. Never raises; ``failure`` tells how it went."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, item: Union[Event, Message]) -> None:
        if self.failure or len(self._queue) >= _QUEUE_LENGTH:
            self._refused += 1
        else:
            self._queue.append(item)

    def _start(self, metadata: Mapping[str, str]) -> None:
        self._mcap.start()
        version = {"format": FORMAT_VERSION, "wall_offset_ns": str(self.wall_offset_ns)}
        self._mcap.add_metadata("cosmo-runtime", version)
        self._mcap.add_metadata("cosmo-runtime.run", dict(metadata))
        self._add_changed_infos()
        self._mcap.flush()

    def _run(self) -> None:
        try:
            self._write_until_closed()
        except Exception as error:  # recognition outlives whatever befalls its recording
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            self.failure = RecordingError(f"{self.path}: recording stopped: {reason}; what was written before is kept")
            _log.error("%s", self.failure)
            with contextlib.suppress(OSError):
                self._file.close()

    def _write_until_closed(self) -> None:
        flush_at = time.monotonic() + _FLUSH_S
        while not self._closed.wait(_BATCH_S):
            self._write_queued()
            if time.monotonic() >= flush_at:
                flush_at = time.monotonic() + _FLUSH_S
                self._add_clock()
                self._add_changed_infos()
                self._mcap.flush()
                self._unflushed = 0
        self._write_queued()
        self._add_changed_infos()
        self._mcap.add_metadata("cosmo-runtime.end", {"dropped": str(self._refused)})
        self._mcap.finish()
        self._file.close()

    def _write_queued(self) -> None:
        for _ in range(len(self._queue)):
            self._unflushed += 1
            self._write(self._queue.popleft())

    def _write(self, item: Union[Event, Message]) -> None:
        if isinstance(item, Message):
            self._add(item)
            return
        if isinstance(item, Sample) and item.arrival_ns >= self._next_geometry_ns[item.sensor]:
            self._next_geometry_ns[item.sensor] = item.arrival_ns + _GEOMETRY_NS
            for message in encode_geometry(self._infos[item.sensor], item.stamp_ns, self.wall_offset_ns):
                self._add(message)
        for message in encode(item, self.wall_offset_ns):
            self._add(message)

    def _add(self, message: Message) -> None:
        if message.topic not in self._channels:
            self._channels[message.topic] = register_channel(self._mcap, message.topic)
        self._mcap.add_message(
            self._channels[message.topic],
            log_time=message.at_ns + self.wall_offset_ns,
            publish_time=message.stamp_ns + self.wall_offset_ns,
            data=message.data,
        )

    def _add_changed_infos(self) -> None:
        for name, info in self._infos.items():
            fields = encode_info(info)
            if fields != self._recorded_infos.get(name):
                self._recorded_infos[name] = fields
                self._mcap.add_metadata(SENSOR_METADATA + name, fields)

    def _add_clock(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_clock_ns:
            self._next_clock_ns = now_ns + _CLOCK_NS
            self._add(encode_json("/clock", now_ns, {"monotonic_ns": now_ns, "wall_ns": time.time_ns()}))
