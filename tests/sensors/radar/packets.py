"""Packets of every dialect, as a radar sends them."""

from __future__ import annotations

import struct
from typing import Sequence

import numpy as np

from cosmo_runtime.sensors.radar.chirp import parse_chirp
from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG
from cosmo_runtime.sensors.radar.frames import Frame, encode_frame
from cosmo_runtime.sensors.radar.packets import MAGIC

CHIRP = parse_chirp(DEFAULT_CFG.read_text().splitlines(), "default")


PERIOD_NS = round(CHIRP.frame_period_s * 1e9)


def some_points(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 3, (n, 5)).astype(np.float32)
    points[:, 4] = np.round(rng.uniform(13, 50, n), 1)
    return points


def stream(sizes: Sequence[int], first: int = 10) -> list[bytes]:
    return [encode_frame(first + i, some_points(n, seed=i)) for i, n in enumerate(sizes)]


def same(frame: Frame, number: int, points: np.ndarray) -> bool:
    return (
        frame.frame_number == number and frame.complete and np.allclose(frame.points, points, atol=1e-5, equal_nan=True)
    )


def tlv(kind: int, value: bytes, length_covers_header: bool = False) -> bytes:
    return struct.pack("<2I", kind, len(value) + 8 * length_covers_header) + value


def sdk1_packet(number: int, *tlvs: bytes, objects: int = 0) -> bytes:
    size = -(-(36 + sum(map(len, tlvs))) // 32) * 32
    header = MAGIC + struct.pack("<7I", 0x01020000, size, 0xA1443, number, 7, objects, len(tlvs))
    return (header + b"".join(tlvs)).ljust(size, b"\0")


def sdk3_packet(number: int, *tlvs: bytes, objects: int = 0) -> bytes:
    size = -(-(40 + sum(map(len, tlvs))) // 32) * 32
    header = MAGIC + struct.pack("<8I", 0x03050004, size, 0xA6843, number, 7, objects, len(tlvs), 0)
    return (header + b"".join(tlvs)).ljust(size, b"\0")


def people_packet(number: int, *tlvs: bytes) -> bytes:
    size = 48 + sum(map(len, tlvs))
    timings = [0, 1200, 3400, 5600, 7800]
    header = MAGIC + struct.pack("<9I2H", 0x03030000, size, 0xA6843, number, *timings, len(tlvs), 0xBEEF)
    return header + b"".join(tlvs)
