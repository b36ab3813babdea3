"""Explains bytes of a data port from which no frame could be read, and what to do about it."""

from __future__ import annotations

import struct
from collections import Counter

from cosmo_runtime.sensors.radar.chirp import Chirp
from cosmo_runtime.sensors.radar.frames import FrameParser
from cosmo_runtime.sensors.radar.packets import DIALECTS, MAGIC, PacketFinder

_LOOKED_AT_BYTES = 1 << 17  # more than a second at 921600 baud
_SHOWN_BYTES = 52
_NO_DIALECT = (
    "No `dialect` reads them. Put the mmWave SDK's mmw demo or its 3D people counting on the board, and leave"
    ' dialect = "auto"'
)
# Of TI's older people counting for xWR16xx: version, platform, time stamp, length, frame number, sub-frame, chirp and
# frame margin, times of sending and tracking, number of TLVs, checksum.
_OLDER_PEOPLE = struct.Struct("<8s10I2H")
_LOW_POWER_POINTS = 301


def diagnose(data: bytes, dialect: str, chirp: Chirp, section: str = "[radar]") -> str:
    """Describes bytes in which no whole frame was found, in whole sentences.

    Args:
        data: the data port's bytes.
        dialect: the dialect in the configuration.
        chirp: the radar's configuration.
        section: the radar's section of the configuration, for messages.
    """
    if not data:
        return "No byte came."
    data = data[-_LOOKED_AT_BYTES:]
    words = data.count(MAGIC)
    if not words:
        text = sum(32 <= byte < 127 or byte in b"\r\n" for byte in data) > 0.95 * len(data)
        kind = f", but text: {data[-_SHOWN_BYTES:].decode('ascii', 'replace')!r}" if text else ""
        return f"{len(data)} bytes came, none of them the start of a frame{kind}."

    fitting = [name for name in DIALECTS if _fits(data, name)]
    if fitting and dialect not in ("auto", *fitting):
        right = fitting[0]
        return (
            f'Frames came, but of dialect "{right}", not "{dialect}". In {section} set dialect = "{right}" or "auto".'
        )

    parser = FrameParser(dialect, chirp)
    frames = parser.feed(data, 0)
    counts = ", ".join(f"{name} {count}" for name, count in sorted((+parser.counts).items()))
    if parser.pointless_types is not None:
        return f"{len(frames)} frames came, but none has all its points ({counts}). {pointless(parser.pointless_types)}"
    if frames and parser.counts["short_frames"] + parser.counts["malformed_tlvs"]:
        return (
            f"{len(frames)} frames came, but they hold fewer points than they announce, or points of an unknown"
            f" form ({counts}). Use the mmWave SDK's mmw demo or 3D people counting."
        )

    unknown = f"{len(data)} bytes came. A frame seems to start {words} times, but there is no frame of a known layout"
    if _has_older_people(data):
        return (
            f"{unknown}: {parser.counts['skipped_bytes']} bytes were skipped. The headers have 52 bytes, with the time"
            f" stamp before the length, as in TI's older people counting for the xWR16xx. {_NO_DIALECT}."
        )
    at = data.find(MAGIC)
    return (
        f"{unknown} ({counts or 'none of them whole'}). The first one begins {data[at : at + _SHOWN_BYTES].hex()}."
        f" {_NO_DIALECT}. If the firmware is one of these, try another cable, and fewer outputs in guiMonitor."
    )


def pointless(types: list[int]) -> str:
    """Describes a frame that announces objects but holds no points, and what to do, in whole sentences."""
    kinds = ", ".join(map(str, types)) or "none"
    if _LOW_POWER_POINTS in types:
        kinds += f" ({_LOW_POWER_POINTS} are points of low-power radars, which are not supported)"
    return (
        f"The radar detects objects, but sends no points in a known form; its TLVs have the types {kinds}."
        " Switch detectedObjects on in guiMonitor, or use firmware of TI's mmw demo or people counting."
    )


def _fits(data: bytes, dialect: str) -> bool:
    """Whether the lengths of a packet add up in a dialect."""
    return any(packet.complete for packet in PacketFinder(dialect, Counter()).feed(data, 0))


def _has_older_people(data: bytes) -> bool:
    """Whether the data holds a packet of the 52-byte layout, whose TLVs fill the length it claims."""
    at = data.find(MAGIC)
    while 0 <= at <= len(data) - _OLDER_PEOPLE.size:
        _, _, _, _, size, *_, tlvs, _ = _OLDER_PEOPLE.unpack_from(data, at)
        stop = _OLDER_PEOPLE.size
        while 0 < tlvs <= 64 and stop + 8 <= min(size, len(data) - at):
            stop += max(8, int.from_bytes(data[at + stop + 4 : at + stop + 8], "little"))
            tlvs -= 1
        if tlvs == 0 and stop == size:
            return True
        at = data.find(MAGIC, at + 1)
    return False
