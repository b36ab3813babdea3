"""Writes a recording during a run, without ever delaying the run."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, Mapping, NamedTuple, Optional, Union

from cosmo_runtime.disk import sync_folder
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording.head_and_end import begin, finish
from cosmo_runtime.sensors.recording.messages import (
    Message,
    MessageWriter,
    RecordingError,
    encode_json,
    encode_numbers,
    encode_text,
    not_written,
)
from cosmo_runtime.sensors.recording.sensor_info import SENSOR_METADATA, encode_geometry, encode_info
from cosmo_runtime.sensors.recording.spelling import encode
from cosmo_runtime.sensors.sensor import SensorInfo

_QUEUE_LENGTH = 2000  # about 10 s of an IMU at 100 Hz, a camera at 30, a radar at 20 and the run's messages
_BATCH_S = 0.05  # waking up for every event would cost nearly three times the CPU
_FLUSH_S = 0.25  # half of what a kill may lose
_SYNC_S = 2.0  # most of what a power cut may lose; each costs an SD card about 20 ms
_CLOCK_NS = 10 * 10**9  # a replay unpacks each chunk with a reading twice
_STEP_NS = 10**7  # both clocks are read within this
_GEOMETRY_NS = 10 * 10**9
_ROOM_FOR = 100  # events between two looks at the disk: less than a megabyte
_LEFT_BYTES = 16 * 2**20  # of the disk: days of a log of alarms, which is worth more than recordings

_log = logging.getLogger(__name__)


class RecordingWriter:
    """Records events from its creation until it is closed. Use it as a context manager.

    ``write`` only passes the event to a thread that encodes and writes it, so the disk never delays the caller. If the
    disk is slow, events are dropped and counted. If it is gone, or full but for the last 16 MB, which are left to the
    log of alarms, recording stops, reports it once in the log and in ``failure``, and the caller continues. A kill
    loses the last half second. The file is synced every two seconds, so a power cut loses the last two seconds, and
    what came while the disk was writing those.

    Args:
        path: the new file.
        infos: the sensors' infos by name. Later changes in them are recorded too.
        metadata: facts about the run.
        after_failure: what becomes of the recording after it has stopped, for the message.

    Attributes:
        failure: why recording stopped early; None while all is well.
        size: bytes in the file, as far as they are flushed.
        still_s: 0, because a file that has stopped does not go on.
        wall_offset_ns: wall clock minus the host's monotonic clock when recording began. It is added to all times in
            the file.

    Raises:
        RecordingError: the file exists already or cannot be created, or the disk is full.
    """

    failure: Optional[RecordingError] = None
    size = 0
    still_s = 0.0

    def __init__(
        self,
        path: Path,
        infos: Mapping[str, SensorInfo],
        metadata: Optional[Mapping[str, str]] = None,
        after_failure: str = "nothing more is recorded",
    ) -> None:
        self.path = path
        self._after_failure = after_failure
        self._infos = infos
        self._clocks = _read_clocks()
        self.wall_offset_ns = self._clocks.offset_ns
        self._recorded_infos: Dict[str, Dict[str, str]] = {}
        self._next_geometry_ns = dict.fromkeys(infos, 0)
        self._next_clock_ns = self._clocks.monotonic_ns + round(_FLUSH_S * 1e9)
        self._recorded_clocks = self._clocks
        self._refused = 0  # counted by the caller's thread, when the queue is full or recording has stopped
        self._unflushed = 0  # counted by the writing thread, not yet safe in the file
        self._queue: Deque[Union[Event, Message]] = deque()
        self._closed = threading.Event()
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise not_written(path, error) from error
        try:
            self._mcap = begin(self._file, metadata or {}, self.wall_offset_ns)
            self._messages = MessageWriter(self._mcap, self.wall_offset_ns)
            self._add_changed_infos()
            self._mcap.flush()
            self._leave_room()
        except OSError as error:
            with contextlib.suppress(OSError):  # closing tries once more to write the buffer
                self._file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise not_written(path, error) from error
        self._thread = threading.Thread(target=self._run, name=f"recording {path.name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Events and messages missing from the file, because the disk was too slow or recording stopped."""
        return self._refused + (self._unflushed + len(self._queue) if self.failure else 0)

    @property
    def file(self) -> Path:
        """The file that is being written."""
        return self.path

    @property
    def queued(self) -> int:
        """Events and messages that are waiting to be written."""
        return len(self._queue)

    def write(self, event: Event) -> None:
        """Records an event. The array of a sample must not change afterwards."""
        self._put(event)

    def write_json(self, topic: str, at_ns: int, content: Dict[str, Any]) -> None:
        """Records something other than an event, for example a prediction on ``/predictions``.

        Args:
            topic: its topic in the recording, which begins with ``/`` and is not one of the events' topics.
            at_ns: the monotonic time that it belongs to.
            content: anything that ``json`` can encode.
        """
        self._put(encode_json(topic, at_ns, content))

    def write_text(self, topic: str, at_ns: int, text: str, source: str) -> None:
        """Records a line of text, which viewers list by time. ``source`` says where it comes from."""
        self._put(encode_text(topic, at_ns, text, source, self.wall_offset_ns))

    def write_numbers(self, topic: str, at_ns: int, values: Mapping[str, float]) -> None:
        """Records named numbers. Viewers draw a line for each."""
        self._put(encode_numbers(topic, at_ns, values))

    def close(self) -> None:
        """Writes what is still queued and finishes the file. Never raises; see ``failure``."""
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

    def _run(self) -> None:
        try:
            self._write_until_closed()
        except Exception as error:  # recognition goes on whatever happens to its recording
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            self.failure = RecordingError(
                f"{self.path}: recording stopped: {reason}; what came before is in the file; {self._after_failure}"
            )
            _log.error("%s", self.failure)
            with contextlib.suppress(OSError):
                self._file.close()

    def _write_until_closed(self) -> None:
        self._sync()
        sync_folder(self.path.parent)
        flush_at, sync_at = time.monotonic() + _FLUSH_S, time.monotonic() + _SYNC_S
        while not self._closed.wait(0 if len(self._queue) > _QUEUE_LENGTH // 2 else _BATCH_S):
            self._write_queued()
            self._add_clock()
            if time.monotonic() >= flush_at:
                flush_at = time.monotonic() + _FLUSH_S
                self._add_changed_infos()
                self._mcap.flush()
                self._unflushed = 0
                self.size = self._file.tell()
            if time.monotonic() >= sync_at:
                sync_at = time.monotonic() + _SYNC_S
                self._sync()
        self._write_queued()
        self._add_clock()
        self._add_changed_infos()
        finish(self._mcap, self._refused)
        self._sync()
        self._file.close()

    def _sync(self) -> None:
        """Waits until flushed data is on the disk. Python's global lock is free meanwhile, so no other thread waits."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def _leave_room(self) -> None:
        disk = os.fstatvfs(self._file.fileno())  # of the file, wherever it was moved
        if disk.f_blocks and disk.f_bavail * disk.f_frsize < _LEFT_BYTES:  # some file systems do not know their size
            reason = f"the disk is full, but for the last {_LEFT_BYTES >> 20} MB, which stay free for the log of alarms"
            raise OSError(errno.ENOSPC, reason)

    def _write_queued(self) -> None:
        for number in range(len(self._queue)):
            if number % _ROOM_FOR == 0:
                self._leave_room()
            self._unflushed += 1
            self._write(self._queue.popleft())

    def _write(self, item: Union[Event, Message]) -> None:
        if isinstance(item, Message):
            self._messages.add(item)
            return
        if isinstance(item, Sample) and item.arrival_ns >= self._next_geometry_ns[item.sensor]:
            self._next_geometry_ns[item.sensor] = item.arrival_ns + _GEOMETRY_NS
            for message in encode_geometry(self._infos[item.sensor], item.stamp_ns, self.wall_offset_ns):
                self._messages.add(message)
        for message in encode(item, self._infos, self.wall_offset_ns):
            self._messages.add(message)

    def _add_changed_infos(self) -> None:
        for name, info in self._infos.items():
            fields = encode_info(info)
            if fields != self._recorded_infos.get(name):
                self._recorded_infos[name] = fields
                self._mcap.add_metadata(SENSOR_METADATA + name, fields)

    def _add_clock(self) -> None:
        """Records both clocks every ten seconds, and before and after the wall clock was set."""
        before, self._clocks = self._clocks, _read_clocks()
        was_set = abs(self._clocks.offset_ns - before.offset_ns) > _STEP_NS
        if was_set and before.monotonic_ns > self._recorded_clocks.monotonic_ns:
            self._add_reading(before)
        if was_set or self._clocks.monotonic_ns >= self._next_clock_ns:
            self._add_reading(self._clocks)

    def _add_reading(self, clocks: _Clocks) -> None:
        self._recorded_clocks = clocks
        self._next_clock_ns = clocks.monotonic_ns + _CLOCK_NS
        content = {"monotonic_ns": clocks.monotonic_ns, "wall_ns": clocks.monotonic_ns + clocks.offset_ns}
        self._messages.add(encode_json("/clock", clocks.monotonic_ns, content))


class _Clocks(NamedTuple):
    """A reading of both clocks: the monotonic time, and how far the wall clock is ahead of it."""

    monotonic_ns: int
    offset_ns: int


def _read_clocks() -> _Clocks:
    """Reads both clocks, and tries again if the process was interrupted in between. The last try always counts."""
    for _ in range(5):
        before_ns, wall_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if after_ns - before_ns < 10**6:
            break
    return _Clocks(before_ns, wall_ns - before_ns)
