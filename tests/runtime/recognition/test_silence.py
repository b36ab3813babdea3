from __future__ import annotations

from typing import Callable, List

import numpy as np
import pytest

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.recognition import silence
from cosmo_runtime.runtime.recognition.silence import SilenceWatch, explain
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Sample, StateChange
from tests.runtime import rigs

Samples = Callable[..., List[Sample]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    """The monotonic clock, in its only element."""
    now = [100.0]
    monkeypatch.setattr(silence.time, "monotonic", lambda: now[0])
    return now


def _told(watch: SilenceWatch, clock: List[float], seconds: float) -> List[float]:
    """When silence is told in the next seconds."""
    began, told = clock[0], []
    while clock[0] < began + seconds:
        clock[0] = round(clock[0] + 0.1, 3)
        if watch.should_report():
            told.append(round(clock[0] - began, 3))
    return told


def test_silence_is_told_after_ten_seconds_and_then_every_ten(clock: List[float]) -> None:
    assert _told(SilenceWatch(["imu"], patience_s=2), clock, 40) == [12, 22, 32]


def test_an_answer_starts_the_time_anew(clock: List[float]) -> None:
    watch = SilenceWatch(["imu"])
    assert _told(watch, clock, 9) == []
    watch.answered()
    assert _told(watch, clock, 12) == [10]


def test_all_sensors_lost_is_told_at_once(clock: List[float]) -> None:
    watch = SilenceWatch(["imu", "radar"])
    watch.change(StateChange("imu", 0, "lost", "unplugged"))
    assert _told(watch, clock, 5) == []
    watch.change(StateChange("radar", 0, "lost"))
    assert watch.all_lost
    assert _told(watch, clock, 12) == [0.1, 10.1]
    watch.change(StateChange("imu", 0, "ok"))
    assert (watch.all_lost, watch.lost) == (False, {"radar": ""})


def test_time_for_which_the_process_was_stopped_does_not_count(clock: List[float]) -> None:
    watch = SilenceWatch(["imu"])
    assert _told(watch, clock, 5) == []
    clock[0] += 60
    assert _told(watch, clock, 11) == [10.1]


def test_a_process_that_is_held_up_again_and_again_tells_it_all_the_same(clock: List[float]) -> None:
    watch = SilenceWatch(["imu"])
    told = 0
    for _ in range(30):
        clock[0] += 1.5
        told += watch.should_report()
    assert told == 4


@pytest.fixture
def reason(spec: ModelSpec) -> Callable[..., str]:
    def reason(fed: List[Sample], sensors: List[str], **more: object) -> str:
        aligner = Aligner(spec, rigs.infos(imu=100, radar=20, depth=15))
        for sample in fed:
            aligner.feed(sample)
        return explain(aligner, sensors, more.pop("lost", {}), 0, **more).reason  # type: ignore[arg-type]

    return reason


def test_each_sensor_is_told_with_what_it_lacks(reason: Callable[..., str], samples: Samples) -> None:
    fed = [*samples("imu", 0, 3), *samples("radar", 2.8, 3)]
    said = reason(fed, ["imu", "depth", "radar"], lost={"depth": "silent for 0.6 s"})
    assert said == "depth: lost (silent for 0.6 s); radar: frames for 50% of the window, 75% needed"


def test_channels_of_an_imu_that_are_missing_or_too_few_are_named(reason: Callable[..., str], samples: Samples) -> None:
    def without(first: int, keep: Callable[[int], bool]) -> List[Sample]:
        fed = [Sample(each.sensor, each.stamp_ns, each.arrival_ns, each.data.copy()) for each in samples("imu", 0, 3)]
        for number, sample in enumerate(fed):
            if not keep(number):
                sample.data[first : first + 3] = np.nan
        return fed

    assert reason(without(3, lambda _: False), ["imu"]) == "imu: no angular rate"
    assert reason(without(0, lambda number: number < 220), ["imu"]).startswith(
        "imu: acceleration for 45% of the window"
    )
    assert reason(without(6, lambda _: False), ["imu"]) == "no window of 1 s was full"  # this model does not need it
    assert reason(without(6, lambda _: False), ["imu"], behind=True) == "this machine cannot keep up"


def test_nothing_at_all_is_explained_too(reason: Callable[..., str]) -> None:
    assert reason([], ["imu", "radar"]) == "imu: no samples; radar: no samples"
