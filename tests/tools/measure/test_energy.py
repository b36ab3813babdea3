from __future__ import annotations

import threading
import time
from typing import Callable, List

import pytest

from cosmo_runtime.tools.measure import energy
from cosmo_runtime.tools.measure.energy import Measurement, Meter, above_idle
from cosmo_runtime.tools.measure.meters import EnergyError, Source


def _clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes only when told to, and for the sleep of ``powers_mw``."""
    now = [100.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", advance)
    return advance


def test_power_is_integrated_by_trapezoids(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    power = [1000.0]
    with Meter([Source("rail", "", lambda: power[0], counts=False)], interval_s=60) as meter:
        assert meter.read().energy_mj == 0.0
        advance(2.0)
        power[0] = 3000.0
        assert meter.read().energy_mj == pytest.approx(2 * 2000.0)
        advance(1.0)
        assert meter.read().energy_mj == pytest.approx(2 * 2000.0 + 3000.0)
        power[0] = 3152.0
        meter.read()
        assert meter.step_mw() == pytest.approx(152.0)


def test_a_counter_is_followed_over_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = [900.0]
    with Meter([Source("RAPL", "", lambda: reading[0], counts=True, wraps_at_mj=1000.0)], interval_s=60) as meter:
        reading[0] = 950.0
        assert meter.read().energy_mj == pytest.approx(50.0)
        reading[0] = 30.0
        assert meter.read().energy_mj == pytest.approx(130.0)
        assert meter.step_mw() == 0.0


class _Wrapping:
    """A counter of 500 mW that starts over at 100 mJ, and may miss readings."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self.readings, self.misses = 0, 0

    def read(self) -> float:
        self.readings += 1
        if self.misses:
            self.misses -= 1
            raise EnergyError("busy")
        return 500.0 * (time.monotonic() - self._started_s) % 100

    def wait_to_be_read(self) -> None:
        """Waits until the meter's thread has read it twice, because the first reading may have begun before."""
        readings = self.readings
        for _ in range(60_000):
            if self.readings >= readings + 2:
                return
            threading.Event().wait(0.001)  # no sleep, which is the test's own
        raise AssertionError("the thread reads no more")


def test_sources_are_added_and_read_all_along(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    started, wrapping = time.monotonic(), _Wrapping()
    sources = [
        Source("rail", "", lambda: 2000.0, counts=False),
        Source("counter", "", lambda: 1000.0 * (time.monotonic() - started), counts=True),
        # wraps many times between the two readings below, but not between two of the thread's
        Source("wraps", "", wrapping.read, counts=True, wraps_at_mj=100.0),
    ]
    with Meter(sources, interval_s=0.001) as meter:
        first = meter.read()
        for _ in range(12):
            advance(0.05)
            wrapping.wait_to_be_read()
        last = meter.read()
    assert last.energy_mj - first.energy_mj == pytest.approx(3500.0 * 0.6)


def test_the_thread_survives_a_missed_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    wrapping = _Wrapping()
    with Meter([Source("wraps", "", wrapping.read, counts=True, wraps_at_mj=100.0)], interval_s=0.001) as meter:
        for number in range(12):
            advance(0.05)
            wrapping.misses = number == 3
            wrapping.wait_to_be_read()
        assert meter.read().energy_mj == pytest.approx(500.0 * 0.6)
    assert not wrapping.misses


def test_one_missed_reading_is_bridged_and_a_dead_meter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    answers: List[float] = [1000.0]

    def read() -> float:
        if not answers:
            raise EnergyError("the rail VDD_IN does not answer")
        return answers[0]

    with Meter([Source("VDD_IN", "", read, counts=False)], interval_s=60) as meter:
        advance(1.0)
        answers.clear()
        with pytest.raises(EnergyError, match="VDD_IN does not answer"):
            meter.read()
        advance(1.0)
        answers.append(1000.0)
        assert meter.read().energy_mj == pytest.approx(2000.0)


def test_idle_power_is_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    _clock(monkeypatch)
    with Meter([Source("rail", "", lambda: 4000.0, counts=False)], interval_s=60) as meter:
        assert meter.powers_mw(5.0) == pytest.approx([4000.0] * 5)
        assert len(meter.powers_mw(0.5)) == 2


def test_a_power_that_never_changes_leaves_nothing_above_idleness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "SETTLING_S", 0.0)
    monkeypatch.setattr(energy, "IDLE_S", 0.1)

    def slow() -> float:  # which makes asking and answering differ in time
        time.sleep(0.005)
        return 4000.0

    with Measurement([Source("rail", "", slow, counts=False)]) as measurement, measurement.work():
        time.sleep(0.1)
    assert measurement.net and measurement.net.energy_mj == pytest.approx(0.0, abs=1e-6)
    assert not measurement.net.is_resolved


def test_idle_power_is_subtracted() -> None:
    net = above_idle(energy_mj=60_000.0, seconds=10.0, idle_mw=[3900.0, 4000.0, 4100.0])
    assert net.energy_mj == pytest.approx(20_000.0)
    assert (net.power_mw, net.idle_mw, net.idle_spread_mw) == pytest.approx((6000.0, 4000.0, 100.0))
    assert net.uncertainty_mj == pytest.approx(2000.0) and net.is_resolved


def test_what_is_below_the_noise_is_not_resolved() -> None:
    idle_mw = [3900.0, 4000.0, 4100.0]
    assert not above_idle(41_900.0, 10.0, idle_mw).is_resolved
    assert above_idle(42_100.0, 10.0, idle_mw).is_resolved
    assert not above_idle(38_000.0, 10.0, idle_mw).is_resolved
    assert not above_idle(40_000.0 + 1e-9, 10.0, [4000.0, 4000.0]).is_resolved
    # a meter of coarse steps that reads the same all the time is not for that exact
    assert above_idle(41_000.0, 10.0, [4000.0, 4000.0]).is_resolved
    assert not above_idle(41_000.0, 10.0, [4000.0, 4000.0], step_mw=152.0).is_resolved


def test_work_is_measured_against_the_idleness_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = _clock(monkeypatch)
    monkeypatch.setattr(energy, "IDLE_S", 4.0)
    power = [4000.0]
    with Measurement([Source("rail", "", lambda: power[0], counts=False)]) as measurement:
        power[0] = 9000.0
        advance(3.0)  # opening what the work needs is no part of it
        with measurement.work():
            advance(2.0)
        power[0] = 4200.0
        advance(1.0)
    net = measurement.net
    assert net is not None and net.seconds == pytest.approx(2.0)
    assert net.idle_mw == pytest.approx(4100.0, rel=0.01) and net.idle_blocks == 8
    assert net.energy_mj == pytest.approx(2 * (9000.0 - net.idle_mw))
    figures = net.as_dict(pieces=10)
    assert figures["energy_mj"] == pytest.approx(net.energy_mj / 10)
    assert figures["power_mw"] == 9000.0


def test_without_sources_nothing_is_measured_and_nothing_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "SETTLING_S", 30.0)
    began = time.monotonic()
    with Measurement([]) as measurement, measurement.work():
        pass
    assert measurement.net is None
    assert time.monotonic() - began < energy.SETTLING_S


def test_what_is_not_resolved_has_no_number() -> None:
    figures = above_idle(41_900.0, 10.0, [3900.0, 4000.0, 4100.0]).as_dict(pieces=100)
    assert figures["energy_mj"] is None
    assert figures["uncertainty_mj"] == pytest.approx(20.0)
