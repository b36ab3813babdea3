"""Gaps in what a sensor sends: bridged where they are short, absent where they are long."""

from __future__ import annotations

from typing import List

import numpy as np
import pytest

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Event, Sample, Tick
from tests.runtime.windows.folding import INFOS, S, Samples, all_ok, ends_s, fold


@pytest.mark.parametrize("share, present", [(0.8, True), (0.4, False)])
def test_too_little_data_is_absent_not_invented(spec: ModelSpec, samples: Samples, share: float, present: bool) -> None:
    """A stream that stopped covers the steps up to a quarter of a second after its last sample."""
    events = [*all_ok(), *samples("imu", 0, 1.2), *samples("radar", 0, share), *samples("depth", 0, share)]
    (window,) = fold(spec, [*events, Tick(round(1.4 * S))])
    assert window.present == {"imu": True, "depth": present, "radar": present}
    assert set(window.arrays) == {name for name, there in window.present.items() if there}


def test_a_short_gap_is_bridged_and_a_long_one_makes_a_sensor_absent(imu_spec: ModelSpec, samples: Samples) -> None:
    for gap_s, present in (0.4, True), (1.0, False):
        events = [*samples("imu", 0, 0.45), *samples("imu", 0.45 + gap_s, 2)]
        windows = {window.end_ns: window for window in fold(imu_spec, events)}
        assert (S in windows) == present


def test_a_bridged_gap_is_a_straight_line(imu_spec: ModelSpec) -> None:
    stamps = [ms * 10**6 for ms in range(0, 1101, 10) if not 400 < ms < 800]
    events = [Sample("imu", stamp, stamp, np.full(9, stamp / 1e9, np.float32)) for stamp in stamps]
    (window,) = fold(imu_spec, events)
    np.testing.assert_allclose(window.arrays["imu"], np.outer(np.arange(1, 21) * 0.05, np.ones(6)), atol=1e-6)


def test_a_field_that_the_imu_does_not_send_makes_it_absent_only_where_the_model_needs_it(
    spec: ModelSpec, samples: Samples
) -> None:
    def without(columns: slice) -> List[Event]:
        streams = [*samples("imu", 0, 1.2)]
        for sample in streams:
            sample.data[columns] = np.nan
        return [*all_ok(), *samples("radar", 0, 1.2), *samples("depth", 0, 1.2), *streams]

    (window,) = fold(spec, without(slice(6, 9)))  # no magnetometer; six channels are asked for
    assert window.present["imu"]
    assert np.isfinite(window.arrays["imu"]).all()
    (window,) = fold(spec, without(slice(3, 6)))  # no gyroscope
    assert window.present == {"imu": False, "depth": True, "radar": True}


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_value_is_bridged_in_its_channel_alone(imu_spec: ModelSpec, samples: Samples, broken: float) -> None:
    stream = samples("imu", 0, 2.7)
    whole = fold(imu_spec, [*all_ok(), *stream])
    straight = (stream[119].data[1] + stream[121].data[1]) / 2
    stream[120].data[1] = broken
    windows = fold(imu_spec, [*all_ok(), *stream])
    assert ends_s(windows) == [1.0, 1.5, 2.0, 2.5]
    for window, before in zip(windows, whole):
        expected = before.arrays["imu"].copy()
        expected[window.end_ns - (19 - np.arange(20)) * 50_000_000 == 1.2 * S, 1] = straight
        np.testing.assert_allclose(window.arrays["imu"], expected, atol=1e-6)


def _by_message(acceleration_hz: int, angular_rate_hz: int, stop_s: float, start_s: float = 0) -> List[Event]:
    """An IMU whose channels are straight lines and come in messages of their own."""
    events: List[Event] = []
    for columns, rate_hz in (slice(0, 3), acceleration_hz), (slice(3, 6), angular_rate_hz):
        for stamp in range(round(start_s * S) + 1_000_000 * columns.start, round(stop_s * S), S // rate_hz):
            data = np.full(9, np.nan, np.float32)
            data[columns] = (stamp / 1e9) * np.arange(1, 10)[columns]
            events.append(Sample("imu", stamp, stamp, data))
    return sorted(events, key=lambda event: event.stamp_ns)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("acceleration_hz", "angular_rate_hz"), [(100, 100), (50, 100), (100, 50), (100, 10), (400, 8)]
)
def test_channels_that_come_in_different_messages_are_interpolated_each_over_its_own(
    imu_spec: ModelSpec, acceleration_hz: int, angular_rate_hz: int
) -> None:
    windows = fold(imu_spec, _by_message(acceleration_hz, angular_rate_hz, 2.8))
    assert ends_s(windows) == [1.5, 2.0, 2.5] or ends_s(windows) == [1.0, 1.5, 2.0, 2.5]
    for window in windows[1:]:
        grid = window.end_ns - np.arange(19, -1, -1) * 50_000_000
        np.testing.assert_allclose(window.arrays["imu"], np.outer(grid / 1e9, np.arange(1, 7)), atol=2e-6)


def test_a_window_waits_for_the_slower_channels_of_an_imu_but_for_none_that_has_stopped(imu_spec: ModelSpec) -> None:
    aligner = Aligner(imu_spec, INFOS)
    before = [event for event in _by_message(100, 8, 1.2) if event.stamp_ns <= 1.003 * S]  # type: ignore[union-attr]
    assert fold(imu_spec, before, aligner) == []  # the angular rate has come up to 0.878 s
    late = Sample("imu", 1_004_000_000, 1_004_000_000, np.ones(9, np.float32))
    assert ends_s(aligner.feed(late)) == [1.0]
    rest = _by_message(100, 1, 2.3, start_s=1.01)  # the angular rate comes at 1.013 and 2.013 s
    assert ends_s(fold(imu_spec, rest, aligner)) == [1.5]
    assert aligner.empty_windows == 1
    assert aligner.lacking == {"imu": "angular rate for 25% of the window, 75% needed"}


def test_what_an_absent_sensor_lacked_is_told(spec: ModelSpec, samples: Samples) -> None:
    aligner = Aligner(spec, INFOS)
    imu = samples("imu", 0, 1.2)
    for sample in imu:
        sample.data[3:6] = np.nan
    depth = samples("depth", 0, 0.4)
    fold(spec, [*all_ok(), *imu, *depth, Tick(round(1.4 * S))], aligner)
    assert aligner.lacking == {
        "imu": "no angular rate",
        "depth": "frames for 40% of the window, 75% needed",
        "radar": "no samples",
    }
    assert {modality.sensor: aligner.lacks(modality, S) for modality in spec.modalities} == aligner.lacking
    fold(spec, [Tick(9 * S)], aligner)
    assert aligner.lacking == dict.fromkeys(spec.sensors, "no samples")
    again = [sample for name in INFOS for sample in samples(name, 10, 11.7)]
    assert fold(spec, again, aligner)[-1].present == dict.fromkeys(spec.sensors, True)
    assert aligner.lacking == {}
    assert [aligner.lacks(modality, round(11.5 * S)) for modality in spec.modalities] == ["", "", ""]
