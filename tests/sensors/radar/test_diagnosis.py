"""What is said of bytes that hold no frame."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.sensors.radar.chirp import parse_chirp
from cosmo_runtime.sensors.radar.diagnosis import diagnose, pointless
from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG
from cosmo_runtime.sensors.radar.frames import encode_frame
from cosmo_runtime.sensors.radar.packets import MAGIC

CHIRP = parse_chirp(DEFAULT_CFG.read_text().splitlines(), "default")
OLDER_PEOPLE = Path(__file__).with_name("people1642_52byte.bin").read_bytes()


def frames(points: int = 5) -> bytes:
    return b"".join(encode_frame(number, np.ones((points, 5), np.float32)) for number in range(1, 11))


def without_points(number: int, kind: int) -> bytes:
    """A frame that counts five objects and has one TLV of another type."""
    return MAGIC + struct.pack("<8I", 3, 64, 0xA6432, number, 0, 5, 1, 0) + struct.pack("<2I", kind, 16) + bytes(16)


def test_silence_is_silence() -> None:
    assert diagnose(b"", "auto", CHIRP) == "No byte came."


def test_bytes_of_another_speed_are_counted() -> None:
    assert diagnose(bytes([0, 255, 128]) * 50, "auto", CHIRP) == "150 bytes came, none of them the start of a frame."


def test_text_is_shown() -> None:
    said = diagnose(b"xWR16xx MMW Demo 02.01.00.04\r\nmmwDemo:/>" * 2, "auto", CHIRP)
    assert "none of them the start of a frame, but text: " in said
    assert "mmwDemo:/>'" in said


@pytest.mark.parametrize("dialect", ["auto", "sdk3", "sdk1", "people"])
@pytest.mark.parametrize("copies", [1, 20])
def test_the_older_people_counting_is_named_with_what_was_skipped(dialect: str, copies: int) -> None:
    said = diagnose(OLDER_PEOPLE * copies, dialect, CHIRP)
    assert f"{76 * copies} bytes came. A frame seems to start {copies} times" in said
    assert f"no frame of a known layout: {76 * copies} bytes were skipped" in said
    assert "52 bytes" in said
    assert 'dialect = "auto"' in said


@pytest.mark.parametrize("dialect", ["sdk1", "people"])
@pytest.mark.parametrize("data", [frames(), b"".join(without_points(number, 301) for number in range(5))])
def test_another_dialect_than_the_configured_one_is_named(dialect: str, data: bytes) -> None:
    said = diagnose(data, dialect, CHIRP, "[sensors.side]")
    remedy = 'In [sensors.side] set dialect = "sdk3" or "auto".'
    assert said == f'Frames came, but of dialect "sdk3", not "{dialect}". {remedy}'


def test_frames_that_lack_points_are_told_by_their_tlvs() -> None:
    said = diagnose(b"".join(without_points(number, 2) for number in range(1, 6)), "auto", CHIRP)
    assert said.startswith("5 frames came, but none has all its points (cut_frames 5, pointless_frames 5).")
    assert "types 2. Switch detectedObjects on" in said
    assert "low-power" not in said
    assert "301 are points of low-power radars" in pointless([301])


def test_frames_of_no_known_layout_are_shown() -> None:
    header = MAGIC + struct.pack("<8I", 3, 96, 0xA6843, 1, 2, 3, 4, 5)
    said = diagnose((header + bytes(range(56))) * 4, "auto", CHIRP)
    assert "384 bytes came. A frame seems to start 4 times, but there is no frame of a known layout" in said
    assert "cut_frames" in said
    assert header[:40].hex() in said


@given(st.lists(st.sampled_from([MAGIC, OLDER_PEOPLE, frames(1), b"\0" * 9, b"\xff" * 30, b"mmwDemo:/>"]), max_size=8))
def test_whatever_comes_is_told_in_a_few_sentences(pieces: list[bytes]) -> None:
    for dialect in ("auto", "people"):
        said = diagnose(b"".join(pieces), dialect, CHIRP)
        assert said.endswith(".")
        assert said.isprintable()
        assert len(said) < 900
