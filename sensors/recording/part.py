"""One file of a recording: its metadata, its times, and its messages up to where it was cut off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import AbstractSet, BinaryIO, Container, Dict, FrozenSet, Iterator, Mapping, Optional, Set

from mcap.opcode import Opcode
from mcap.records import Channel

from cosmo_runtime.sensors.recording.mcap_file import (
    Damage,
    Leap,
    NoMcap,
    RawMessage,
    Record,
    is_finished,
    read_contents,
    read_leaps,
    read_metadata,
    read_summary,
    read_times,
    records,
)
from cosmo_runtime.sensors.recording.messages import Message, RecordingDamaged, RecordingError
from cosmo_runtime.sensors.recording.sensor_info import SENSOR_METADATA, decode_info
from cosmo_runtime.sensors.sensor import SensorInfo

FORMATS = ("1", "2")
"""The format versions that can be read. The last one is written."""

_DATA = (Opcode.CHUNK, Opcode.CHANNEL, Opcode.MESSAGE)


class Part:
    """A file on disk. Every call of ``messages`` reads it again.

    Attributes:
        path: the file's path.
        metadata: facts about the run.
        infos: the sensors' infos by name.
        cut: whether the file was cut off before its end.
        hole: the first byte that cannot be read in a file that was not cut off; None if all can.
        indexed: whether the file is whole, and its summary says of each chunk where it is and its times.
        dropped: events that could not be recorded.
        first_ns: monotonic time of the first message; None for an empty file.
        last_ns: monotonic time of the last message.
        wall_offset_ns: the offset that was added to monotonic times in the file.

    Raises:
        RecordingError: the file is missing, is not a recording, or has another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: Dict[str, str] = {}
        self.infos: Dict[str, SensorInfo] = {}
        self.cut = True
        self.hole: Optional[int] = None
        self.indexed = False
        self.dropped = 0
        self.first_ns: Optional[int] = None
        self.last_ns: Optional[int] = None
        self.wall_offset_ns = 0
        self._last_begin = -1  # end of the last whole record with data
        try:
            with path.open("rb") as file:
                self._scan(file)
        except NoMcap as error:
            raise RecordingError(f"{path} is not an MCAP file") from error
        except IsADirectoryError as error:
            raise RecordingError(
                f"{path} is a folder, and no recording of segments: name one of the recordings in it"
            ) from error
        except OSError as error:
            raise RecordingError(f"{path} cannot be read: {error.strerror}") from error

    def messages(self, wanted: Container[str], few: bool = False) -> Iterator[Message]:
        """Yields the messages of some topics in the order of the file, which is not the order of their times.

        Args:
            wanted: the topics.
            few: whether they are in few chunks. The file's summary then says which, and the others are not unpacked,
                so that damage in these stays unseen.
        """
        try:
            with self.path.open("rb") as file:
                leaps, listed = read_summary(file)
                topics = dict(listed) if few else {}
                others = {number for number, topic in topics.items() if topic not in wanted}
                skipped = _without_any_of(topics.keys() - others, leaps, topics) if few else frozenset()
                for record in records(file, leaps):
                    if record.begin > self._last_begin:  # written since then
                        break
                    if record.opcode not in _DATA or record.begin in skipped:
                        continue
                    try:
                        yield from self._messages_in(file, record, wanted, topics, others)
                    except Damage as error:
                        if self.cut and record.begin == self._last_begin:
                            return
                        raise self._damaged(record.begin, error) from error
        except NoMcap as error:
            raise RecordingError(f"{self.path} is not an MCAP file") from error
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be read: {error.strerror}") from error
        if self.hole is not None and not few:
            raise self._damaged(self.hole, Damage("there is no record"))

    def _scan(self, file: BinaryIO) -> None:
        """Reads the file's metadata and times, and skips the data itself."""
        metadata: Dict[str, Dict[str, str]] = {}
        first = last = end_of_record = 0
        leaps, fits = read_leaps(file), True
        for record in records(file, leaps):
            end_of_record = record.end
            try:
                if record.opcode == Opcode.METADATA:
                    record_metadata = read_metadata(file, record)
                    if record_metadata.name.startswith("cosmo-runtime"):
                        metadata[record_metadata.name] = record_metadata.metadata
                elif record.opcode in _DATA:
                    self._last_begin = record.begin
                    begin, end = read_times(file, record) if record.opcode != Opcode.CHANNEL else (0, 0)
                    if record.opcode == Opcode.CHUNK:
                        leap = leaps.get(record.begin)
                        fits = (
                            fits and leap is not None and (leap.end, leap.first, leap.last) == (record.end, begin, end)
                        )
                    if end:  # otherwise it holds no message
                        first, last = min(first or begin, begin), max(last, end)
                elif record.opcode == Opcode.DATA_END:
                    self.cut = False
            except Damage as error:
                raise self._damaged(record.begin, error) from error
        if self.cut and is_finished(file):
            self.cut, self.hole = False, end_of_record
        self.indexed = fits and not self.cut and self.hole is None
        self._take(metadata)
        if last:
            self.first_ns, self.last_ns = first - self.wall_offset_ns, last - self.wall_offset_ns

    def _take(self, metadata: Dict[str, Dict[str, str]]) -> None:
        head = metadata.get("cosmo-runtime")
        if head is None:
            raise RecordingError(f"{self.path} is not a recording of cosmo-runtime")
        version = head.get("format", "")
        if version not in FORMATS:
            raise RecordingError(
                f"{self.path} has version {version[:20]!r} of the recording format, but this cosmo-runtime reads "
                f"{' and '.join(FORMATS)}: use the version that wrote it"
            )
        try:
            self.wall_offset_ns = _whole(head.get("wall_offset_ns", ""))
            self.dropped = _whole(metadata.get("cosmo-runtime.end", {}).get("dropped", "0"))
            for name, fields in metadata.items():
                sensor = name[len(SENSOR_METADATA) :]
                if name.startswith(SENSOR_METADATA):
                    self.infos[sensor] = decode_info(sensor, fields)
        except ValueError as error:
            raise RecordingError(f"{self.path} is damaged in its metadata: {error}") from error
        self.metadata = metadata.get("cosmo-runtime.run", {})

    def _messages_in(
        self, file: BinaryIO, record: Record, wanted: Container[str], topics: Dict[int, str], others: Set[int]
    ) -> Iterator[Message]:
        """Yields the wanted messages in a record. Channels in it are added to ``topics`` or to ``others``."""
        offset_ns = self.wall_offset_ns
        for item in read_contents(file, record, left_out=others):
            if isinstance(item, RawMessage):
                channel_id, log_time, publish_time, data = item
                if channel_id not in topics:
                    raise Damage(f"no channel has the number {channel_id}")
                at_ns, stamp_ns = log_time - offset_ns, publish_time - offset_ns
                yield tuple.__new__(Message, (topics[channel_id], at_ns, stamp_ns, data, ""))  # in a third of the time
            elif isinstance(item, Channel):
                topics[item.id] = item.topic
                (others.discard if item.topic in wanted else others.add)(item.id)

    def _damaged(self, at: int, damage: Damage) -> RecordingDamaged:
        reason = f" ({damage})" if str(damage) else ""
        message = f"{self.path} is damaged at byte {at}{reason}; everything before it can be read"
        return RecordingDamaged(message)


def _without_any_of(wanted: AbstractSet[int], leaps: Mapping[int, Leap], known: Container[int]) -> FrozenSet[int]:
    """The first bytes of the chunks without messages of the wanted channels; none if a chunk's channels are unknown."""
    if not all(leap.channels and all(number in known for number in leap.channels) for leap in leaps.values()):
        return frozenset()
    return frozenset(begin for begin, leap in leaps.items() if wanted.isdisjoint(leap.channels))


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,19}", text):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)
