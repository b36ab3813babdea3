"""Frames of TI mmWave radars: the bytes of a data port in, point clouds out, and the other way round.

A packet is a header that opens with a magic word, then type-length-value items (TLVs), then padding. It carries no
checksum, so everything that structure can tell is checked: the lengths must add up, numbers must follow one another,
points must lie where the chirp can see.

Followed: TI mmWave SDK 3.5 user guide and the mmw demo's documentation of its output; "Understanding UART Data Output
Format" of TI's Radar Toolbox; "3D People Counting Demo Software Implementation Guide" of its Industrial Toolbox 4.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from dataclasses import dataclass
from typing import Deque, NamedTuple

import numpy as np

from sensors.radar.chirp import Chirp

MAGIC = bytes([2, 1, 4, 3, 6, 5, 8, 7])

_PAD_BYTES = 32
_MAX_PACKET_BYTES = 65536  # a range-Doppler map of 256 x 64 with 500 points takes 43 kB
_MAX_TLVS = 64
_MAX_NAMED_TYPE = 4095  # corrupt types must not fill the counter
_MAX_GAP = 1000  # frames missing in a row, when the chirp does not tell how many fit into the silence
_STALL_NS = 500_000_000  # by how much a busy host may see a frame late
_MAX_SNR_DB = 150.0

_COMMON = struct.Struct("<4I")  # after the magic in every dialect: version, total length, platform, frame number
_IDENTITY = slice(8, 12), slice(16, 20)  # where version and platform stand in the packet
_IDENTITY_BYTES = 20
_TLV = struct.Struct("<2I")  # type, length
_UNWANTED = frozenset((*range(2, 10), 1010, 1011, 1012))  # profiles, maps, statistics; people that the radar tracks
_OBJECT = np.dtype([("range", "<u2"), ("doppler", "<i2"), ("peak", "<u2"), ("xyz", "<i2", 3)])  # SDK 1 and 2
_COMPRESSED = np.dtype([("elevation", "i1"), ("azimuth", "i1"), ("doppler", "<i2"), ("range", "<u2"), ("snr", "<u2")])


class _Dialect(NamedTuple):
    """How a firmware lays out its packets."""

    header_bytes: int
    object_count_at: int | None
    tlv_count: struct.Struct
    tlv_count_at: int
    length_covers_header: bool
    compressed_points: int  # the TLV type that holds them


_DIALECTS = {
    "sdk3": _Dialect(40, 28, struct.Struct("<I"), 32, False, 1020),
    "sdk1": _Dialect(36, 28, struct.Struct("<I"), 32, False, 1020),
    "people": _Dialect(48, None, struct.Struct("<H"), 44, True, 6),
}
_SHORTEST = min(dialect.header_bytes for dialect in _DIALECTS.values())


@dataclass(frozen=True)
class Frame:
    """One frame of a radar.

    Attributes:
        frame_number: the radar's own count.
        arrival_ns: when its magic word arrived, on the host's monotonic clock; its last byte may be 40 ms behind.
        points: (n, 5) float32, n >= 0: x, y, z in m, radial speed in m/s (positive: receding; NaN where
            only the chirp tells its unit and is not known), SNR in dB (NaN where not sent).
        complete: False where bytes are missing, or points that there must be; ``points`` are then those of the TLVs
            that arrived whole and could be read.
    """

    frame_number: int
    arrival_ns: int
    points: np.ndarray
    complete: bool = True


class _Packet(NamedTuple):
    """What the lengths say of one packet; offsets are from its magic word."""

    size: int
    dialect: _Dialect
    tlvs: list[tuple[int, int, int]]  # type, start and stop of the value; only those that are wholly there
    complete: bool


class FrameParser:
    """Finds the frames in the bytes of a data port; never raises, whatever the bytes.

    A magic word inside a packet's claimed length cuts that packet if the same firmware and platform stand behind it:
    either bytes were lost, or the header lies (TI's 1642 vital-signs lab claims 288 bytes and sends 256). While a
    packet is still to come, any whole packet inside it cuts it. Should a packet's own data ever spell that, this one
    frame is lost and the next one is found.

    Args:
        dialect: ``sdk3`` (40-byte header), ``sdk1`` (36), ``people`` (48), or ``auto``: whichever makes the
            lengths of a packet add up.
        chirp: what the radar was told to do: it gives speeds to SDK 1 points, and bounds which points and frame numbers
            are believed.
        counts: where to count; a new counter when absent.

    Attributes:
        counts: ``lost_samples`` (missing in the numbering), ``skipped_bytes`` (outside of packets), ``cut_frames``
            (not complete), ``misnumbered_frames`` (dropped: the sequence went on without them), ``renumberings`` (the
            sequence went on elsewhere), ``implausible_points`` (dropped), ``malformed_tlvs`` (points in no known form),
            ``pointless_frames`` (not complete: the header counts objects, but no TLV of a known type holds points),
            ``skipped_tlvs_<type>`` (of a type that is not known).
        pointless_types: of the TLVs in the latest of the ``pointless_frames``; None before there is one.
    """

    def __init__(self, dialect: str = "auto", chirp: Chirp | None = None, counts: Counter[str] | None = None) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self.pointless_types: list[int] | None = None
        self._dialects = list(_DIALECTS.values()) if dialect == "auto" else [_DIALECTS[dialect]]
        self._header_bytes = max(dialect.header_bytes for dialect in self._dialects)
        self._chirp = chirp
        self._max_range_m = 1.1 * chirp.max_range_m if chirp else 300.0
        self._max_speed_mps = 3 * chirp.max_velocity_mps if chirp else 100.0  # x 3: the demo can unfold aliased speeds
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._accounted = 0  # offset in the stream up to which bytes were in packets or counted as skipped
        self._chunks: Deque[tuple[int, int]] = deque()  # offset in the stream where each ended, its arrival
        self._last: Frame | None = None
        self._held: Frame | None = None  # its number does not follow the last one's; the next frame will tell

    def feed(self, data: bytes, arrival_ns: int) -> list[Frame]:
        """Takes the next bytes of the data port, split anywhere; returns the frames they complete.

        Args:
            data: the bytes.
            arrival_ns: when they arrived, on the host's monotonic clock.
        """
        if not data:
            return []
        self._buffer += data
        self._chunks.append((self._offset + len(self._buffer), arrival_ns))
        frames = []
        at = self._find_header(0)
        packet = self._packet(at)
        while packet:
            end = at + packet.size
            if packet.size >= packet.dialect.header_bytes:
                frames += self._in_sequence(self._frame(at, packet))
                self._accounted = self._offset + end
            at = self._find_header(end - _begun_magic(self._buffer, end))  # lost bytes let the next one slip in
            packet = self._packet(at)
        del self._buffer[:at]
        self._offset += at
        while self._chunks and self._chunks[0][0] <= self._offset:
            self._chunks.popleft()
        return frames

    def _find_header(self, at: int) -> int:
        """Returns where the next header begins that makes sense as far as it has come, if only with the last bytes."""
        found = self._buffer.find(MAGIC, at)
        while 0 <= found <= len(self._buffer) - _SHORTEST:
            _, claimed, _, _ = _COMMON.unpack_from(self._buffer, found + len(MAGIC))
            if _SHORTEST <= claimed <= _MAX_PACKET_BYTES:
                break
            found = self._buffer.find(MAGIC, found + 1)
        if found < 0:
            found = len(self._buffer) - _begun_magic(self._buffer, len(self._buffer))
        skipped = self._offset + found - self._accounted
        if skipped > 0:
            self.counts["skipped_bytes"] += skipped
            self._accounted += skipped
        return found

    def _packet(self, at: int) -> _Packet | None:
        """Measures the packet whose header begins at ``at``; None if more bytes must come first."""
        available = len(self._buffer) - at
        if available < self._header_bytes:
            return None
        _, claimed, _, _ = _COMMON.unpack_from(self._buffer, at + len(MAGIC))
        first_inner = inner = self._buffer.find(MAGIC, at + 1, at + claimed)
        while inner >= 0:
            ours, theirs = self._buffer[at : at + _IDENTITY_BYTES], self._buffer[inner : inner + _IDENTITY_BYTES]
            if len(theirs) < _IDENTITY_BYTES:
                return None
            same = all(ours[field] == theirs[field] for field in _IDENTITY)
            if same or (available < claimed and self._stands_alone(inner)):
                return self._walked(at, inner - at)
            inner = self._buffer.find(MAGIC, inner + 1, at + claimed)
        if available < claimed:
            return None

        packet = self._walked(at, claimed)
        if not packet.complete and first_inner >= 0:  # then its length is not to be trusted either
            return self._walked(at, first_inner - at)
        if packet.complete and packet.tlvs:
            self._dialects.sort(key=lambda dialect: dialect is not packet.dialect)
        return packet

    def _stands_alone(self, at: int) -> bool:
        """Tells whether a whole packet begins at this magic word."""
        if len(self._buffer) - at < self._header_bytes:
            return False
        _, claimed, _, _ = _COMMON.unpack_from(self._buffer, at + len(MAGIC))
        return claimed <= len(self._buffer) - at and self._walked(at, claimed).complete

    def _walked(self, at: int, size: int) -> _Packet:
        """Measures the packet at ``at`` by the first dialect in which its lengths add up, or else by the first one."""
        packets = [self._walk(at, size, dialect) for dialect in self._dialects]
        return next((packet for packet in packets if packet.complete), packets[0])

    def _walk(self, at: int, size: int, dialect: _Dialect) -> _Packet:
        """Goes from TLV to TLV as long as they are wholly there."""
        _, claimed, _, _ = _COMMON.unpack_from(self._buffer, at + len(MAGIC))
        (missing,) = dialect.tlv_count.unpack_from(self._buffer, at + dialect.tlv_count_at)
        tlvs = []
        stop = dialect.header_bytes
        while 0 < missing <= _MAX_TLVS and stop + _TLV.size <= size:
            kind, length = _TLV.unpack_from(self._buffer, at + stop)
            start = stop + _TLV.size
            end = stop + length if dialect.length_covers_header else start + length
            if not start <= end <= size:
                break
            tlvs.append((kind, start, end))
            stop = end
            missing -= 1
        complete = missing == 0 and stop <= size and claimed - stop <= _PAD_BYTES
        return _Packet(size, dialect, tlvs, complete)

    def _frame(self, at: int, packet: _Packet) -> Frame:
        """Reads a packet."""
        data = bytes(self._buffer[at : at + packet.size])
        _, _, _, frame_number = _COMMON.unpack_from(self._buffer, at + len(MAGIC))
        points: np.ndarray | None = np.empty((0, 5), np.float32)
        has_points = False
        snr = None
        sends_compressed = packet.dialect.compressed_points
        for kind, start, end in packet.tlvs:
            value = data[start:end]
            if kind in (1, 1000, 1020, sends_compressed):
                has_points = True
                points = {1: self._cartesian, 1000: _spherical}.get(kind, _decompressed)(value)
            elif kind == 7 and len(value) % 4 == 0 and sends_compressed != 6:  # people counting: 7 are targets
                snr = np.frombuffer(value, "<i2")[::2] * np.float32(0.1)
            elif kind not in _UNWANTED:
                self.counts[f"skipped_tlvs_{kind}" if kind <= _MAX_NAMED_TYPE else "skipped_tlvs_other"] += 1
        complete = packet.complete and points is not None
        if complete and not has_points and self._counts_objects(data, packet.dialect):
            complete = False
            self.counts["pointless_frames"] += 1
            self.pointless_types = [kind for kind, _, _ in packet.tlvs]
        if points is None:
            self.counts["malformed_tlvs"] += 1
            points = np.empty((0, 5), np.float32)
        if snr is not None and len(snr) == len(points):
            points[:, 4] = snr
        points = self._plausible(points)
        return Frame(frame_number, self._arrival_ns(at), points, complete)

    @staticmethod
    def _counts_objects(data: bytes, dialect: _Dialect) -> bool:
        at = dialect.object_count_at
        return at is not None and any(data[at : at + 4])

    def _arrival_ns(self, at: int) -> int:
        """Returns when the magic word at ``at`` had arrived; asked in the order of the words."""
        last = self._offset + at + len(MAGIC) - 1
        while self._chunks[0][0] <= last:
            self._chunks.popleft()
        return self._chunks[0][1]

    def _in_sequence(self, frame: Frame) -> list[Frame]:
        """Holds back a frame whose number does not follow; the next one tells whether it was corrupt or a new start."""
        if not frame.complete:
            self.counts["cut_frames"] += 1
        ready = [frame]
        before = self._last
        if before and not self._follows(frame, before):
            before = self._held
            if not before or not self._follows(frame, before):
                self.counts["misnumbered_frames"] += self._held is not None
                self._held = frame
                return []
            self.counts["renumberings"] += 1
            ready = [before, frame]
        elif self._held:
            self.counts["misnumbered_frames"] += 1
        if before:
            self.counts["lost_samples"] += frame.frame_number - before.frame_number - 1
        self._last, self._held = frame, None
        return ready

    def _follows(self, frame: Frame, before: Frame) -> bool:
        longest = _MAX_GAP
        if self._chirp:
            silence_ns = frame.arrival_ns - before.arrival_ns
            longest = 1 + int((silence_ns + _STALL_NS) / (self._chirp.frame_period_s * 1e9))
        return 0 < frame.frame_number - before.frame_number <= longest

    def _cartesian(self, value: bytes) -> np.ndarray | None:
        """Reads TLV 1 in the form of SDK 3, or in that of SDK 1 and 2, which some 40-byte headers carry too.

        The latter starts with the number of points and a small exponent; as a coordinate of SDK 3 the two would be a
        denormal number. None if it has neither form.
        """
        count, exponent = struct.unpack_from("<2H", value) if len(value) >= 4 else (0, 0)
        if exponent < 16 and len(value) == 4 + count * _OBJECT.itemsize:
            objects = np.frombuffer(value, _OBJECT, offset=4)
            points = np.full((count, 5), np.nan, np.float32)
            points[:, :3] = objects["xyz"] * 0.5**exponent
            if self._chirp:
                bins = self._chirp.doppler_bins
                points[:, 3] = ((objects["doppler"] + bins // 2) % bins - bins // 2) * self._chirp.velocity_bin_mps
            return points
        if len(value) % 16:
            return None
        points = np.full((len(value) // 16, 5), np.nan, np.float32)
        points[:, :4] = np.frombuffer(value, "<f4").reshape(-1, 4)
        return points

    def _plausible(self, points: np.ndarray) -> np.ndarray:
        """Keeps the points that this radar can have measured."""
        with np.errstate(invalid="ignore"):
            position, speed, snr = np.abs(points[:, :3]), np.abs(points[:, 3]), np.abs(points[:, 4])
            unknown_speeds = self._chirp is None and np.isnan(speed).all()
            seen = (position <= self._max_range_m).all(axis=1)
            seen &= (speed <= self._max_speed_mps) | unknown_speeds
            seen &= (snr <= _MAX_SNR_DB) | np.isnan(snr)
        if seen.all():
            return points
        self.counts["implausible_points"] += int(len(points) - seen.sum())
        return points[seen]


def encode_frame(frame_number: int, points: np.ndarray) -> bytes:
    """Lays out a frame as the mmw demo of SDK 3 does: 40-byte header, TLVs 1 and 7, padded to 32 bytes.

    Args:
        frame_number: the radar's own count.
        points: (n, 5) float32 as in ``Frame``; without points there are no TLVs, without SNR there is no TLV 7. SNR
            is sent in steps of 0.1 dB.
    """
    tlvs = [(1, points[:, :4].astype("<f4").tobytes())] if len(points) else []
    if len(points) and np.isfinite(points[:, 4]).all():
        side = np.zeros((len(points), 2), "<i2")
        side[:, 0] = np.round(points[:, 4] * 10)
        tlvs.append((7, side.tobytes()))
    body = b"".join(_TLV.pack(kind, len(value)) + value for kind, value in tlvs)
    size = -(-(_DIALECTS["sdk3"].header_bytes + len(body)) // _PAD_BYTES) * _PAD_BYTES
    header = MAGIC + struct.pack("<8I", 0x03050004, size, 0xA6843, frame_number, 0, len(points), len(tlvs), 0)
    return (header + body).ljust(size, b"\x0f")


def _spherical(value: bytes) -> np.ndarray | None:
    """Reads TLV 1000: range, azimuth, elevation and radial speed of each point. None if it has another form."""
    if len(value) % 16:
        return None
    distance, azimuth, elevation, speed = np.frombuffer(value, "<f4").reshape(-1, 4).T
    return _points(distance, azimuth, elevation, speed)


def _decompressed(value: bytes) -> np.ndarray:
    """Reads compressed spherical points: five units, then as many values of a point."""
    count = max(0, (len(value) - 20) // _COMPRESSED.itemsize)
    if not count:
        return np.empty((0, 5), np.float32)
    units = np.frombuffer(value, "<f4", 5).astype(float)
    packed = np.frombuffer(value, _COMPRESSED, count, offset=20)
    with np.errstate(all="ignore"):  # units may be anything
        elevation, azimuth, speed, distance, snr = (
            packed[name] * unit for name, unit in zip(("elevation", "azimuth", "doppler", "range", "snr"), units)
        )
        points = _points(distance, azimuth, elevation, speed)
        points[:, 4] = 10 * np.log10(np.maximum(snr, 1e-3))  # the firmware sends a ratio
    return points


def _points(distance: np.ndarray, azimuth: np.ndarray, elevation: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Returns the points of a frame, without SNR, from spherical coordinates: m, rad, rad, m/s."""
    points = np.full((len(distance), 5), np.nan, np.float32)
    with np.errstate(all="ignore"):  # whatever the bytes spell
        points[:, 0] = distance * np.cos(elevation) * np.sin(azimuth)
        points[:, 1] = distance * np.cos(elevation) * np.cos(azimuth)
        points[:, 2] = distance * np.sin(elevation)
    points[:, 3] = speed
    return points


def _begun_magic(buffer: bytearray, end: int) -> int:
    """Returns how many of the bytes before ``end`` are the beginning of a magic word that is not yet whole."""
    return next((n for n in range(len(MAGIC) - 1, 0, -1) if buffer.endswith(MAGIC[:n], 0, end)), 0)
