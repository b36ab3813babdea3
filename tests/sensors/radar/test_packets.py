"""The work that packets cost, whatever lies in them."""

from __future__ import annotations

import struct
import time
from collections import Counter
from typing import Callable

import pytest

from cosmo_runtime.sensors.radar.packets import MAGIC, PacketFinder

CLAIM = MAGIC + struct.pack("<8I", 1, 65536, 0xA6843, 4, 5, 6, 7, 7)  # a header that claims 64 kB


def bare_words(size: int) -> bytes:
    return MAGIC * (size // len(MAGIC))


def words_that_claim(size: int) -> bytes:
    return (MAGIC + struct.pack("<2I", 2, 65535)) * (size // 16)


def headers_of_other_firmware(size: int) -> bytes:
    headers = (MAGIC + struct.pack("<8I", i, 60000, i, 4, 5, 6, 7, 7) for i in range(2, 2 + size // 40))
    return b"".join(headers)


def plain_bytes(size: int) -> bytes:
    return bytes(size)


def seconds(data: bytes, piece: int = 8) -> float:
    """Returns the processor time that a stream costs which comes in small pieces: the least of three runs."""

    def once() -> float:
        finder = PacketFinder("auto", Counter())
        began = time.thread_time()
        for at in range(0, len(data), piece):
            finder.feed(data[at : at + piece], at)
        return time.thread_time() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize("fill", [bare_words, words_that_claim, headers_of_other_firmware, plain_bytes])
def test_four_times_the_bytes_cost_about_four_times_the_work(fill: Callable[[int], bytes]) -> None:
    short, long = (seconds(CLAIM + fill(size)) for size in (15_000, 60_000))
    assert long < 9 * short + 0.02  # sixteen times where each piece is searched with all before it
    assert long < 60_000 * 50e-6  # a line of 921600 baud brings a byte in 11 us; it was 1600 us
