"""Packets in the bytes of a radar's data port.

A packet is a header that begins with a magic word, then type-length-value items (TLVs), then padding. It has no
checksum, so its lengths are checked: they must add up.

References: TI mmWave SDK 3.5 user guide and the mmw demo's documentation of its output; "Understanding UART Data Output
Format" of TI's Radar Toolbox; "3D People Counting Demo Software Implementation Guide" of its Industrial Toolbox 4.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from typing import Deque, NamedTuple

MAGIC = bytes([2, 1, 4, 3, 6, 5, 8, 7])
PAD_BYTES = 32
TLV = struct.Struct("<2I")  # type, length
MAX_PACKET_BYTES = 65536  # a range-Doppler map of 256 x 64 with 500 points takes 43 kB

_MAX_TLVS = 64
_MAX_INNER = 8  # magic words inside one packet; a length that covers more is wrong
_COMMON = struct.Struct("<4I")  # after the magic word in every dialect: version, total length, platform, frame number
_IDENTITY = slice(8, 12), slice(16, 20)  # where version and platform stand in the packet
_IDENTITY_BYTES = 20


class Dialect(NamedTuple):
    """How a firmware lays out its packets."""

    header_bytes: int
    object_count_at: int | None
    tlv_count: struct.Struct
    tlv_count_at: int
    length_covers_header: bool
    compressed_points: int  # the TLV type that holds them


DIALECTS = {
    "sdk3": Dialect(40, 28, struct.Struct("<I"), 32, False, 1020),
    "sdk1": Dialect(36, 28, struct.Struct("<I"), 32, False, 1020),
    "people": Dialect(48, None, struct.Struct("<H"), 44, True, 6),
}
_SHORTEST = min(dialect.header_bytes for dialect in DIALECTS.values())


class Packet(NamedTuple):
    """One packet; offsets are from its magic word.

    Attributes:
        data: its bytes, header and padding included.
        arrival_ns: when its magic word arrived, on the host's monotonic clock.
        dialect: the layout in which its lengths add up, or else the likeliest one.
        tlvs: type, start and stop of each value that is complete.
        complete: whether its lengths add up.
    """

    data: bytes
    arrival_ns: int
    dialect: Dialect
    tlvs: list[tuple[int, int, int]]
    complete: bool

    @property
    def frame_number(self) -> int:
        """The radar's own count."""
        number: int = _COMMON.unpack_from(self.data, len(MAGIC))[3]
        return number

    @property
    def object_count(self) -> int:
        """How many objects the header announces; 0 in a dialect without this number."""
        at = self.dialect.object_count_at
        return 0 if at is None else int.from_bytes(self.data[at : at + 4], "little")


class _Extent(NamedTuple):
    """What the lengths of one packet in the buffer mean."""

    size: int
    dialect: Dialect
    tlvs: list[tuple[int, int, int]]
    complete: bool


class _Inside:
    """The search inside an incomplete packet, so that no byte is searched twice.

    Attributes:
        packet_at: offset of the packet in the stream.
        searched: how far the search for magic words has come, as an offset from the packet's own.
        words: offsets of magic words, likewise.
        undecided: offsets of those that may still begin a packet.
    """

    def __init__(self, packet_at: int) -> None:
        self.packet_at = packet_at
        self.searched = 1
        self.words: list[int] = []
        self.undecided: list[int] = []


class PacketFinder:
    """Finds packets. Never raises, whatever the bytes are, and its work is linear in their number.

    A magic word inside a packet's claimed length cuts that packet if the same firmware and platform follow it. Then
    either bytes were lost, or the header is wrong (TI's 1642 vital-signs lab claims 288 bytes and sends 256). While a
    packet is incomplete, any whole packet inside it cuts it. If a packet's own data should ever look like that, only
    this packet is lost.

    Args:
        dialect: a name of ``DIALECTS``, or ``auto`` for whichever makes the lengths of a packet add up.
        counts: counter for ``skipped_bytes`` (outside packets).
    """

    def __init__(self, dialect: str, counts: Counter[str]) -> None:
        self._counts = counts
        self._dialects = list(DIALECTS.values()) if dialect == "auto" else [DIALECTS[dialect]]
        self._header_bytes = max(dialect.header_bytes for dialect in self._dialects)
        self._buffer = bytearray()
        self._offset = 0  # offset of the buffer's first byte in the stream
        self._accounted = 0  # offset up to which bytes were in packets or counted as skipped
        self._chunks: Deque[tuple[int, int]] = deque()  # offset where each chunk ended, its arrival
        self._inside = _Inside(-1)

    def feed(self, data: bytes, arrival_ns: int) -> list[Packet]:
        """Parses the next bytes of the data port, split anywhere, and returns the packets they complete.

        Args:
            data: the bytes.
            arrival_ns: when they arrived, on the host's monotonic clock.
        """
        if not data:
            return []
        self._buffer += data
        self._chunks.append((self._offset + len(self._buffer), arrival_ns))
        packets = []
        at = self._find_header(0)
        extent = self._extent(at)
        while extent:
            end = at + extent.size
            if extent.size >= extent.dialect.header_bytes:
                packets.append(Packet(bytes(self._buffer[at:end]), self._arrival_ns(at), *extent[1:]))
                self._accounted = self._offset + end
            at = self._find_header(end - _begun_magic(self._buffer, end))  # after lost bytes, the next lies inside
            extent = self._extent(at)
        del self._buffer[:at]
        self._offset += at
        while self._chunks and self._chunks[0][0] <= self._offset:
            self._chunks.popleft()
        return packets

    def _find_header(self, at: int) -> int:
        """Returns where the next plausible header begins. It may be incomplete, even if only a byte has come."""
        word_at = self._buffer.find(MAGIC, at)
        while 0 <= word_at <= len(self._buffer) - _SHORTEST:
            if _SHORTEST <= self._claimed_bytes(word_at) <= MAX_PACKET_BYTES:
                break
            word_at = self._buffer.find(MAGIC, word_at + 1)
        if word_at < 0:
            word_at = len(self._buffer) - _begun_magic(self._buffer, len(self._buffer))
        skipped = self._offset + word_at - self._accounted
        if skipped > 0:
            self._counts["skipped_bytes"] += skipped
            self._accounted += skipped
        return word_at

    def _claimed_bytes(self, at: int) -> int:
        """Returns the packet length that the header at ``at`` claims."""
        claimed: int = _COMMON.unpack_from(self._buffer, at + len(MAGIC))[1]
        return claimed

    def _extent(self, at: int) -> _Extent | None:
        """Measures the packet whose header begins at ``at``; None if more bytes are needed."""
        available = len(self._buffer) - at
        if available < self._header_bytes:
            return None
        claimed = self._claimed_bytes(at)
        inside = self._look_inside(at, claimed)
        for word in list(inside.undecided):
            size = self._size_until(at, word, inside.words[0], waiting=available < claimed)
            if size:
                return self._walked(at, size)
            if size is None:
                continue
            inside.undecided.remove(word)
        if len(inside.words) > _MAX_INNER:
            return self._walked(at, inside.words[0])
        if available < claimed or inside.undecided:
            return None

        extent = self._walked(at, claimed)
        if inside.words and not (extent.complete and extent.tlvs):  # then nothing confirms its length
            return self._walked(at, inside.words[0])
        if extent.complete and extent.tlvs:
            self._dialects.sort(key=lambda dialect: dialect is not extent.dialect)
        return extent

    def _look_inside(self, at: int, claimed: int) -> _Inside:
        """Searches the new bytes for magic words."""
        if self._inside.packet_at != self._offset + at:
            self._inside = _Inside(self._offset + at)
        inside = self._inside
        while len(inside.words) <= _MAX_INNER:
            word_at = self._buffer.find(MAGIC, at + inside.searched, at + claimed)
            if word_at < 0:
                come = min(claimed, len(self._buffer) - at)
                inside.searched = max(inside.searched, come - len(MAGIC) + 1)
                break
            inside.searched = word_at - at + 1
            inside.words.append(word_at - at)
            inside.undecided.append(word_at - at)
        return inside

    def _size_until(self, at: int, word: int, first: int, waiting: bool) -> int | None:
        """How long a packet is if another one inside it cuts it; 0 if it does not, None if more bytes are needed.

        A whole packet shows that the header around it is wrong. Then that ends at the first magic word, as it does if
        all the bytes that it claims have come: packets before the whole one are not lost, however the bytes arrive.

        Args:
            at: where the packet begins.
            word: offset of the magic word of the other one from ``at``.
            first: offset of the first magic word inside.
            waiting: whether the packet is incomplete.
        """
        inner = at + word
        ours, theirs = self._buffer[at : at + _IDENTITY_BYTES], self._buffer[inner : inner + _IDENTITY_BYTES]
        if len(theirs) < _IDENTITY_BYTES:
            return None
        if all(ours[field] == theirs[field] for field in _IDENTITY):
            return word
        if not waiting:
            return 0
        available = len(self._buffer) - inner
        if available < self._header_bytes or available < self._claimed_bytes(inner):
            return None
        return first if self._walked(inner, self._claimed_bytes(inner)).complete else 0

    def _walked(self, at: int, size: int) -> _Extent:
        """Measures the packet at ``at`` by the first dialect in which its lengths add up, or else by the first one."""
        extents = [self._walk(at, size, dialect) for dialect in self._dialects]
        return next((extent for extent in extents if extent.complete), extents[0])

    def _walk(self, at: int, size: int, dialect: Dialect) -> _Extent:
        """Walks through the complete TLVs."""
        (missing,) = dialect.tlv_count.unpack_from(self._buffer, at + dialect.tlv_count_at)
        tlvs = []
        stop = dialect.header_bytes
        while 0 < missing <= _MAX_TLVS and stop + TLV.size <= size:
            kind, length = TLV.unpack_from(self._buffer, at + stop)
            start = stop + TLV.size
            end = stop + length if dialect.length_covers_header else start + length
            if not start <= end <= size:
                break
            tlvs.append((kind, start, end))
            stop = end
            missing -= 1
        complete = missing == 0 and stop <= size and self._claimed_bytes(at) - stop <= PAD_BYTES
        return _Extent(size, dialect, tlvs, complete)

    def _arrival_ns(self, at: int) -> int:
        """Returns when the magic word at ``at`` arrived. Calls must come in the order of the words."""
        last = self._offset + at + len(MAGIC) - 1
        while self._chunks[0][0] <= last:
            self._chunks.popleft()
        return self._chunks[0][1]


def _begun_magic(buffer: bytearray, end: int) -> int:
    """Returns how many of the bytes before ``end`` begin an incomplete magic word."""
    return next((n for n in range(len(MAGIC) - 1, 0, -1) if buffer.endswith(MAGIC[:n], 0, end)), 0)
