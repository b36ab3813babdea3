"""What an IMU's byte stream can go through on its way, for the tests of both protocols."""

from __future__ import annotations

import struct
from typing import Iterable, List, Protocol

import numpy as np
from hypothesis import strategies as st

from cosmo_runtime.sensors.imu.stream import Reading


class Parser(Protocol):
    """Of either protocol."""

    def feed(self, data: bytes, arrival_ns: int) -> List[Reading]: ...


def nine_values(number: int) -> np.ndarray:
    """Nine values that tell the sample's number."""
    return np.array([number % 100, -3, 9.80665, 0.1, -0.2, 30, 20, -5, 40]) + 0.001 * (number % 7)


def bluetooth_frame(values: np.ndarray, yaw: int = 0) -> bytes:
    """What a WitMotion device sends over Bluetooth of acceleration and angular rate."""
    units = np.repeat([16 * 9.80665 / 32768, np.radians(2000) / 32768], 3)
    return struct.pack("<2B9h", 0x55, 0x61, *np.round(values[:6] / units).astype(int), 0, 0, yaw)


def parse(parser: Parser, chunks: Iterable[bytes]) -> List[Reading]:
    """Reads chunks that arrive a nanosecond apart."""
    return [reading for arrival, chunk in enumerate(chunks) for reading in parser.feed(chunk, arrival)]


@st.composite
def split(draw: st.DrawFn, data: bytes, most: int = 10) -> List[bytes]:
    """The same bytes in chunks."""
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=most))
    places = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in zip(places, places[1:])]


@st.composite
def damaged(draw: st.DrawFn, data: bytes, most_cut_off: int) -> bytes:
    """The bytes with some replaced, dropped or inserted, and the end missing."""
    damages = st.tuples(
        st.integers(0, 10_000), st.sampled_from(["flip", "drop", "insert"]), st.binary(min_size=1, max_size=9)
    )
    out = bytearray(data)
    for place, kind, noise in draw(st.lists(damages)):
        place %= len(out) + 1
        if kind == "insert":
            out[place:place] = noise
        else:
            out[place : place + len(noise)] = noise[: len(out) - place] if kind == "flip" else b""
    return bytes(out[: len(out) - draw(st.integers(0, most_cut_off))])
