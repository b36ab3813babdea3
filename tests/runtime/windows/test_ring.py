from __future__ import annotations

from typing import List, Tuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.runtime.windows.ring import RingBuffer
from cosmo_runtime.sensors.events import Sample


def _sample(stamp_ns: int, rows: int = 2) -> Sample:
    return Sample("radar", stamp_ns, stamp_ns, np.full((rows, 5), stamp_ns, np.float32))


def test_an_empty_ring_has_no_stamps() -> None:
    ring = RingBuffer(4)
    assert len(ring) == 0
    assert ring.newest_stamp_ns == -1
    assert ring.stamps_ns().tolist() == []


def test_the_oldest_makes_room_for_the_newest() -> None:
    ring = RingBuffer(3)
    assert all(ring.append(_sample(stamp)) for stamp in (1, 2, 3, 4, 5))
    assert ring.stamps_ns().tolist() == [3, 4, 5]
    assert ring.take(np.array([0, 2]))[:, 0, 0].tolist() == [3, 5]


@pytest.mark.parametrize("stamp", [7, 6])
def test_a_stamp_that_does_not_lie_after_the_newest_is_refused_and_counted(stamp: int) -> None:
    ring = RingBuffer(3)
    ring.append(_sample(7))
    assert not ring.append(_sample(stamp))
    assert ring.stamps_ns().tolist() == [7]
    assert ring.out_of_order == 1


def test_samples_of_any_length_come_back_with_their_length() -> None:
    ring = RingBuffer(4)
    for stamp, rows in (1, 0), (2, 3), (3, 200), (4, 1):
        ring.append(_sample(stamp, rows))
    taken = ring.take_ragged(np.array([0, 1, 2, 3, 1]))
    assert [len(points) for points in taken] == [0, 3, 200, 1, 3]
    assert all((points == stamp).all() for points, stamp in zip(taken, (1, 2, 3, 4, 2)))


def test_what_was_taken_out_does_not_change_with_the_ring() -> None:
    ring = RingBuffer(2)
    ring.append(_sample(1))
    ragged, even = ring.take_ragged(np.array([0])), ring.take(np.array([0]))
    for stamp in 2, 3, 4:
        ring.append(_sample(stamp))
    assert (ragged[0] == 1).all()
    assert (even == 1).all()


def test_a_sample_that_changes_after_it_was_handed_over_does_not_change_the_ring() -> None:
    ring = RingBuffer(2)
    sample = _sample(1)
    ring.append(sample)
    sample.data[:] = 99
    assert (ring.take(np.array([0])) == 1).all()


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 90)), max_size=40))
def test_any_sequence_of_samples_leaves_what_a_plain_list_would_hold(
    capacity: int, arrivals: List[Tuple[int, int]]
) -> None:
    ring = RingBuffer(capacity)
    kept: List[Sample] = []
    refused = 0
    for stamp, rows in arrivals:
        sample = _sample(stamp, rows)
        fits = not kept or stamp > kept[-1].stamp_ns
        assert ring.append(sample) == fits
        if fits:
            kept.append(sample)
        else:
            refused += 1
        held = kept[-capacity:]
        assert len(ring) == len(held)
        assert ring.newest_stamp_ns == (held[-1].stamp_ns if held else -1)
        assert ring.stamps_ns().tolist() == [sample.stamp_ns for sample in held]
        if held:
            for points, sample in zip(ring.take_ragged(np.arange(len(held))), held):
                np.testing.assert_array_equal(points, sample.data)
        assert ring.out_of_order == refused


def test_what_is_young_enough_is_kept_however_fast_it_comes() -> None:
    ring = RingBuffer(3, keep_ns=10)
    for stamp in range(1, 100):
        ring.append(_sample(stamp, rows=stamp % 5))
    assert ring.stamps_ns().tolist()[-11:] == list(range(89, 100))
    assert len(ring) <= 24
    positions = np.arange(len(ring))
    for stamp, points in zip(ring.stamps_ns(), ring.take_ragged(positions)):
        np.testing.assert_array_equal(points, np.full((stamp % 5, 5), stamp, np.float32))


def test_a_ring_does_not_grow_beyond_its_share_of_memory() -> None:
    ring = RingBuffer(4, keep_ns=10**9)
    for stamp in range(1, 40):
        ring.append(Sample("depth", stamp, stamp, np.zeros((1000, 2000), np.uint16)))
    assert len(ring) == 16  # of 4 MB


def test_the_first_stamp_after_a_time() -> None:
    ring = RingBuffer(3)
    assert ring.first_stamp_after_ns(-5) is None
    for stamp in 3, 5, 7, 9:
        ring.append(_sample(stamp))
    assert [ring.first_stamp_after_ns(time_ns) for time_ns in (0, 4, 5, 8, 9)] == [5, 5, 7, 9, None]


@pytest.mark.parametrize(("stamp_ns", "arrival_ns"), [(10 * 10**9, 8 * 10**9), (2**63, 2**63)])
def test_a_stamp_that_cannot_be_true_is_refused_and_counted(stamp_ns: int, arrival_ns: int) -> None:
    ring = RingBuffer(3)
    assert not ring.append(Sample("radar", stamp_ns, arrival_ns, np.zeros((1, 5))))
    assert ring.out_of_order == 1


def test_a_sample_of_another_width_is_refused_and_a_shorter_one_holds_nothing_of_what_was_there() -> None:
    def image(stamp: int, height: int, width: int) -> Sample:
        return Sample("depth", stamp, stamp, np.full((height, width), stamp, np.uint16))

    ring = RingBuffer(2)
    assert [ring.append(image(*size)) for size in ((1, 4, 6), (2, 4, 6), (3, 4, 5), (4, 2, 6))] == [1, 1, 0, 1]
    assert ring.out_of_order == 1
    assert ring.take(np.array([1]))[0, :, 0].tolist() == [4, 4, 0, 0]
