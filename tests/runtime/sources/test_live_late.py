"""A live source on a machine that is late."""

from __future__ import annotations

import time
from collections import deque
from typing import Deque, Dict, List

import numpy as np
import pytest

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.sources import live
from cosmo_runtime.runtime.sources.live import LiveSource
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Sample, Tick, Truth
from tests.runtime import rigs
from tests.runtime.sources.scripted import Listener, Scripted, samples_of, states


def test_what_the_loop_is_too_late_for_is_counted_and_said_once(
    sensors: Dict[str, Scripted], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "_QUEUE_LENGTH", 5)
    imu = sensors["imu"]
    with LiveSource([imu]):  # nobody takes events out
        while imu.info.counts["samples"] < 20:
            time.sleep(0.01)
    assert imu.info.counts["queue_overruns"] == imu.info.counts["samples"] - 4  # and one place went to its state
    assert caplog.text.count("cannot keep up with the sensors") == 1


def test_while_events_wait_ticks_tell_when_they_came() -> None:
    source = LiveSource([])
    stamps = [10**9 + number * 10**7 for number in range(100)]
    for stamp_ns in stamps:
        source.put(Truth(stamp_ns + 10**12, "walk"))  # may be told long before
        source.put(Sample("imu", stamp_ns - 1000, stamp_ns, np.zeros(9, np.float32)))
    began_ns = time.monotonic_ns()
    *ticks, last = [event.now_ns for event in source.events() if isinstance(event, Tick)]
    assert ticks == stamps[:-1:2]  # one in 20 ms
    assert began_ns <= last <= time.monotonic_ns()  # nothing waits any more


class _Backlog(Scripted):
    """A sensor whose samples of the last seconds wait in the kernel; one read takes a few of them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.waiting: Deque[Sample] = deque()

    def read(self, timeout_s: float) -> List[Sample]:
        time.sleep(0.01)
        return [self.waiting.popleft() for _ in range(min(10, len(self.waiting)))]


def test_after_a_late_wake_up_every_source_is_drained_before_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_DRAIN_NS", 60 * 10**9)  # on a busy machine thirty reads take their time
    backlog = _Backlog("radar")
    backlog.connect()
    last_ns = -1
    ticks: List[int] = []
    with LiveSource([backlog]) as source:
        for event in source.events():
            if isinstance(event, Tick) and last_ns < 0:
                waiting = [time.monotonic_ns() + number for number in range(300)]  # thirty reads, 0.3 s
                backlog.waiting.extend(Sample("radar", at_ns, at_ns, np.zeros((1, 5), np.float32)) for at_ns in waiting)
                last_ns = waiting[-1]
                time.sleep(0.15)  # held up
            elif isinstance(event, Tick):
                ticks.append(event.now_ns)
            elif isinstance(event, Sample) and event.stamp_ns == last_ns:
                assert not ticks
                break


def test_a_source_that_never_runs_dry_does_not_hold_time_for_ever(
    sensors: Dict[str, Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_DRAIN_NS", 300_000_000)
    held_up_ns = 0
    with LiveSource([sensors["imu"]]) as source:  # brings a sample whenever it is read
        for event in source.events():
            if isinstance(event, Tick) and not held_up_ns:
                time.sleep(0.15)
                held_up_ns = time.monotonic_ns()
            elif isinstance(event, Tick):
                assert event.now_ns - held_up_ns > 0.2e9
                break


def test_time_in_which_nobody_listened_is_no_silence(sensors: Dict[str, Scripted], listener: Listener) -> None:
    listener.wait_for(lambda events: bool(samples_of(events, "imu")))

    def stopped(timeout_s: float) -> List[Sample]:  # the process is stopped for a second within the call
        del sensors["imu"].read
        time.sleep(1)
        return []

    sensors["imu"].read = stopped  # type: ignore[method-assign]
    count = len(samples_of(list(listener.events), "imu"))
    events = listener.wait_for(lambda events: len(samples_of(events, "imu")) > count + 20)
    assert states(events, "imu") == ["ok"]


def test_a_loop_that_is_held_up_loses_no_window(sensors: Dict[str, Scripted], spec: ModelSpec) -> None:
    aligner = Aligner(spec, rigs.infos(imu=100))
    windows: List[Window] = []
    held_up = False
    with LiveSource([sensors["imu"]]) as source:
        for event in source.events():
            windows += aligner.feed(event)
            if windows and not held_up:
                time.sleep(2)
                held_up = True
            if len(windows) == 6:
                source.stop()
    assert {after.end_ns - before.end_ns for before, after in zip(windows, windows[1:])} == {spec.hop_ns}
    assert not any(window.late for window in windows)
