"""Reads a recording back: events in the order of the run, also from a file that was cut."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Metadata
from mcap.records import Message as McapMessage
from mcap.stream_reader import breakup_chunk
from mcap.writer import MCAP0_MAGIC
from zstandard import ZstdError

from sensors.events import Event
from sensors.recording.messages import (
    EVENT_TOPICS,
    FORMAT_VERSION,
    SENSOR_METADATA,
    Message,
    RecordingError,
    decode,
    decode_info,
    decode_raw,
)
from sensors.sensor import SensorInfo

_RECORD_HEAD = struct.Struct("<BQ")  # of every MCAP record: opcode, length of what follows
_CHUNK_TIMES = struct.Struct("<QQ")  # first and last log time, at the start of a chunk
_DAMAGE = (McapError, ZstdError, struct.error, ValueError, LookupError, OverflowError, MemoryError)


class Recording:
    """A recording on disk. It is read anew, from its start, by every call of ``events`` and ``messages``.

    Attributes:
        path: the file.
        metadata: what the run told of itself.
        infos: of the sensors, by name, without counts.
        cut: the file ends before its end, because the run was killed or the disk was full (or it is still being
            written); all before the cut is there.
        dropped: events that the run could not record because the disk was too slow; 0 of a file that was cut.
        start_ns: monotonic time of the first thing recorded, where viewers begin to count; 0 of an empty file.
        duration_s: from the first thing recorded to the last.
        wall_offset_ns: what to add to its monotonic times for the wall clock's.

    Raises:
        RecordingError: no such file, no recording, or one of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: Dict[str, str] = {}
        self.infos: Dict[str, SensorInfo] = {}
        self.cut = True
        self.dropped = 0
        self.start_ns = 0
        self.duration_s = 0.0
        self._chunks: List[int] = []  # offsets in the file
        try:
            with path.open("rb") as file:
                self._scan(file)
        except OSError as error:
            raise RecordingError(f"{path} cannot be read: {error.strerror}") from error

    def events(self) -> Iterator[Event]:
        """Yields the events in the order in which they were written.

        Raises:
            RecordingError: the file is damaged here; the events before are sound.
        """
        raw: Dict[str, bytes] = {}  # by sensor, for its next sample
        for message in self._messages():
            sensor = message.topic.split("/")[1]
            if message.topic.endswith("/raw"):
                raw[sensor] = decode_raw(message.data)
            elif message.topic in EVENT_TOPICS:
                yield decode(message, raw.pop(sensor, b""))

    def messages(self, topic: str) -> Iterator[Tuple[int, Dict[str, Any]]]:
        """Yields monotonic time in ns and content of the messages of a JSON topic, for example ``/predictions``.

        Raises:
            RecordingError: the file is damaged here; the messages before are sound.
        """
        for message in self._messages():
            if message.topic == topic:
                yield message.at_ns, json.loads(message.data)

    def _scan(self, file: BinaryIO) -> None:
        """Reads the metadata and finds the whole chunks, passing over what is in them."""
        if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise RecordingError(f"{self.path} is no MCAP file")
        size = os.fstat(file.fileno()).st_size
        metadata: Dict[str, Dict[str, str]] = {}
        times: List[int] = []
        begin = file.tell()
        while self.cut and begin + _RECORD_HEAD.size <= size:
            opcode, length = _RECORD_HEAD.unpack(file.read(_RECORD_HEAD.size))
            end = begin + _RECORD_HEAD.size + length
            if opcode == 0 or end > size:  # after a loss of power a file may end in zeros
                break
            try:
                if opcode == Opcode.METADATA:
                    record = Metadata.read(ReadDataStream(io.BytesIO(file.read(length))))
                    metadata[record.name] = record.metadata
                elif opcode == Opcode.CHUNK:
                    times += _CHUNK_TIMES.unpack(file.read(min(length, _CHUNK_TIMES.size)))
                    self._chunks.append(begin)
                elif opcode == Opcode.DATA_END:
                    self.cut = False
            except _DAMAGE as error:
                raise self._damaged(begin) from error
            begin = end
            file.seek(begin)
        try:
            self._take(metadata)
        except _DAMAGE as error:
            raise RecordingError(f"{self.path} is damaged in its metadata") from error
        if times:
            self.start_ns = min(times) - self.wall_offset_ns
            self.duration_s = (max(times) - min(times)) / 1e9

    def _take(self, metadata: Dict[str, Dict[str, str]]) -> None:
        head = metadata.get("cosmo-runtime")
        if head is None:
            raise RecordingError(f"{self.path} is no recording of cosmo-runtime")
        if head["format"] != FORMAT_VERSION:
            raise RecordingError(
                f"{self.path} has version {head['format']} of the recording format, and this cosmo-runtime reads "
                f"version {FORMAT_VERSION}: use the one that wrote it"
            )
        self.wall_offset_ns = int(head["wall_offset_ns"])
        self.metadata = metadata.get("cosmo-runtime.run", {})
        for name, fields in metadata.items():
            if name.startswith(SENSOR_METADATA):
                sensor = name[len(SENSOR_METADATA) :]
                self.infos[sensor] = decode_info(sensor, fields)
        self.dropped = int(metadata.get("cosmo-runtime.end", {}).get("dropped", 0))

    def _messages(self) -> Iterator[Message]:
        """Yields all messages in the order of the file, which is not the order of their times."""
        topics: Dict[int, str] = {}
        with self.path.open("rb") as file:
            for offset in self._chunks:
                file.seek(offset + _RECORD_HEAD.size)
                try:
                    messages = self._read_chunk(file, topics)
                except _DAMAGE as error:
                    if self.cut and offset == self._chunks[-1]:
                        return
                    raise self._damaged(offset) from error
                yield from messages

    def _read_chunk(self, file: BinaryIO, topics: Dict[int, str]) -> List[Message]:
        messages = []
        for record in breakup_chunk(Chunk.read(ReadDataStream(file)), validate_crc=True):
            if isinstance(record, McapMessage):
                at_ns = record.log_time - self.wall_offset_ns
                stamp_ns = record.publish_time - self.wall_offset_ns
                messages.append(Message(topics[record.channel_id], at_ns, stamp_ns, record.data))
            elif isinstance(record, Channel):
                topics[record.id] = record.topic
        return messages

    def _damaged(self, offset: int) -> RecordingError:
        return RecordingError(f"{self.path} is damaged at byte {offset}; what stands before can be read")
