from __future__ import annotations

from typing import Callable, Dict, Iterable, List

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.spec import ModalitySpec, ModelSpec
from runtime.aligner import Aligner, Window
from sensors.events import Event, Sample, StateChange, Tick, Truth

Samples = Callable[..., List[Sample]]

_RATES_HZ = {"imu": 100.0, "depth": 15.0, "radar": 20.0}
_S = 10**9


def _fold(spec: ModelSpec, events: Iterable[Event], aligner: Aligner | None = None) -> List[Window]:
    aligner = aligner or Aligner(spec, _RATES_HZ)
    return [window for event in events for window in aligner.feed(event)]


def _ends_s(windows: Iterable[Window]) -> List[float]:
    return [window.end_ns / 1e9 for window in windows]


def _all_ok(at_s: float = 0) -> List[Event]:
    return [StateChange(name, round(at_s * 1e9), "ok") for name in _RATES_HZ]


@pytest.fixture
def imu_spec() -> ModelSpec:
    return ModelSpec(
        modalities=(ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),),
        window_s=1,
        hop_s=0.5,
        classes=("a", "b"),
        quality=(1,),
    )


def test_windows_end_at_the_multiples_of_the_hop_once_a_whole_window_has_passed(
    spec: ModelSpec, samples: Samples
) -> None:
    assert _ends_s(_fold(spec, samples("imu", 100.2, 103.1))) == [101.5, 102.0, 102.5, 103.0]
    assert _ends_s(_fold(spec, samples("imu", 100.0, 101.6))) == [101.0, 101.5]


def test_a_window_closes_when_the_stamps_have_reached_its_end(imu_spec: ModelSpec) -> None:
    stamps = [*range(0, _S, 50_000_000), _S - 1]
    aligner = Aligner(imu_spec, _RATES_HZ)
    assert _fold(imu_spec, [Sample("imu", stamp, stamp, np.zeros(9, np.float32)) for stamp in stamps], aligner) == []
    assert _ends_s(aligner.feed(Sample("imu", _S, _S, np.zeros(9, np.float32)))) == [1.0]


def test_a_linear_signal_is_interpolated_exactly(imu_spec: ModelSpec) -> None:
    slopes = np.arange(1, 10)

    def signal(stamps_ns: object) -> np.ndarray:
        return np.asarray(stamps_ns)[..., np.newaxis] / 1e9 * slopes

    later = np.random.default_rng(1).permutation(np.arange(1, 2 * _S, 7_654_321))[:200]  # irregular, some lost
    stamps = [0, *sorted(later.tolist())]
    events = [Sample("imu", stamp, stamp, signal(stamp).astype(np.float32)) for stamp in stamps]
    windows = _fold(imu_spec, events)
    assert _ends_s(windows) == [1.0, 1.5]
    for window in windows:
        grid = window.end_ns - np.arange(19, -1, -1) * 50_000_000
        assert np.shape(window.arrays["imu"]) == (20, 6)
        np.testing.assert_allclose(window.arrays["imu"], signal(grid)[:, :6], atol=2e-6)


def test_frames_are_the_nearest_ones_and_none_after_the_windows_end(spec: ModelSpec, samples: Samples) -> None:
    depth = samples("depth", 0, 3)
    radar = samples("radar", 0, 3)
    window = _fold(spec, [*_all_ok(), *samples("imu", 0, 3), *depth, *radar])[2]
    assert window.end_ns == 2 * _S
    for name, frames, step_ns in ("depth", depth, _S // 5), ("radar", radar, _S // 10):
        usable = [frame for frame in frames if frame.stamp_ns <= window.end_ns]
        grid = [window.end_ns - step_ns * back for back in range(len(window.arrays[name]))][::-1]
        for at_ns, taken in zip(grid, window.arrays[name]):
            nearest = min(usable, key=lambda frame: abs(frame.stamp_ns - at_ns))
            np.testing.assert_array_equal(taken, nearest.data)
    assert len(window.arrays["depth"]) == 5
    assert len(window.arrays["radar"]) == 10


def test_a_frame_after_the_end_is_not_taken_however_near(spec: ModelSpec) -> None:
    def frame(stamp_ms: int) -> Sample:
        return Sample("depth", stamp_ms * 10**6, stamp_ms * 10**6, np.full((8, 12), stamp_ms, np.uint16))

    windows = _fold(spec, map(frame, (0, 200, 400, 600, 800, 901, 1001)))
    assert windows[0].end_ns == _S
    assert [image[0, 0] for image in windows[0].arrays["depth"]] == [200, 400, 600, 800, 901]


def test_points_of_a_frame_stay_together(spec: ModelSpec, samples: Samples) -> None:
    windows = _fold(spec, samples("radar", 0, 2))
    counts = {len(points) for window in windows for points in window.arrays["radar"]}
    assert 0 in counts  # a frame without points is a measurement
    assert len(counts) > 3


def test_a_window_waits_for_the_slowest_sensor_that_is_ok(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, _RATES_HZ)
    assert _fold(spec, [*_all_ok(), *samples("imu", 0, 3), *samples("radar", 0, 3)], aligner) == []
    windows = _fold(spec, samples("depth", 0, 2.2), aligner)
    assert _ends_s(windows) == [1.0, 1.5, 2.0]
    for window in windows:
        assert all(window.present.values())
        assert not window.late
        awaited = next(frame for frame in samples("depth", 0, 3) if frame.stamp_ns >= window.end_ns)
        assert window.complete_ns == awaited.arrival_ns


def test_a_window_waits_no_longer_than_the_lateness_budget(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, _RATES_HZ, lateness_s=0.3)
    _fold(spec, [*_all_ok(), *samples("imu", 0, 2), *samples("radar", 0, 2)], aligner)
    assert aligner.feed(Tick(1_299_999_999)) == []
    (window,) = aligner.feed(Tick(1_300_000_000))
    assert window.end_ns == _S
    assert window.late
    assert window.complete_ns == 1_300_000_000
    assert window.present == {"imu": True, "depth": False, "radar": True}
    assert set(window.arrays) == {"imu", "radar"}


def test_one_tick_closes_all_windows_that_waited_too_long_oldest_first(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, _RATES_HZ)
    _fold(spec, [*_all_ok(), *samples("imu", 0, 3)], aligner)
    assert _ends_s(aligner.feed(Tick(round(2.4 * _S)))) == [1.0, 1.5, 2.0]


def test_a_lost_sensor_is_not_waited_for(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, _RATES_HZ)
    _fold(spec, [*_all_ok(), *samples("imu", 0, 3), *samples("radar", 0, 3), *samples("depth", 0, 0.9)], aligner)
    lost = StateChange("depth", 3 * _S, "lost", "unplugged")
    windows = aligner.feed(lost)
    assert _ends_s(windows) == [1.0, 1.5, 2.0, 2.5]
    assert [window.present["depth"] for window in windows] == [True, False, False, False]
    assert not any(window.late for window in windows)
    assert {window.complete_ns for window in windows} == {3 * _S}


def test_a_sensor_that_comes_back_is_waited_for_again(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, _RATES_HZ)
    lost, back = StateChange("depth", _S, "lost"), StateChange("depth", 2 * _S, "ok")
    _fold(spec, [*_all_ok(), *samples("radar", 0, 4), *samples("depth", 0, 1), lost], aligner)
    assert _ends_s(_fold(spec, samples("imu", 0, 2.2), aligner)) == [1.0, 1.5, 2.0]
    assert _fold(spec, [back, *samples("imu", 2.2, 4)], aligner) == []
    windows = _fold(spec, samples("depth", 2.2, 3.6), aligner)
    assert _ends_s(windows) == [2.5, 3.0, 3.5]
    assert [window.present["depth"] for window in windows] == [False, True, True]


def test_a_sensor_that_has_not_begun_is_not_waited_for(spec: ModelSpec, samples: Samples) -> None:
    windows = _fold(spec, samples("imu", 0, 2.1))
    assert _ends_s(windows) == [1.0, 1.5, 2.0]
    assert all(window.present == {"imu": True, "depth": False, "radar": False} for window in windows)


@pytest.mark.parametrize("share, present", [(0.8, True), (0.4, False)])
def test_too_little_data_is_absent_not_invented(spec: ModelSpec, samples: Samples, share: float, present: bool) -> None:
    """A stream that stopped covers the steps up to a quarter of a second after its last sample."""
    events = [*_all_ok(), *samples("imu", 0, 1.2), *samples("radar", 0, share), *samples("depth", 0, share)]
    (window,) = _fold(spec, [*events, Tick(round(1.4 * _S))])
    assert window.present == {"imu": True, "depth": present, "radar": present}
    assert set(window.arrays) == {name for name, there in window.present.items() if there}


def test_a_short_gap_is_bridged_and_a_long_one_makes_a_sensor_absent(imu_spec: ModelSpec, samples: Samples) -> None:
    for gap_s, present in (0.4, True), (1.0, False):
        events = [*samples("imu", 0, 0.45), *samples("imu", 0.45 + gap_s, 2)]
        windows = {window.end_ns: window for window in _fold(imu_spec, events)}
        assert (_S in windows) == present


def test_a_bridged_gap_is_a_straight_line(imu_spec: ModelSpec) -> None:
    stamps = [ms * 10**6 for ms in range(0, 1101, 10) if not 400 < ms < 800]
    events = [Sample("imu", stamp, stamp, np.full(9, stamp / 1e9, np.float32)) for stamp in stamps]
    (window,) = _fold(imu_spec, events)
    np.testing.assert_allclose(window.arrays["imu"], np.outer(np.arange(1, 21) * 0.05, np.ones(6)), atol=1e-6)


def test_a_field_that_the_imu_does_not_send_makes_it_absent_only_where_the_model_needs_it(
    spec: ModelSpec, samples: Samples
) -> None:
    def without(columns: slice) -> List[Event]:
        streams = [*samples("imu", 0, 1.2)]
        for sample in streams:
            sample.data[columns] = np.nan
        return [*_all_ok(), *samples("radar", 0, 1.2), *samples("depth", 0, 1.2), *streams]

    (window,) = _fold(spec, without(slice(6, 9)))  # no magnetometer; six channels are asked for
    assert window.present["imu"]
    assert np.isfinite(window.arrays["imu"]).all()
    (window,) = _fold(spec, without(slice(3, 6)))  # no gyroscope
    assert window.present == {"imu": False, "depth": True, "radar": True}


def test_a_window_with_a_broken_value_does_without_the_imu(imu_spec: ModelSpec, samples: Samples) -> None:
    stream = samples("imu", 0, 2.7)
    assert _ends_s(_fold(imu_spec, [*_all_ok(), *stream])) == [1.0, 1.5, 2.0, 2.5]
    stream[120].data[1] = np.inf
    assert _ends_s(_fold(imu_spec, [*_all_ok(), *stream])) == [1.0, 2.5]


def test_samples_that_come_after_their_window_closed_change_nothing_but_the_later_windows(
    spec: ModelSpec, samples: Samples
) -> None:
    aligner = Aligner(spec, _RATES_HZ)
    _fold(spec, [*_all_ok(), *samples("imu", 0, 2.2), *samples("radar", 0, 2.2)], aligner)
    assert [window.present["depth"] for window in aligner.feed(Tick(round(1.3 * _S)))] == [False]
    windows = _fold(spec, samples("depth", 0, 2.2), aligner)  # a second too late, but complete
    assert _ends_s(windows) == [1.5, 2.0]
    assert all(window.present["depth"] for window in windows)


def test_a_sample_out_of_order_is_refused_and_closes_nothing(imu_spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(imu_spec, _RATES_HZ)
    stream = samples("imu", 0, 1.2)
    before = _fold(imu_spec, [*stream, stream[50]], aligner)
    assert len(before) == 1
    assert aligner.rings["imu"].out_of_order == 1


def test_when_all_sensors_are_lost_and_come_back_no_window_is_made_of_nothing(
    spec: ModelSpec, samples: Samples
) -> None:
    names = ("imu", "depth", "radar")
    aligner = Aligner(spec, _RATES_HZ)
    first = [sample for name in names for sample in samples(name, 0, 2.2)]
    lost = [StateChange(name, round(2.2 * _S), "lost") for name in names]
    ticks = [Tick(ms * 10**6) for ms in range(2200, 60_000, 20)]
    again = [sample for name in names for sample in samples(name, 60.3, 62.2)]
    windows = _fold(spec, [*_all_ok(), *first, *lost, *ticks, *_all_ok(60.3), *again], aligner)
    assert _ends_s(windows) == [1.0, 1.5, 2.0, 2.5, 61.0, 61.5, 62.0]
    assert aligner.empty_windows == (60.5 - 2.5) / 0.5
    assert all(all(window.present.values()) for window in windows[:3] + windows[-3:])


def test_sensors_and_events_that_the_model_does_not_know_are_passed_over(imu_spec: ModelSpec, samples: Samples) -> None:
    strange: List[Event] = [
        Truth(0, "walk"),
        StateChange("radar", 0, "lost"),
        *samples("radar", 0, 5),
        *samples("imu", 0, 1.2),
    ]
    assert _ends_s(_fold(imu_spec, strange)) == [1.0]


def test_the_digest_tells_any_difference(spec: ModelSpec, samples: Samples) -> None:
    def window(**changes: object) -> str:
        arrays: Dict[str, object] = {
            "imu": np.zeros((20, 6), np.float32),
            "radar": [np.zeros((2, 5), np.float32), np.zeros((3, 5), np.float32)],
        }
        arrays.update(changes)
        return Window(_S, arrays, {}, _S).digest()  # type: ignore[arg-type]

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
        pieces = {name: iter(range(40)) for name in _RATES_HZ}
        events = _all_ok()
        for name in order:
            start_s = next(pieces[name]) / 10
            events += samples(name, start_s, start_s + 0.1)
        return {window.end_ns: window.digest() for window in _fold(spec, events)}

    expected = windows(name for _ in range(40) for name in _RATES_HZ)
    assert len(expected) == 6
    assert windows(order) == expected
