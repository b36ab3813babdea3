"""Frames of TI mmWave radars: turns the bytes of a data port into point clouds, and back.

Frames have no checksum, so everything else is checked: a frame must hold as many points as its header announces, the
points must lie where the radar can see, and the frame numbers must be consecutive.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

import numpy as np

from cosmo_runtime.sensors.radar import points as forms
from cosmo_runtime.sensors.radar.chirp import Chirp
from cosmo_runtime.sensors.radar.packets import DIALECTS, MAGIC, PAD_BYTES, TLV, Packet, PacketFinder

_MAX_NAMED_TYPE = 4095  # corrupt types must not fill the counters
_MAX_GAP = 1000  # longest run of missing frames, if the chirp does not tell how many fit into the silence
_STALL_NS = 500_000_000  # how late a busy host may receive a frame
_CLOCK_RATIO = 1.01  # generous: how much faster the radar's clock may run than the host's
_MAX_SNR_DB = 150.0
_UNWANTED = frozenset((*range(2, 10), 1010, 1011, 1012))  # profiles, maps, statistics; tracked people


@dataclass(frozen=True)
class Frame:
    """One frame of a radar.

    Attributes:
        frame_number: the radar's own count.
        arrival_ns: when its magic word arrived, on the host's monotonic clock. Its last byte may come 40 ms later.
        points: (n, 5) float32, n >= 0: x, y, z in m, radial speed in m/s (positive: receding; NaN where
            its unit depends on an unknown chirp), SNR in dB (NaN where not sent).
        complete: False if bytes or announced points are missing. ``points`` then come from the TLVs that arrived whole
            and could be read.
    """

    frame_number: int
    arrival_ns: int
    points: np.ndarray
    complete: bool = True


class FrameParser:
    """Finds the frames in the bytes of a data port. Never raises, whatever the bytes are.

    Args:
        dialect: ``sdk3`` (40-byte header), ``sdk1`` (36), ``people`` (48), or ``auto``: whichever makes the
            lengths of a packet add up.
        chirp: the radar's configuration. It gives the points of SDK 1 their speeds, and limits which points and frame
            numbers are plausible.
        counts: the counter to use; a new one when absent.

    Attributes:
        counts: ``lost_samples`` (missing frame numbers), ``skipped_bytes`` (outside packets), ``cut_frames`` (not
            complete, for any reason), ``misnumbered_frames`` (dropped, because the sequence went on without them),
            ``renumberings`` (the radar restarted its count), ``implausible_points`` (dropped), ``malformed_tlvs``
            (points or SNR of an unknown form), ``pointless_frames`` (not complete: the header announces objects, but
            no TLV of a known type holds a point), ``short_frames`` (not complete: fewer points than the header
            announces), ``skipped_tlvs_<type>`` (of an unknown type).
        pointless_types: the TLV types in the latest of the ``pointless_frames``; None before the first one.
    """

    def __init__(self, dialect: str = "auto", chirp: Chirp | None = None, counts: Counter[str] | None = None) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self.pointless_types: list[int] | None = None
        self._packets = PacketFinder(dialect, self.counts)
        self._chirp = chirp
        self._max_range_m = 1.1 * chirp.max_range_m if chirp else 300.0
        self._max_speed_mps = 3 * chirp.max_velocity_mps if chirp else 100.0  # x 3: the demo can unfold aliased speeds
        self._first: Frame | None = None  # the first of this numbering
        self._last: Frame | None = None
        self._held: Frame | None = None  # its number does not follow the last one; the next frame decides

    def feed(self, data: bytes, arrival_ns: int) -> list[Frame]:
        """Parses the next bytes of the data port, split anywhere, and returns the frames they complete.

        Args:
            data: the bytes.
            arrival_ns: when they arrived, on the host's monotonic clock.
        """
        packets = self._packets.feed(data, arrival_ns)
        return [frame for packet in packets for frame in self._in_sequence(self._frame(packet))]

    def _frame(self, packet: Packet) -> Frame:
        """Reads a packet."""
        points: np.ndarray | None = np.empty((0, 5), np.float32)
        points_type = 0
        snr: np.ndarray | None = np.empty(0, np.float32)
        sends_compressed = packet.dialect.compressed_points
        for kind, start, end in packet.tlvs:
            value = packet.data[start:end]
            if kind in (1, 1000, 1020, sends_compressed):
                points_type = kind
                points = self._points(kind, value)
            elif kind == 7 and sends_compressed != 6:  # in people counting, 7 means targets
                snr = forms.side_info_snr(value)
            elif kind not in _UNWANTED:
                self.counts[f"skipped_tlvs_{kind}" if kind <= _MAX_NAMED_TYPE else "skipped_tlvs_other"] += 1
        if points is None:
            self.counts["malformed_tlvs"] += 1
            return Frame(packet.frame_number, packet.arrival_ns, np.empty((0, 5), np.float32), complete=False)

        complete = packet.complete and self._has_all_points(packet, len(points), points_type)
        if snr is not None and len(snr) == len(points):
            points[:, 4] = snr
        elif snr is None or len(snr):
            self.counts["malformed_tlvs"] += complete
        plausible = self._plausible(points)
        complete = complete and len(plausible) >= min(1, len(points))  # all points wrong: not an empty room
        return Frame(packet.frame_number, packet.arrival_ns, plausible, complete)

    def _points(self, kind: int, value: bytes) -> np.ndarray | None:
        """Reads the points of a TLV; None if their form does not fit its type."""
        if kind == 1:
            return forms.cartesian(value, self._chirp)
        return forms.spherical(value) if kind == 1000 else forms.compressed(value)

    def _has_all_points(self, packet: Packet, count: int, points_type: int) -> bool:
        """Whether a packet holds as many points as its header announces.

        Firmware with compressed points may announce tracked people instead, so there only zero points are too few.
        """
        if not packet.complete or count >= packet.object_count:
            return True
        if not count:
            self.counts["pointless_frames"] += 1
            self.pointless_types = [kind for kind, _, _ in packet.tlvs]
            return False
        short = points_type in (1, 1000)
        self.counts["short_frames"] += short
        return not short

    def _in_sequence(self, frame: Frame) -> list[Frame]:
        """Holds back a frame whose number does not follow. The next frame shows whether it was corrupt or a restart."""
        if not frame.complete:
            self.counts["cut_frames"] += 1
        last, held = self._last, self._held
        self._last, self._held = frame, None
        if not (self._first and last):
            self._first = frame
            return [frame]
        if self._follows(frame, last):
            self.counts["misnumbered_frames"] += held is not None
            self.counts["lost_samples"] += _missing(last, frame)
            return [frame]
        if not (held and self._follows(frame, held)):
            self.counts["misnumbered_frames"] += held is not None
            self._last, self._held = last, frame
            return []
        # After the host stalled, the frames that the kernel buffered come at once, so the silence before a gap does not
        # show its length. But no more frames can be missing than were sent since the first one.
        if held.frame_number > last.frame_number and self._follows(held, self._first):
            self.counts["lost_samples"] += _missing(last, held)
        else:
            self.counts["renumberings"] += 1
            self._first = held
        self.counts["lost_samples"] += _missing(held, frame)
        return [held, frame]

    def _follows(self, frame: Frame, before: Frame) -> bool:
        """Whether a radar can have counted from one frame to the other in the time between them."""
        longest = _MAX_GAP
        if self._chirp:
            silence_ns = _CLOCK_RATIO * (frame.arrival_ns - before.arrival_ns)
            longest = 1 + int((silence_ns + _STALL_NS) / (self._chirp.frame_period_s * 1e9))
        return 0 < frame.frame_number - before.frame_number <= longest

    def _plausible(self, points: np.ndarray) -> np.ndarray:
        """Returns the points that this radar can have measured."""
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


def encode_frame(frame_number: int, points: np.ndarray, detected_objects: int = 1) -> bytes:
    """Returns the bytes of a frame of SDK 3's mmw demo: a 40-byte header, TLVs 1 and 7, padding to 32 bytes.

    Args:
        frame_number: the radar's own count.
        points: (n, 5) float32 as in ``Frame``. A frame without points has no TLVs, one without SNR has no TLV 7. SNR
            is sent in steps of 0.1 dB.
        detected_objects: of guiMonitor: 1 sends points and SNR, 2 no SNR, any other number no points. The header counts
            the points anyway.
    """
    tlvs = []
    if len(points) and detected_objects in (1, 2):
        tlvs.append((1, points[:, :4].astype("<f4").tobytes()))
    if len(points) and detected_objects == 1 and np.isfinite(points[:, 4]).all():
        side = np.zeros((len(points), 2), "<i2")
        side[:, 0] = np.round(points[:, 4] * 10)
        tlvs.append((7, side.tobytes()))
    body = b"".join(TLV.pack(kind, len(value)) + value for kind, value in tlvs)
    size = -(-(DIALECTS["sdk3"].header_bytes + len(body)) // PAD_BYTES) * PAD_BYTES
    header = MAGIC + struct.pack("<8I", 0x03050004, size, 0xA6843, frame_number, 0, len(points), len(tlvs), 0)
    return (header + body).ljust(size, b"\x0f")


def _missing(before: Frame, frame: Frame) -> int:
    return frame.frame_number - before.frame_number - 1
