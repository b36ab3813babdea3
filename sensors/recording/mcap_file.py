"""Reads the records of an MCAP file (https://mcap.dev/spec) in order.

Every legal form can be read: messages inside or outside chunks, chunks compressed or not, with or without an index and
a summary. At most ``MOST_BYTES`` are unpacked at a time, whatever the file claims.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from functools import lru_cache
from types import MappingProxyType
from typing import BinaryIO, Container, Dict, Iterator, Mapping, NamedTuple, Tuple

import lz4.frame
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata, Schema
from mcap.writer import MCAP0_MAGIC
from zstandard import ZstdDecompressor

MOST_BYTES = 128 * 2**20
"""The largest chunk, unpacked or not, and the largest message. Writers make chunks of 1 to 8 MiB."""

_MOST_METADATA_BYTES = 2**20
_MESSAGE, _CHUNK = int(Opcode.MESSAGE), int(Opcode.CHUNK)
_new = tuple.__new__  # of a named tuple, in a third of the time
_CONTENTS = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)
_HEAD = struct.Struct("<BQ")  # of every record: opcode, length of the content
_MESSAGE_RECORD = struct.Struct("<BQHIQQ")  # the head of a record that is a message, and of the message
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time, unpacked size, CRC of the unpacked bytes
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_FOOTER = struct.Struct(
    "<BQQQI8s"
)  # at the file's end: opcode, length, start of the summary and its offsets, CRC, magic
_CHUNK_PLACE = struct.Struct("<QQQQI")  # first and last log time, first byte, length, length of the channel table
_INDEXED = struct.Struct("<HQ")  # channel, position of its message index
_MOST_AT_ONCE = 256  # channels
_LENGTH = struct.Struct("<I")
_LONG_LENGTH = struct.Struct("<Q")


class Damage(Exception):
    """A record cannot be read. The reason is for people and may be empty."""


class NoMcap(Exception):
    """The file does not begin like an MCAP file."""


class Record(NamedTuple):
    """A record's place in a file: its first byte, its opcode, and how many bytes follow its head."""

    begin: int
    opcode: int
    length: int

    @property
    def end(self) -> int:
        """The first byte after the record."""
        return self.begin + _HEAD.size + self.length


class RawMessage(NamedTuple):
    """A message as it is in the file, with the file's times."""

    channel_id: int
    log_time: int
    publish_time: int
    data: bytes


class Leap(NamedTuple):
    """A chunk according to the file's summary.

    Attributes:
        end: first byte after the chunk.
        after: first byte after the message indexes that follow the chunk.
        channels: numbers of the channels in the chunk.
        first, last: its first and last log time.
    """

    end: int
    after: int
    channels: Tuple[int, ...]
    first: int
    last: int


def read_leaps(file: BinaryIO) -> Dict[int, Leap]:
    """Reads the summary's entry of each chunk, by the chunk's first byte; empty without a valid summary."""
    return read_summary(file)[0]


def read_summary(file: BinaryIO) -> Tuple[Dict[int, Leap], Dict[int, str]]:
    """Reads the summary's entry of each chunk like ``read_leaps``, and the topics of the channels that it names."""
    size = file.seek(0, os.SEEK_END)
    leaps: Dict[int, Leap] = {}
    topics: Dict[int, str] = {}
    try:
        file.seek(size - _FOOTER.size)
        opcode, _, begin, _, crc, magic = _FOOTER.unpack(file.read(_FOOTER.size))
        length = size - _FOOTER.size - begin
        if opcode != Opcode.FOOTER or magic != MCAP0_MAGIC or not begin or not 0 < length <= MOST_BYTES:
            return {}, {}
        file.seek(begin)
        summary = file.read(size - len(MCAP0_MAGIC) - _LENGTH.size - begin)
        if crc and zlib.crc32(summary) != crc:
            return {}, {}
        at = 0
        while at < length:
            opcode, of_record = _HEAD.unpack_from(summary, at)
            at += _HEAD.size
            if opcode == Opcode.CHUNK_INDEX:
                first, last, chunk, chunk_length, table = _CHUNK_PLACE.unpack_from(summary, at)
                table_at = at + _CHUNK_PLACE.size
                channels = _channels(summary[table_at : table_at + table])
                (indexes,) = _LONG_LENGTH.unpack_from(summary, table_at + table)
                end = chunk + chunk_length
                leaps[chunk] = _new(Leap, (end, end + indexes, channels, first, last))
            elif opcode == Opcode.CHANNEL:
                channel = Channel.read(ReadDataStream(io.BytesIO(summary[at : at + of_record])))
                topics[channel.id] = channel.topic
            at += of_record
    except (McapError, struct.error, OSError, ValueError):
        return {}, {}
    return leaps, topics


def _channels(table: bytes) -> Tuple[int, ...]:
    """The channels in a chunk's table. A day has hundreds of thousands of these."""
    count, rest = divmod(len(table), _INDEXED.size)
    if rest or count > _MOST_AT_ONCE:
        return tuple(number for number, _ in _INDEXED.iter_unpack(table))
    return _numbers(count).unpack(table)


@lru_cache(maxsize=_MOST_AT_ONCE + 1)
def _numbers(count: int) -> struct.Struct:
    return struct.Struct("<" + "H8x" * count)


def is_finished(file: BinaryIO) -> bool:
    """Whether a file has the last bytes of one that was written to its end, whatever comes before."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(MCAP0_MAGIC)))
    return file.read() == MCAP0_MAGIC


def records(
    file: BinaryIO, leaps: Mapping[int, Leap] = MappingProxyType({}), checked: bool = False
) -> Iterator[Record]:
    """Yields the whole records of a file, up to the end of its data or to where it was cut off.

    Args:
        file: the file.
        leaps: chunks whose message indexes are skipped.
        checked: whether each chunk was seen to be where its leap says, so that its head need not be read again.

    Raises:
        NoMcap: the file is not MCAP.
    """
    file.seek(0)
    if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
        raise NoMcap
    yield from records_from(file, file.tell(), leaps, checked)


def records_from(
    file: BinaryIO, begin: int, leaps: Mapping[int, Leap] = MappingProxyType({}), checked: bool = False
) -> Iterator[Record]:
    """Yields the whole records of a file like ``records``, starting with the one at a byte."""
    size = os.fstat(file.fileno()).st_size
    while begin + _HEAD.size <= size:
        known = leaps.get(begin) if checked else None
        if known and known.after <= size:
            yield _new(Record, (begin, _CHUNK, known.end - begin - _HEAD.size))
            begin = known.after
            continue
        file.seek(begin)
        record = Record(begin, *_HEAD.unpack(file.read(_HEAD.size)))
        if record.opcode == 0 or record.end > size:  # after a power cut a file may end in zeros
            return
        yield record
        if record.opcode == Opcode.DATA_END:
            return
        leap = leaps.get(record.begin)
        begin = leap.after if leap and leap.end == record.end else record.end


def read_metadata(file: BinaryIO, record: Record) -> Metadata:
    """Reads a metadata record. One that is larger than any of ours is returned without a name.

    Raises:
        Damage: it is not a metadata record.
    """
    if record.length > _MOST_METADATA_BYTES:
        return Metadata(name="", metadata={})
    content = _content(file, record)
    try:
        return Metadata.read(ReadDataStream(io.BytesIO(content)))
    except (McapError, struct.error, ValueError) as error:
        raise Damage from error


def read_times(file: BinaryIO, record: Record) -> Tuple[int, int]:
    """First and last log time of a chunk or a message. Both are 0 for a chunk without messages.

    Raises:
        Damage: the record is too short.
    """
    head = _CHUNK_HEAD if record.opcode == Opcode.CHUNK else _MESSAGE_HEAD
    if record.length < head.size:
        raise Damage
    file.seek(record.begin + _HEAD.size)
    fields = head.unpack(file.read(head.size))
    first, last = fields[:2] if record.opcode == Opcode.CHUNK else (fields[2], fields[2])
    if first > last:
        raise Damage("its last time lies before its first")
    return first, last


def read_contents(file: BinaryIO, record: Record, left_out: Container[int] = ()) -> Iterator[object]:
    """Yields the schemas, channels (``mcap.records``) and messages (``RawMessage``) in a record.

    Args:
        file: the file.
        record: the record's place in it.
        left_out: channels whose messages are not yielded. It may change meanwhile.

    Raises:
        Damage: the record's content is wrong. Everything yielded before is sound.
    """
    if record.opcode == Opcode.CHUNK:
        yield from _contents_of_chunk(_unpacked(_content(file, record)), left_out)
    elif record.opcode in _CONTENTS:
        item = _parsed(record.opcode, _content(file, record))
        if not (isinstance(item, RawMessage) and item.channel_id in left_out):
            yield item


def _contents_of_chunk(chunk: bytes, left_out: Container[int]) -> Iterator[object]:
    """A recording has hundreds of messages a second, so this is written for speed."""
    begin, end = 0, len(chunk)
    at_once = end - _MESSAGE_RECORD.size  # up to here there are bytes enough to unpack a message with its record's head
    while begin < end:
        if begin <= at_once and chunk[begin] == _MESSAGE:
            _, length, channel_id, _, log_time, publish_time = _MESSAGE_RECORD.unpack_from(chunk, begin)
            data_at, begin = begin + _MESSAGE_RECORD.size, begin + _HEAD.size + length
            if begin > end or data_at > begin:
                raise Damage
            if channel_id not in left_out:
                yield _new(RawMessage, (channel_id, log_time, publish_time, chunk[data_at:begin]))
            continue
        try:
            opcode, length = _HEAD.unpack_from(chunk, begin)
        except struct.error as error:
            raise Damage from error
        begin += _HEAD.size + length
        if begin > end:
            raise Damage
        if opcode in _CONTENTS:
            yield _parsed(opcode, chunk[begin - length : begin])


def _content(file: BinaryIO, record: Record) -> bytes:
    if record.length > MOST_BYTES:
        raise Damage(f"{record.length} bytes in one piece are more than the {MOST_BYTES} that are read")
    file.seek(record.begin + _HEAD.size)
    return file.read(record.length)


def _parsed(opcode: int, content: bytes) -> object:
    try:
        if opcode == Opcode.SCHEMA:
            return Schema.read(ReadDataStream(io.BytesIO(content)))
        if opcode == Opcode.CHANNEL:
            return Channel.read(ReadDataStream(io.BytesIO(content)))
        channel_id, _, log_time, publish_time = _MESSAGE_HEAD.unpack_from(content)
    except (McapError, struct.error, ValueError) as error:
        raise Damage from error
    return RawMessage(channel_id, log_time, publish_time, content[_MESSAGE_HEAD.size :])


def _unpacked(chunk: bytes) -> bytes:
    """The records in a chunk, checked against its size and CRC."""
    try:
        _, _, size, crc = _CHUNK_HEAD.unpack_from(chunk)
        at = _CHUNK_HEAD.size
        (name_length,) = _LENGTH.unpack_from(chunk, at)
        at += _LENGTH.size + name_length
        compression = chunk[at - name_length : at].decode()
        (length,) = _LONG_LENGTH.unpack_from(chunk, at)
    except (struct.error, ValueError) as error:
        raise Damage from error
    packed = memoryview(chunk)[at + _LONG_LENGTH.size :][:length]
    if size > MOST_BYTES:
        raise Damage(f"a chunk of {size} bytes is larger than the {MOST_BYTES} that are read")
    if compression == "zstd":
        data = _unzstd(packed, size)
    elif compression == "lz4":
        data = _unlz4(packed, size)
    elif compression == "":
        data = bytes(packed)
    else:
        raise Damage(f"its compression is {compression!r}, not zstd, lz4 or none")
    if len(data) != size or (crc and crc != zlib.crc32(data)):
        raise Damage
    return data


def _unzstd(packed: memoryview, size: int) -> bytes:
    """Unpacks at most one byte more than the chunk claims, which exposes a false claim. ``_unlz4`` does the same."""
    try:
        with ZstdDecompressor(max_window_size=MOST_BYTES).stream_reader(packed, read_across_frames=True) as stream:
            return stream.read(size + 1)
    except Exception as error:  # whatever a decompressor raises, the bytes are not its format
        raise Damage from error


def _unlz4(packed: memoryview, size: int) -> bytes:
    try:
        return lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    except Exception as error:
        raise Damage from error
