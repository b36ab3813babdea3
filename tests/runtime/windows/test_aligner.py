from __future__ import annotations

import time
from dataclasses import replace
from typing import Dict, Iterable, List, Tuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmo_runtime.models.features import WindowArray
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick, Truth
from tests.runtime.rigs import infos
from tests.runtime.windows.folding import INFOS, S, Samples, all_ok, ends_s, fold


def test_windows_end_at_the_multiples_of_the_hop_once_a_whole_window_has_passed(
    spec: ModelSpec, samples: Samples
) -> None:
    assert ends_s(fold(spec, samples("imu", 100.2, 103.1))) == [101.5, 102.0, 102.5, 103.0]
    assert ends_s(fold(spec, samples("imu", 100.0, 101.6))) == [101.0, 101.5]


def test_a_window_closes_when_the_stamps_have_reached_its_end(imu_spec: ModelSpec) -> None:
    stamps = [*range(0, S, 50_000_000), S - 1]
    aligner = Aligner(imu_spec, INFOS)
    assert fold(imu_spec, [Sample("imu", stamp, stamp, np.zeros(9, np.float32)) for stamp in stamps], aligner) == []
    assert ends_s(aligner.feed(Sample("imu", S, S, np.zeros(9, np.float32)))) == [1.0]


def test_a_linear_signal_is_interpolated_exactly(imu_spec: ModelSpec) -> None:
    slopes = np.arange(1, 10)

    def signal(stamps_ns: object) -> np.ndarray:
        return np.asarray(stamps_ns)[..., np.newaxis] / 1e9 * slopes

    later = np.random.default_rng(1).permutation(np.arange(1, 2 * S, 7_654_321))[:200]  # irregular, some lost
    stamps = [0, *sorted(later.tolist())]
    events = [Sample("imu", stamp, stamp, signal(stamp).astype(np.float32)) for stamp in stamps]
    windows = fold(imu_spec, events)
    assert ends_s(windows) == [1.0, 1.5]
    for window in windows:
        grid = window.end_ns - np.arange(19, -1, -1) * 50_000_000
        assert np.shape(window.arrays["imu"]) == (20, 6)
        np.testing.assert_allclose(window.arrays["imu"], signal(grid)[:, :6], atol=2e-6)


def test_frames_are_the_nearest_ones_and_none_after_the_windows_end(spec: ModelSpec, samples: Samples) -> None:
    depth = samples("depth", 0, 3)
    radar = samples("radar", 0, 3)
    window = fold(spec, [*all_ok(), *samples("imu", 0, 3), *depth, *radar])[2]
    assert window.end_ns == 2 * S
    for name, frames, step_ns in ("depth", depth, S // 5), ("radar", radar, S // 10):
        usable = [frame for frame in frames if frame.stamp_ns <= window.end_ns]
        grid = [window.end_ns - step_ns * back for back in range(len(window.arrays[name]))][::-1]
        for at_ns, taken in zip(grid, window.arrays[name]):
            nearest = min(usable, key=lambda frame: abs(frame.stamp_ns - at_ns))
            np.testing.assert_array_equal(taken, _features(spec, name, nearest.data[np.newaxis])[0])
    assert len(window.arrays["depth"]) == 5
    assert len(window.arrays["radar"]) == 10


@pytest.mark.parametrize("size", [(8, 12), (27, 37)])
def test_features_of_samples_as_they_arrive_are_those_of_whole_windows_bit_for_bit(
    spec: ModelSpec, samples: Samples, size: Tuple[int, int]
) -> None:
    random = np.random.default_rng(0)

    def unlike_others(sample: Sample) -> Sample:
        if sample.sensor == "depth":
            return replace(
                sample, data=(random.integers(0, 9000, size) * random.integers(0, 2, size)).astype(np.uint16)
            )
        points = random.normal(0, 3, (random.integers(0, 90), 5)).astype(np.float32)
        points[random.random(points.shape) < 0.1] = np.nan
        return replace(sample, data=points)

    pictures = [unlike_others(sample) for name in ("depth", "radar") for sample in samples(name, 0, 3)]
    events = [*all_ok(), *samples("imu", 0, 3), *pictures]
    windows, raw_windows = fold(spec, events), fold(spec, events, Aligner(spec, INFOS, raw=True))
    assert len(windows) == len(raw_windows) == 4
    for window, raw in zip(windows, raw_windows):
        assert set(window.arrays) == set(raw.arrays) == {"imu", "depth", "radar"}
        for name, array in raw.arrays.items():
            whole, arrived = _features(spec, name, array), window.arrays[name]
            assert (arrived.dtype, arrived.shape, arrived.tobytes()) == (whole.dtype, whole.shape, whole.tobytes())


def test_windows_of_raw_pictures_have_the_fingerprint_that_earlier_versions_gave_them(
    spec: ModelSpec, samples: Samples
) -> None:
    events = [*all_ok(), *(sample for name in ("imu", "depth", "radar") for sample in samples(name, 0, 1.2))]
    (window,) = fold(spec, events, Aligner(spec, INFOS, raw=True))
    assert window.digest() == "a6b636825c988d827e563a2d2b5093b3"


def _features(spec: ModelSpec, name: str, raw: WindowArray) -> np.ndarray:
    (modality,) = (item for item in spec.modalities if item.sensor == name)
    return modality.kind_row.features(raw, modality.shape, INFOS[name].depth_scale_m or 1.0)


def test_a_frame_after_the_end_is_not_taken_however_near(spec: ModelSpec) -> None:
    def frame(stamp_ms: int) -> Sample:
        return Sample("depth", stamp_ms * 10**6, stamp_ms * 10**6, np.full((8, 12), stamp_ms, np.uint16))

    windows = fold(spec, map(frame, (0, 200, 400, 600, 800, 901, 1001)))
    assert windows[0].end_ns == S
    blocks_m = [image[0, 0] for image in windows[0].arrays["depth"]]
    assert blocks_m == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.901])


def test_points_of_a_frame_stay_together(spec: ModelSpec, samples: Samples) -> None:
    windows = fold(spec, samples("radar", 0, 2))
    counts = {int(points.any(axis=1).sum()) for window in windows for points in window.arrays["radar"]}
    assert 0 in counts  # a frame without points is a measurement
    assert len(counts) > 3


def test_a_window_waits_for_the_slowest_sensor_that_is_ok(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, INFOS)
    assert fold(spec, [*all_ok(), *samples("imu", 0, 3), *samples("radar", 0, 3)], aligner) == []
    windows = fold(spec, samples("depth", 0, 2.2), aligner)
    assert ends_s(windows) == [1.0, 1.5, 2.0]
    for window in windows:
        assert all(window.present.values())
        assert not window.late
        awaited = next(frame for frame in samples("depth", 0, 3) if frame.stamp_ns >= window.end_ns)
        assert window.complete_ns == awaited.arrival_ns


def test_a_window_waits_no_longer_than_the_lateness_budget(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, INFOS, lateness_s=0.3)
    fold(spec, [*all_ok(), *samples("imu", 0, 2), *samples("radar", 0, 2)], aligner)
    assert aligner.feed(Tick(1_299_999_999)) == []
    (window,) = aligner.feed(Tick(1_300_000_000))
    assert window.end_ns == S
    assert window.late
    assert window.complete_ns == 1_300_000_000
    assert window.present == {"imu": True, "depth": False, "radar": True}
    assert set(window.arrays) == {"imu", "radar"}


def test_one_tick_closes_all_windows_that_waited_too_long_oldest_first(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, INFOS)
    fold(spec, [*all_ok(), *samples("imu", 0, 3)], aligner)
    assert ends_s(aligner.feed(Tick(round(2.4 * S)))) == [1.0, 1.5, 2.0]


def test_a_lost_sensor_is_not_waited_for(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, INFOS)
    fold(spec, [*all_ok(), *samples("imu", 0, 3), *samples("radar", 0, 3), *samples("depth", 0, 0.9)], aligner)
    lost = StateChange("depth", 3 * S, "lost", "unplugged")
    windows = aligner.feed(lost)
    assert ends_s(windows) == [1.0, 1.5, 2.0, 2.5]
    assert [window.present["depth"] for window in windows] == [True, False, False, False]
    assert not any(window.late for window in windows)
    assert {window.complete_ns for window in windows} == {3 * S}


def test_a_sensor_that_comes_back_is_waited_for_again(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, INFOS)
    lost, back = StateChange("depth", S, "lost"), StateChange("depth", 2 * S, "ok")
    fold(spec, [*all_ok(), *samples("radar", 0, 4), *samples("depth", 0, 1), lost], aligner)
    assert ends_s(fold(spec, samples("imu", 0, 2.2), aligner)) == [1.0, 1.5, 2.0]
    assert fold(spec, [back, *samples("imu", 2.2, 4)], aligner) == []
    windows = fold(spec, samples("depth", 2.2, 3.6), aligner)
    assert ends_s(windows) == [2.5, 3.0, 3.5]
    assert [window.present["depth"] for window in windows] == [False, True, True]


def test_a_sensor_that_has_not_begun_is_not_waited_for(spec: ModelSpec, samples: Samples) -> None:
    windows = fold(spec, samples("imu", 0, 2.1))
    assert ends_s(windows) == [1.0, 1.5, 2.0]
    assert all(window.present == {"imu": True, "depth": False, "radar": False} for window in windows)


def test_a_sensor_that_is_faster_than_it_is_said_to_be_fills_its_windows(imu_spec: ModelSpec, samples: Samples) -> None:
    expected = [window.digest() for window in fold(imu_spec, samples("imu", 0, 4.2))]
    assert [window.digest() for window in fold(imu_spec, samples("imu", 0, 4.2), Aligner(imu_spec, infos(imu=1)))] == (
        expected
    )


@pytest.mark.parametrize("rate_hz", [float("nan"), float("inf"), -1.0, 1e15])
def test_any_rate_that_a_file_may_tell_gives_windows(imu_spec: ModelSpec, samples: Samples, rate_hz: float) -> None:
    assert len(fold(imu_spec, samples("imu", 0, 1.2), Aligner(imu_spec, infos(imu=rate_hz)))) == 1


_CENTURY_NS = 100 * 365 * 86_400 * S


def test_a_jump_of_a_hundred_years_takes_no_time_and_gives_the_windows_after_it(
    spec: ModelSpec, samples: Samples
) -> None:
    def later(sample: Sample) -> Sample:
        return replace(sample, stamp_ns=sample.stamp_ns + _CENTURY_NS, arrival_ns=sample.arrival_ns + _CENTURY_NS)

    aligner = Aligner(spec, INFOS)
    stream = [sample for name in INFOS for sample in samples(name, 0, 2.2)]
    began = time.monotonic()
    events = sorted([*stream, *map(later, stream)], key=lambda sample: sample.arrival_ns)
    windows = fold(spec, [*events, Tick(_CENTURY_NS + 2 * S + 300_000_000)], aligner)
    assert windows[-1].end_ns == _CENTURY_NS + 2 * S
    assert all(windows[-1].present.values())
    windows += aligner.feed(Tick(50 * _CENTURY_NS)) + aligner.feed(Tick(51 * _CENTURY_NS))
    assert time.monotonic() - began < 30
    assert windows[-1].end_ns < _CENTURY_NS + 3 * S
    assert aligner.empty_windows > 51 * _CENTURY_NS / spec.hop_ns - 20


@pytest.mark.parametrize("stamp_ns", [_CENTURY_NS, 2**63 - 1, 2**64 - 1, -(2**63), 2**80])
def test_a_stamp_that_cannot_be_true_is_refused_and_harms_nothing(
    imu_spec: ModelSpec, samples: Samples, stamp_ns: int
) -> None:
    stream = samples("imu", 0, 1.7)
    expected = [window.digest() for window in fold(imu_spec, stream)]
    wrong = replace(stream[60], stamp_ns=stamp_ns)
    assert [window.digest() for window in fold(imu_spec, [*stream[:60], wrong, *stream[60:]])] == expected


def test_samples_that_come_after_their_window_closed_change_nothing_but_the_later_windows(
    spec: ModelSpec, samples: Samples
) -> None:
    aligner = Aligner(spec, INFOS)
    fold(spec, [*all_ok(), *samples("imu", 0, 2.2), *samples("radar", 0, 2.2)], aligner)
    assert [window.present["depth"] for window in aligner.feed(Tick(round(1.3 * S)))] == [False]
    windows = fold(spec, samples("depth", 0, 2.2), aligner)  # a second too late, but complete
    assert ends_s(windows) == [1.5, 2.0]
    assert all(window.present["depth"] for window in windows)


def test_a_sample_out_of_order_is_refused_and_closes_nothing(imu_spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(imu_spec, INFOS)
    stream = samples("imu", 0, 1.2)
    before = fold(imu_spec, [*stream, stream[50]], aligner)
    assert len(before) == 1
    assert aligner.rings["imu"].out_of_order == 1


def test_when_all_sensors_are_lost_and_come_back_no_window_is_made_of_nothing(
    spec: ModelSpec, samples: Samples
) -> None:
    names = ("imu", "depth", "radar")
    aligner = Aligner(spec, INFOS)
    first = [sample for name in names for sample in samples(name, 0, 2.2)]
    lost = [StateChange(name, round(2.2 * S), "lost") for name in names]
    ticks = [Tick(ms * 10**6) for ms in range(2200, 60_000, 20)]
    again = [sample for name in names for sample in samples(name, 60.3, 62.2)]
    windows = fold(spec, [*all_ok(), *first, *lost, *ticks, *all_ok(60.3), *again], aligner)
    assert ends_s(windows) == [1.0, 1.5, 2.0, 2.5, 61.0, 61.5, 62.0]
    assert aligner.empty_windows == (60.5 - 2.5) / 0.5
    assert all(all(window.present.values()) for window in windows[:3] + windows[-3:])


def test_sensors_and_events_that_the_model_does_not_know_are_passed_over(imu_spec: ModelSpec, samples: Samples) -> None:
    strange: List[Event] = [
        Truth(0, "walk"),
        StateChange("radar", 0, "lost"),
        *samples("radar", 0, 5),
        *samples("imu", 0, 1.2),
    ]
    assert ends_s(fold(imu_spec, strange)) == [1.0]


def test_the_digest_tells_any_difference(spec: ModelSpec, samples: Samples) -> None:
    def window(**changes: object) -> str:
        arrays: Dict[str, object] = {
            "imu": np.zeros((20, 6), np.float32),
            "radar": [np.zeros((2, 5), np.float32), np.zeros((3, 5), np.float32)],
        }
        arrays.update(changes)
        return Window(S, arrays, {}, S).digest()  # type: ignore[arg-type]

    other = np.zeros((20, 6), np.float32)
    other[7, 3] = 1e-30
    moved = [np.zeros((3, 5), np.float32), np.zeros((2, 5), np.float32)]
    assert len({window(), window(imu=other), window(radar=moved), window(depth=np.zeros(0, np.uint16))}) == 4
    assert window() == window()


@st.composite
def _interleavings(draw: st.DrawFn) -> List[str]:
    """An order of three streams' pieces of 100 ms in which none runs more than two seconds ahead."""
    left = {"imu": 40, "depth": 40, "radar": 40}
    order = []
    while any(left.values()):
        behind = max(left.values())
        name = draw(st.sampled_from([name for name, pieces in left.items() if pieces and behind - pieces < 20]))
        left[name] -= 1
        order.append(name)
    return order


@settings(max_examples=50)
@given(_interleavings())
def test_windows_closed_by_watermark_do_not_depend_on_the_order_in_which_sensors_arrive(
    spec: ModelSpec, samples: Samples, order: List[str]
) -> None:
    def windows(order: Iterable[str]) -> Dict[int, str]:
        pieces = {name: iter(range(40)) for name in INFOS}
        events = all_ok()
        for name in order:
            start_s = next(pieces[name]) / 10
            events += samples(name, start_s, start_s + 0.1)
        return {window.end_ns: window.digest() for window in fold(spec, events)}

    expected = windows(name for _ in range(40) for name in INFOS)
    assert len(expected) == 6
    assert windows(order) == expected
