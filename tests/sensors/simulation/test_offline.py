"""A motion's events without waiting for it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.motion import Camera
from cosmo_runtime.sensors.simulation.offline import events
from cosmo_runtime.sensors.simulation.person import SimulatedPerson

SMALL = Camera(160, 90, 84.0, 84.0, 79.5, 44.5, 15.0, 0.001)
SECONDS = 4.0


@pytest.fixture(scope="module")
def person() -> SimulatedPerson:
    return SimulatedPerson(3, SMALL)


@pytest.fixture(scope="module")
def made(person: SimulatedPerson) -> list:
    try:
        return list(events(person, SECONDS, DepthConfig(decimation=2, min_m=0.0, max_m=60.0)))
    except SensorError as error:
        pytest.skip(str(error))


def test_every_sensor_brings_every_sample_in_order_of_time(made: list) -> None:
    samples = [event for event in made if isinstance(event, Sample)]
    assert Counter(sample.sensor for sample in samples) == {"imu": 401, "depth": 61, "radar": 81}
    stamps = [sample.stamp_ns for sample in samples]
    assert stamps == sorted(stamps)
    assert not any(isinstance(event, (Tick, StateChange)) for event in made)


def test_imu_and_radar_are_the_motions_own(made: list, person: SimulatedPerson) -> None:
    imu = [event for event in made if isinstance(event, Sample) and event.sensor == "imu"]
    times_s = np.array([sample.stamp_ns for sample in imu]) * 1e-9
    np.testing.assert_allclose([sample.data for sample in imu], person.imu(times_s), atol=1e-3)
    radar = [event for event in made if isinstance(event, Sample) and event.sensor == "radar"][40]
    np.testing.assert_array_equal(radar.data, person.radar(radar.stamp_ns * 1e-9))


def test_a_frame_is_the_one_of_its_stamp_decimated(made: list, person: SimulatedPerson) -> None:
    frames = [event for event in made if isinstance(event, Sample) and event.sensor == "depth"]
    for frame in frames[5], frames[40]:
        assert frame.data.shape == (45, 80)
        whole = person.depth(frame.stamp_ns * 1e-9)
        pixels = whole.reshape(45, 2, 80, 2).transpose(0, 2, 1, 3).reshape(45, 80, 4)
        among = (pixels == frame.data[..., np.newaxis]).any(-1)  # the filter takes one of the four, or their middle
        assert among.mean() > 0.5
        assert np.abs(np.median(pixels, axis=-1) - frame.data)[pixels.min(-1) > 0].mean() < 100


def test_the_truth_stands_before_what_it_is_about(made: list, person: SimulatedPerson) -> None:
    truths = [event for event in made if isinstance(event, Truth)]
    assert [(truth.stamp_ns, truth.activity) for truth in truths] == [
        (round(start.start_s * 1e9), start.activity) for start in person.activities(SECONDS)
    ]
    for position, event in enumerate(made):
        if isinstance(event, Truth):
            assert all(later.stamp_ns >= event.stamp_ns for later in made[position:])
            assert all(earlier.stamp_ns < event.stamp_ns for earlier in made[:position])


def test_a_camera_that_cannot_be_used_says_why(
    made: list, person: SimulatedPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise SensorError("no such profile")

    monkeypatch.setattr("cosmo_runtime.sensors.depth.sources.CameraSource._profile", broken)
    with pytest.raises(SensorError, match="no such profile"):
        list(events(person, 0.1, DepthConfig()))
