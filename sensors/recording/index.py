"""Where in a recording each moment stands, so that a piece of it is read without the rest."""

from __future__ import annotations

import struct
from array import array
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO, Dict, Iterator, List, Optional, Tuple

import numpy as np
from mcap.opcode import Opcode
from mcap.records import Channel, Schema

from cosmo_runtime.sensors.events import Event
from cosmo_runtime.sensors.recording.mcap_file import (
    Damage,
    NoMcap,
    RawMessage,
    Record,
    read_contents,
    read_leaps,
    read_times,
    records,
    records_from,
)
from cosmo_runtime.sensors.recording.messages import Message, RecordingDamaged, RecordingError
from cosmo_runtime.sensors.recording.part import Part
from cosmo_runtime.sensors.recording.reader import Recording
from cosmo_runtime.sensors.recording.spelling import EventReader

_CHANNEL_NUMBER = struct.Struct("<H")
_HEAD_BYTES = 9
_LOOSE_NS = 250_000_000  # messages outside chunks are grouped up to this length
_MOST_LOOSE = 500


class RecordingIndex:
    """The parts of a recording in the order of its files. A part is a chunk, or some messages outside chunks.

    In our own recordings a part is a quarter of a second long. An hour's index takes half a megabyte.

    Args:
        recording: the recording.

    Attributes:
        begins_ns, ends_ns: (parts,) int64, the first and the last arrival in each part, on the monotonic clock.
        channels, schemas: those of all files, by the index's own numbers.

    Raises:
        RecordingError: the head of a part is damaged, or a file cannot be read.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.channels: Dict[int, Channel] = {}
        self.schemas: Dict[int, Schema] = {}
        self._files = [_FileIndex(file) for file in recording.files]
        self._numbers = [self._take_channels(file) for file in self._files]
        self._starts = np.cumsum([0, *(len(file.first) for file in self._files)])
        none = np.empty(0, np.int64)
        self.begins_ns = np.concatenate([none, *(np.array(f.begins, np.int64) - f.wall_offset_ns for f in self._files)])
        self.ends_ns = np.concatenate([none, *(np.array(f.ends, np.int64) - f.wall_offset_ns for f in self._files)])

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self.begins_ns)

    def parts(self, start_ns: int, end_ns: int) -> List[int]:
        """The numbers of the parts that hold messages between two times."""
        return np.flatnonzero((self.begins_ns <= end_ns) & (self.ends_ns >= start_ns)).tolist()

    def messages(self, part: int) -> Iterator[Message]:
        """Yields the messages of one part.

        Raises:
            RecordingDamaged: the part is damaged.
        """
        file, numbers, number = self._place(part)
        for item in file.messages(number):
            if item.channel_id in numbers:
                topic = self.channels[numbers[item.channel_id]].topic
                at_ns, stamp_ns = item.log_time - file.wall_offset_ns, item.publish_time - file.wall_offset_ns
                yield Message(topic, at_ns, stamp_ns, item.data)

    def events(self, part: int) -> Iterator[Event]:
        """Yields the events of one part.

        Raises:
            RecordingDamaged: the part is damaged.
        """
        reader = EventReader(self.recording.infos)
        for message in self.messages(part):
            if message.topic in reader.topics:
                try:
                    event = reader.read(message)
                except ValueError as error:
                    raise RecordingDamaged(f"{self.recording.path}: {message.topic}: {error}") from error
                if event is not None:
                    yield event

    def raw(self, part: int, start_ns: int, end_ns: int) -> Iterator[RawMessage]:
        """Yields a part's messages between two arrivals, both included.

        Channels have the index's numbers. Times are on the clock of the recording's first file.
        """
        file, numbers, number = self._place(part)
        shift_ns = self.recording.wall_offset_ns - file.wall_offset_ns
        for item in file.messages(number):
            if start_ns <= item.log_time - file.wall_offset_ns <= end_ns and item.channel_id in numbers:
                times = item.log_time + shift_ns, item.publish_time + shift_ns
                yield RawMessage(numbers[item.channel_id], *times, item.data)

    def _place(self, part: int) -> Tuple[_FileIndex, Dict[int, int], int]:
        """A part's file, the index's numbers of the channels in it, and the part's number in the file."""
        at = int(np.searchsorted(self._starts, part, side="right")) - 1
        return self._files[at], self._numbers[at], part - int(self._starts[at])

    def _take_channels(self, file: _FileIndex) -> Dict[int, int]:
        """Adds a file's channels and returns the index's numbers of them. Equal channels of two files become one."""
        numbers: Dict[int, int] = {}
        for its_number, channel in file.channels.items():
            schema = file.schemas.get(channel.schema_id)
            for number, known in self.channels.items():
                if _spelling(channel, schema) == _spelling(known, self.schemas.get(known.schema_id)):
                    numbers[its_number] = number
            if its_number not in numbers:
                numbers[its_number] = number = len(self.channels) + 1
                if schema is not None:
                    self.schemas[number] = replace(schema, id=number)
                self.channels[number] = replace(channel, id=number, schema_id=number if schema is not None else 0)
        return numbers


def _spelling(channel: Channel, schema: Optional[Schema]) -> Tuple[object, ...]:
    return channel.topic, channel.message_encoding, schema and (schema.name, schema.encoding, schema.data)


class _FileIndex:
    """The parts of one file, with the file's own numbers and times."""

    def __init__(self, part: Part) -> None:
        self.path = part.path
        self.wall_offset_ns = part.wall_offset_ns
        self.channels: Dict[int, Channel] = {}
        self.schemas: Dict[int, Schema] = {}
        self.first: array[int] = array("q")  # first byte of each part, and the byte after it
        self._after: array[int] = array("q")
        self.begins: array[int] = array("q")
        self.ends: array[int] = array("q")
        self._cut, self._indexed = part.cut, part.indexed
        try:
            with self.path.open("rb") as file:
                self._scan(file)
        except (NoMcap, OSError) as error:
            raise RecordingError(f"{self.path} cannot be read: {error}") from error

    def messages(self, part: int) -> Iterator[RawMessage]:
        """Yields the messages of one part as they are in the file.

        Raises:
            RecordingDamaged: the part is damaged.
        """
        first, after = self.first[part], self._after[part]
        try:
            with self.path.open("rb") as file:
                for record in records_from(file, first):
                    if record.begin >= after:
                        return
                    for item in read_contents(file, record):
                        if isinstance(item, RawMessage):
                            yield item
        except Damage as error:
            raise RecordingDamaged(f"{self.path} is damaged at byte {first}") from error
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be read: {error.strerror}") from error

    def _scan(self, file: BinaryIO) -> None:
        chunk: Optional[Record] = None  # the last chunk, until its content is read
        indexed = True  # the records after it, or the summary, say which channels it holds
        loose = 0
        leaps = read_leaps(file)
        for record in records(file, leaps, checked=self._indexed):
            try:
                if record.opcode == Opcode.CHUNK:
                    self._learn(file, None if indexed else chunk)
                    chunk, indexed, loose = record, False, 0
                    if record.begin in leaps:
                        indexed = True
                        if not self.channels.keys() >= set(leaps[record.begin].channels):
                            self._learn(file, record)
                    leap = leaps.get(record.begin) if self._indexed else None
                    begin, end = (leap.first, leap.last) if leap else read_times(file, record)
                    if end:
                        self._add(record, begin, end)
                elif record.opcode == Opcode.MESSAGE_INDEX:
                    file.seek(record.begin + _HEAD_BYTES)
                    (number,) = _CHANNEL_NUMBER.unpack(file.read(_CHANNEL_NUMBER.size))
                    indexed = True
                    if number not in self.channels:
                        self._learn(file, chunk)
                        chunk = None
                elif record.opcode in (Opcode.CHANNEL, Opcode.SCHEMA):
                    self._learn(file, record)
                elif record.opcode == Opcode.MESSAGE:
                    begin, _ = read_times(file, record)
                    if 0 < loose < _MOST_LOOSE and 0 <= begin - self.begins[-1] < _LOOSE_NS:
                        self._after[-1], self.ends[-1] = record.end, max(self.ends[-1], begin)
                        loose += 1
                    else:
                        self._add(record, begin, begin)
                        loose = 1
            except (Damage, struct.error):
                if self._cut:
                    return
                raise RecordingDamaged(f"{self.path} is damaged at byte {record.begin}") from None
        self._learn(file, None if indexed else chunk)

    def _add(self, record: Record, begin: int, end: int) -> None:
        self.first.append(record.begin)
        self._after.append(record.end)
        self.begins.append(begin)
        self.ends.append(end)

    def _learn(self, file: BinaryIO, record: Optional[Record]) -> None:
        """Adds the schemas and channels in a record. Damage ends it silently, because reading that part reports it."""
        with suppress(Damage):
            for item in read_contents(file, record) if record else ():
                if isinstance(item, Channel):
                    self.channels[item.id] = item
                elif isinstance(item, Schema):
                    self.schemas[item.id] = item
