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
_TLV = struct.Struct("<2I")  # type, length
_OBJECT = np.dtype([("range", "<u2"), ("doppler", "<i2"), ("peak", "<u2"), ("xyz", "<i2", 3)])  # SDK 1 and 2
_COMPRESSED = np.dtype([("elevation", "i1"), ("azimuth", "i1"), ("doppler", "<i2"), ("range", "<u2"), ("snr", "<u2")])


class _Dialect(NamedTuple):
    """How a firmware lays out its packets."""

    header_bytes: int
    tlv_count: struct.Struct
    tlv_count_at: int
    length_covers_header: bool
    compressed_points: int  # the TLV type that holds them


_DIALECTS = {
    "sdk3": _Dialect(40, struct.Struct("<I"), 32, False, 1020),
    "sdk1": _Dialect(36, struct.Struct("<I"), 32, False, 1020),
    "people": _Dialect(48, struct.Struct("<H"), 44, True, 6),
}


class Timing(NamedTuple):
    """TLV 6: how busy the radar was; times in µs, loads in percent."""

    processing_us: int
    output_us: int
    processing_margin_us: int
    chirp_margin_us: int
    active_load: int
    idle_load: int


@dataclass(frozen=True)
class Frame:
    """One frame of a radar.

    Attributes:
        frame_number: the radar's own count.
        arrival_ns: when its magic word arrived, on the host's monotonic clock; its last byte may be 40 ms behind.
        points: (n, 5) float32, n >= 0: x, y, z in m, radial speed in m/s (positive: receding), SNR in dB (NaN where
            not sent).
        complete: False where bytes are missing; ``points`` are then those of the TLVs that arrived whole.
        range_doppler: (range bins, Doppler bins) uint16 of TLV 5, where sent and the chirp is known.
        timing: of TLV 6, where sent.
    """

    frame_number: int
    arrival_ns: int
    points: np.ndarray
    complete: bool = True
    range_doppler: np.ndarray | None = None
    timing: Timing | None = None


class _Packet(NamedTuple):
    """What the lengths say of one packet; offsets are from its magic word."""

    size: int
    frame_number: int
    dialect: _Dialect
    tlvs: list[tuple[int, int, int]]  # type, start and stop of the value; only those that are wholly there
    complete: bool


class FrameParser:
    """Finds the frames in the bytes of a data port; never raises, whatever the bytes.

    A magic word inside a packet's claimed length, with the same firmware and platform behind it, cuts that packet:
    either bytes were lost, or the header lies (TI's 1642 vital-signs lab claims 288 bytes and sends 256). Should a
    packet's own data ever spell those sixteen bytes, that one frame is lost and the next one is found again.

    Args:
        dialect: ``sdk3`` (40-byte header), ``sdk1`` (36), ``people`` (48), or ``auto``: the first of them with which
            the lengths of a packet add up.
        chirp: what the radar was told to do: it gives speeds to SDK 1 points and a shape to range-Doppler maps, and
            bounds which points and frame numbers are believed.
        counts: where to count; a new counter when absent.

    Attributes:
        counts: ``lost_samples`` (missing in the numbering), ``skipped_bytes`` (outside of packets), ``cut_frames``
            (not complete), ``misnumbered_frames`` (dropped: out of sequence, and so was not the next one),
            ``renumberings`` (the sequence went on elsewhere), ``implausible_points`` (dropped), ``skipped_tlvs_<type>``.
    """

    def __init__(self, dialect: str = "auto", chirp: Chirp | None = None, counts: Counter[str] | None = None) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._dialects = list(_DIALECTS.values()) if dialect == "auto" else [_DIALECTS[dialect]]
        self._chirp = chirp
        self._max_range_m = 1.1 * chirp.max_range_m if chirp else 300.0
        self._max_speed_mps = 3 * chirp.max_velocity_mps if chirp else 100.0  # x 3: the demo can unfold aliased speeds
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._accounted = 0  # offset in the stream up to which bytes were in packets or counted as skipped
        self._chunks: Deque[tuple[int, int]] = deque()  # offset in the stream where each ended, its arrival
        self._identity: tuple[int, int] | None = None  # version and platform of the last complete packet
        self._last: tuple[int, int] | None = None  # number and arrival of the last frame
        self._suspect: tuple[int, int] | None = None  # the same of a misnumbered frame

    def feed(self, data: bytes, arrival_ns: int) -> list[Frame]:
        """Takes the next bytes of the data port, split anywhere; returns the frames they complete.

        Args:
            data: the bytes.
            arrival_ns: when they arrived, on the host's monotonic clock.
        """
        self._buffer += data
        self._chunks.append((self._offset + len(self._buffer), arrival_ns))
        frames = []
        at = self._find_magic(0)
        while True:
            packet = self._packet(at)
            if packet is None:
                break
            if packet.size:
                frame = self._frame(at, packet)
                if frame:
                    frames.append(frame)
                at += packet.size
                self._accounted = self._offset + at
                at -= _begun_magic(self._buffer[:at][-len(MAGIC) :])  # lost bytes may have let the next one slip in
            else:
                at += 1
            at = self._find_magic(at)
        del self._buffer[:at]
        self._offset += at
        while self._chunks and self._chunks[0][0] <= self._offset:
            self._chunks.popleft()
        return frames

    def _find_magic(self, at: int) -> int:
        """Returns where the next magic word begins, if only with the last bytes."""
        found = self._buffer.find(MAGIC, at)
        if found < 0:
            found = len(self._buffer) - _begun_magic(self._buffer[at:][-len(MAGIC) :])
        skipped = self._offset + found - self._accounted
        if skipped > 0:
            self.counts["skipped_bytes"] += skipped
            self._accounted += skipped
        return found

    def _packet(self, at: int) -> _Packet | None:
        """Measures the packet at a magic word; its size is 0 if there is none, and None means that more must come."""
        available = len(self._buffer) - at
        if available < max(dialect.header_bytes for dialect in self._dialects):
            return None
        version, claimed, platform, number = _COMMON.unpack_from(self._buffer, at + len(MAGIC))
        if not min(dialect.header_bytes for dialect in self._dialects) <= claimed <= _MAX_PACKET_BYTES:
            return _Packet(0, number, self._dialects[0], [], False)
        size = self._distance_to_next(at, min(available, claimed), {(version, platform), self._identity})
        if size is None and available < claimed:
            return None

        packets = [self._walk(at, size or claimed, claimed, number, dialect) for dialect in self._dialects]
        packet = next((packet for packet in packets if packet.complete), packets[0])
        if packet.complete:
            self._identity = version, platform
            if packet.tlvs:
                self._dialects = [packet.dialect]
        return packet

    def _distance_to_next(self, at: int, within: int, identities: set[tuple[int, int] | None]) -> int | None:
        """Returns how far behind ``at`` the next packet of one of the identities begins."""
        inner = at
        while True:
            inner = self._buffer.find(MAGIC, inner + 1, at + within)
            if inner < 0:
                return None
            header = self._buffer[inner + len(MAGIC) :][: _COMMON.size]
            version, platform = header[:4], header[8:12]  # as far as they have come
            for identity in identities - {None}:
                known = [field.to_bytes(4, "little") for field in identity or ()]
                if known[0].startswith(version) and known[1].startswith(platform):
                    return inner - at

    def _walk(self, at: int, size: int, claimed: int, number: int, dialect: _Dialect) -> _Packet:
        """Goes from TLV to TLV as long as they are wholly there, to see whether the lengths add up."""
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
        return _Packet(size, number, dialect, tlvs, complete)

    def _frame(self, at: int, packet: _Packet) -> Frame | None:
        """Reads a packet; None if its number makes no sense."""
        arrival_ns = self._arrival_ns(at + len(MAGIC) - 1)
        if not self._in_sequence(packet.frame_number, arrival_ns):
            self.counts["misnumbered_frames"] += 1
            return None
        if not packet.complete:
            self.counts["cut_frames"] += 1
        data = bytes(self._buffer[at : at + packet.size])
        points = np.empty((0, 5), np.float32)
        snr = range_doppler = timing = None
        for kind, start, end in packet.tlvs:
            value = data[start:end]
            if kind == 1 and not packet.dialect.length_covers_header:
                points = self._cartesian(value)
            elif kind in (1020, packet.dialect.compressed_points):
                points = _decompressed(value)
            elif kind == 5 and self._chirp and len(value) == 2 * self._chirp.range_bins * self._chirp.doppler_bins:
                shape = self._chirp.range_bins, self._chirp.doppler_bins
                range_doppler = np.frombuffer(value, "<u2").reshape(shape)
            elif kind == 6 and len(value) == 24:
                timing = Timing(*struct.unpack("<6I", value))
            elif kind == 7 and len(value) % 4 == 0 and not packet.dialect.length_covers_header:
                snr = np.frombuffer(value, "<i2")[::2] * np.float32(0.1)
            else:
                self.counts[f"skipped_tlvs_{kind}" if kind <= _MAX_NAMED_TYPE else "skipped_tlvs_other"] += 1
        if snr is not None and len(snr) == len(points):
            points[:, 4] = snr
        return Frame(
            packet.frame_number, arrival_ns, self._plausible(points), packet.complete, range_doppler, timing
        )

    def _arrival_ns(self, at: int) -> int:
        while self._chunks[0][0] <= self._offset + at:
            self._chunks.popleft()
        return self._chunks[0][1]

    def _in_sequence(self, number: int, arrival_ns: int) -> bool:
        """Tells a number that follows from one that was corrupted; a second one in a row is a new sequence."""
        if self._last is not None:
            follows = self._last
            if not self._follows(number, arrival_ns, self._last):
                if self._suspect is None or not self._follows(number, arrival_ns, self._suspect):
                    self._suspect = number, arrival_ns
                    return False
                self.counts["renumberings"] += 1
                follows = self._suspect[0] - 1, 0
            self.counts["lost_samples"] += number - follows[0] - 1
        self._last = number, arrival_ns
        self._suspect = None
        return True

    def _follows(self, number: int, arrival_ns: int, earlier: tuple[int, int]) -> bool:
        longest = _MAX_GAP
        if self._chirp:
            longest = 1 + int((arrival_ns - earlier[1] + _STALL_NS) / (self._chirp.frame_period_s * 1e9))
        return 0 < number - earlier[0] <= longest

    def _cartesian(self, value: bytes) -> np.ndarray:
        """Reads TLV 1 in the form of SDK 3, or in that of SDK 1 and 2, which some 40-byte headers carry too.

        The latter starts with the number of points and a small exponent; as a coordinate of SDK 3 the two would be a
        denormal number.
        """
        count, exponent = struct.unpack_from("<2H", value) if len(value) >= 4 else (0, 0)
        if count and exponent < 16 and len(value) == 4 + count * _OBJECT.itemsize:
            objects = np.frombuffer(value, _OBJECT, offset=4)
            points = np.full((count, 5), np.nan, np.float32)
            points[:, :3] = objects["xyz"] * 0.5**exponent
            if self._chirp:
                bins = self._chirp.doppler_bins
                points[:, 3] = ((objects["doppler"] + bins // 2) % bins - bins // 2) * self._chirp.velocity_bin_mps
            return points
        if len(value) % 16:
            return np.empty((0, 5), np.float32)
        points = np.full((len(value) // 16, 5), np.nan, np.float32)
        points[:, :4] = np.frombuffer(value, "<f4").reshape(-1, 4)
        return points

    def _plausible(self, points: np.ndarray) -> np.ndarray:
        """Keeps the points that this radar can have measured."""
        with np.errstate(invalid="ignore"):
            seen = (np.abs(points[:, :3]) <= self._max_range_m).all(axis=1)
            seen &= np.abs(points[:, 3]) <= self._max_speed_mps
            seen &= ~(np.abs(points[:, 4]) > _MAX_SNR_DB)
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


def _decompressed(value: bytes) -> np.ndarray:
    """Reads compressed spherical points: five units, then as many values of a point."""
    points = np.empty((max(0, (len(value) - 20) // _COMPRESSED.itemsize), 5), np.float32)
    if not len(points):
        return points
    units = np.frombuffer(value, "<f4", 5).astype(float)
    packed = np.frombuffer(value, _COMPRESSED, len(points), offset=20)
    with np.errstate(all="ignore"):  # units may be anything
        elevation, azimuth, speed, distance, snr = (
            packed[name] * unit for name, unit in zip(("elevation", "azimuth", "doppler", "range", "snr"), units)
        )
        points[:, 0] = distance * np.cos(elevation) * np.sin(azimuth)
        points[:, 1] = distance * np.cos(elevation) * np.cos(azimuth)
        points[:, 2] = distance * np.sin(elevation)
        points[:, 3] = speed
        points[:, 4] = 10 * np.log10(np.maximum(snr, 1e-3))  # the firmware sends a ratio
    return points


def _begun_magic(tail: bytes | bytearray) -> int:
    """Returns how many of the last bytes are the beginning of a magic word that is not yet whole."""
    return next((n for n in range(len(MAGIC) - 1, 0, -1) if tail.endswith(MAGIC[:n])), 0)
