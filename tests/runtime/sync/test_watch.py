from __future__ import annotations

from typing import Dict, List

import numpy as np
import pytest

from cosmo_runtime.runtime.sync.watch import StepWatch, in_words
from cosmo_runtime.sensors.events import Correction, StateChange
from tests.runtime.rigs import infos
from tests.runtime.sync.made_up import BEGIN_NS, bursts, samples, seen, steps


def _news(watch: StepWatch, motion: np.ndarray, begin_s: float, **delays_s: float) -> List[Dict[str, float]]:
    """What a watch says of an IMU that turns as a radar's points move, looked at twice a second."""
    told = []
    for number, sample in enumerate(samples(seen(motion, **delays_s), begin_s)):
        watch.take(sample)
        news = watch.look(sample.arrival_ns) if number % 50 == 0 else None
        if news is not None:
            told.append(news)
    return told


def test_a_sensor_out_of_step_is_told_once_and_its_return_last() -> None:
    watch = StepWatch(infos(imu=100.0, radar=20.0))
    (late,) = _news(watch, bursts(100), 0, imu=0, radar=0.25)
    assert set(late) == {"radar"}
    assert 230 <= late["radar"] <= 270
    *meanwhile, end = _news(watch, bursts(240, seed=3), 100, imu=0, radar=0.02)
    assert end == {}
    assert all(100 < told["radar"] < late["radar"] for told in meanwhile)


def test_sensors_in_step_are_no_news_and_neither_is_what_cannot_be_told() -> None:
    assert _news(StepWatch(infos(imu=100.0, radar=20.0)), bursts(100), 0, imu=0, radar=0.05) == []
    assert _news(StepWatch(infos(imu=100.0, radar=20.0)), steps(100), 0, imu=0, radar=0.2) == []


def test_it_says_which_way_a_sensor_is_out_of_step() -> None:
    assert (
        in_words({"depth": 180, "imu": -120}) == "depth is 180 ms behind the others, imu is 120 ms ahead of the others"
    )
    assert in_words({}) == "all sensors are in step again"


def test_a_corrected_sensor_that_is_out_of_step_again_is_told_again() -> None:
    watch = StepWatch(infos(imu=100.0, radar=20.0))
    assert len(_news(watch, bursts(75), 0, imu=0, radar=0.25)) == 1
    watch.correct(Correction("radar", BEGIN_NS + 75 * 10**9, 250_000_000))
    assert _news(watch, bursts(40, seed=3), 75, imu=0, radar=0) == []
    again = _news(watch, bursts(110, seed=4), 115, imu=0, radar=0.2)
    assert {name for late in again for name in late} == {"radar"}
    assert again[0]["radar"] > 100  # of the last two minutes, in some of which it was in step


def test_a_delay_that_jumps_is_told_again_until_it_is_known() -> None:
    watch = StepWatch(infos(imu=100.0, radar=20.0))
    assert _news(watch, bursts(100), 0, imu=0, radar=0.02) == []
    told = [late["radar"] for late in _news(watch, bursts(200, seed=3), 100, imu=0, radar=0.3)]
    assert told == sorted(told)
    assert told[0] < 250 <= told[-1] <= 350, told
    assert _news(watch, bursts(60, seed=5), 300, imu=0, radar=0.3) == []


def test_what_a_sensor_saw_before_it_was_lost_counts_no_more() -> None:
    watch = StepWatch(infos(imu=100.0, radar=20.0))
    assert _news(watch, bursts(55), 0, imu=0, radar=0) == []
    watch.change(StateChange("radar", BEGIN_NS + 55 * 10**9, "lost", "unplugged"))
    assert _news(watch, bursts(45, seed=3), 55, imu=0, radar=0.3) == []  # too little yet
    (late,) = _news(watch, bursts(40, seed=4), 100, imu=0, radar=0.3)
    assert late["radar"] == pytest.approx(300, abs=20)
