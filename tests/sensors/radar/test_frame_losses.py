"""Frames: what was lost is counted, and when a frame came."""

from __future__ import annotations

from collections import Counter
from typing import Sequence

import pytest

from cosmo_runtime.sensors.radar.frames import Frame, FrameParser, encode_frame
from tests.sensors.radar.packets import (
    CHIRP,
    PERIOD_NS,
    some_points,
    stream,
)


def feed_at_frame_rate(parser: FrameParser, packets: Sequence[bytes]) -> list[Frame]:
    return [frame for i, packet in enumerate(packets) for frame in parser.feed(packet, i * PERIOD_NS)]


def test_missing_numbers_are_lost_samples() -> None:
    packets = stream([3] * 10)
    del packets[4:7]
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, packets)
    assert [frame.frame_number for frame in frames] == [10, 11, 12, 13, 17, 18, 19]
    assert parser.counts["lost_samples"] == 3


def test_what_a_stall_of_the_host_loses_is_counted_by_its_number() -> None:
    """The kernel keeps some frames. They all come at once, and then those of the present."""
    packets = stream([3] * 300)
    kept, present = packets[20:25], packets[265:]
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, packets[:20])
    for i, packet in enumerate(kept + present):
        frames += parser.feed(packet, (265 + i) * PERIOD_NS)
    assert [frame.frame_number for frame in frames] == [*range(10, 35), *range(275, 310)]
    assert +parser.counts == Counter(lost_samples=240)


def test_two_stalls_and_a_cut_frame_between_are_all_counted() -> None:
    packets = stream([3] * 600)
    sent = [*packets[:20], packets[20][:100], *packets[200:210], *packets[400:]]
    parser = FrameParser(chirp=CHIRP)
    at = [*range(20), 200, *range(200, 210), *range(400, 600)]
    frames = [frame for i, packet in zip(at, sent) for frame in parser.feed(packet, i * PERIOD_NS)]
    assert sum(frame.complete for frame in frames) == 230
    assert +parser.counts == Counter(lost_samples=179 + 190, cut_frames=1)


@pytest.mark.parametrize("number", [0, 3, 12, 1000, 2**32 - 1])
def test_a_corrupt_number_costs_one_frame(number: int) -> None:
    packets = stream([3] * 10)
    packets[4] = encode_frame(number, some_points(3))
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, packets)
    assert [frame.frame_number for frame in frames] == [10, 11, 12, 13, 15, 16, 17, 18, 19]
    assert +parser.counts == Counter(lost_samples=1, misnumbered_frames=1)


def test_a_radar_that_restarts_its_numbers_loses_no_frame() -> None:
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, stream([3] * 4, first=5000) + stream([3] * 4, first=1))
    assert [frame.frame_number for frame in frames] == [5000, 5001, 5002, 5003, 1, 2, 3, 4]
    assert +parser.counts == Counter(renumberings=1)


def test_numbers_that_no_time_could_have_brought_are_a_new_start_and_no_loss() -> None:
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, stream([3] * 4, first=1) + stream([3] * 4, first=5000))
    assert [frame.frame_number for frame in frames] == [1, 2, 3, 4, 5000, 5001, 5002, 5003]
    assert +parser.counts == Counter(renumberings=1)


def test_losses_after_a_new_start_are_counted_from_there() -> None:
    restarted = stream([3] * 400, first=1)
    packets = stream([3] * 4, first=5000) + restarted[:4]
    parser = FrameParser(chirp=CHIRP)
    feed_at_frame_rate(parser, packets)
    for i, packet in enumerate(restarted[4:6] + restarted[304:]):
        parser.feed(packet, (308 + i) * PERIOD_NS)
    assert +parser.counts == Counter(renumberings=1, lost_samples=298)


def test_a_frame_is_stamped_when_its_magic_is_there_not_its_last_byte() -> None:
    packet = encode_frame(1, some_points(200))
    parser = FrameParser()
    arrivals = [
        frame.arrival_ns for at in range(0, 2 * len(packet), 5) for frame in parser.feed((packet * 2)[at : at + 5], at)
    ]
    assert arrivals[0] == 5  # bytes 5 to 9 bring the eighth of the magic
