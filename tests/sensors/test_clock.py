"""The device clock against simulated devices, whose true times are known."""

from __future__ import annotations

from typing import Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.sensors.clock import DeviceClock
from cosmo_runtime.sensors.sensor import SensorInfo

_LATENCY_NS = 2_000_000


def _simulate(
    seconds: float, drift: float = 30e-6, drops: float = 0.01, stalls: bool = True, seed: int = 0, tick_ns: float = 1e5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns true times (ns), device ticks and arrivals (ns) of a 100 Hz device on a host that stalls now and then."""
    rng = np.random.default_rng(seed)
    true_ns = np.arange(int(seconds * 100)) * 10_000_000 + 10**12
    true_ns = true_ns[rng.random(len(true_ns)) >= drops]
    ticks = np.round((true_ns - true_ns[0]) * (1 + drift) / tick_ns).astype(np.int64) + 5000
    arrivals = true_ns + _LATENCY_NS + rng.exponential(1e6, len(true_ns)).astype(np.int64)
    if stalls:  # nothing is read for 50 to 400 ms, about every four seconds
        for start in np.arange(true_ns[0] + 4_000_000_000, true_ns[-1], 4_000_000_000):
            end = start + rng.integers(50_000_000, 400_000_000)
            arrivals[(arrivals >= start) & (arrivals < end)] = end
    return true_ns, ticks, np.maximum.accumulate(arrivals)


def _clock(tick_ns: float, wrap_ticks: Optional[int] = None) -> DeviceClock:
    return DeviceClock(SensorInfo("imu", "an IMU", 100), tick_ns, wrap_ticks)


def _map(clock: DeviceClock, ticks: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
    return np.array([clock.to_host(int(tick), int(arrival)) for tick, arrival in zip(ticks, arrivals)])


@pytest.mark.parametrize("drift", [30e-6, -30e-6])
def test_drift_drops_and_stalls_leave_less_than_a_tenth_of_a_millisecond(drift: float) -> None:
    true_ns, ticks, arrivals = _simulate(600, drift)
    clock = _clock(1e5)
    residual_ms = (_map(clock, ticks, arrivals) - true_ns) * 1e-6
    assert np.std((arrivals - true_ns) * 1e-6) > 10  # what a stamp on arrival would give
    assert np.std(residual_ms[100:]) < 0.1
    assert np.abs(np.mean(residual_ms) - _LATENCY_NS * 1e-6) < 0.5  # the least delay is all that is left over
    assert clock._info.counts["clock_resets"] == 0


@pytest.mark.parametrize("wrap_ticks", [2**16, 864_000])
def test_a_counter_that_wraps_gives_the_same_times_as_one_that_does_not(wrap_ticks: int) -> None:
    _, ticks, arrivals = _simulate(300)
    clock = _clock(1e5, wrap_ticks)
    np.testing.assert_array_equal(_map(clock, ticks % wrap_ticks, arrivals), _map(_clock(1e5), ticks, arrivals))
    assert clock._info.counts["clock_resets"] == 0


def test_whole_turns_during_a_silence_are_made_up() -> None:
    _, ticks, arrivals = _simulate(60, stalls=False)
    kept = (ticks < ticks[2000]) | (ticks > ticks[4500])  # 25 s of silence, almost four turns of 6.5 s
    clock = _clock(1e5, 2**16)
    np.testing.assert_array_equal(
        _map(clock, ticks[kept] % 2**16, arrivals[kept]), _map(_clock(1e5), ticks[kept], arrivals[kept])
    )
    assert clock._info.counts["clock_resets"] == 0


@pytest.mark.parametrize("wrap_ticks", [None, 2**32])
@pytest.mark.parametrize("step", ["to zero", "30 s back", "30 s ahead", "2 s ahead"])
def test_a_clock_that_is_set_is_learned_anew(step: str, wrap_ticks: Optional[int]) -> None:
    true_ns, ticks, arrivals = _simulate(120)
    shift = {"to zero": -ticks[6000], "30 s back": -300_000, "30 s ahead": 300_000, "2 s ahead": 20_000}[step]
    ticks[6000:] += shift
    clock = _clock(1e5, wrap_ticks)
    residual_ms = (_map(clock, ticks, arrivals) - true_ns) * 1e-6
    assert clock._info.counts["clock_resets"] == 1
    assert np.std(residual_ms[:6000]) < 0.5
    assert np.std(residual_ms[6100:]) < 0.5


def test_a_clock_that_pauses_is_learned_anew_after_a_second() -> None:
    true_ns, ticks, arrivals = _simulate(60)
    silence = (true_ns - true_ns[0] > 20e9) & (true_ns - true_ns[0] < 25e9)
    ticks[true_ns - true_ns[0] >= 25e9] -= (
        50_000  # the device was without power for 5 s and its clock went on from there
    )
    clock = _clock(1e5)
    residual_ms = (_map(clock, ticks[~silence], arrivals[~silence]) - true_ns[~silence]) * 1e-6
    assert clock._info.counts["clock_resets"] == 1
    assert np.std(residual_ms[2300:]) < 0.5


@pytest.mark.parametrize("drift", [300e-6, -300e-6, 0.01, -0.01])
def test_a_drift_beyond_any_crystals_is_followed(drift: float) -> None:
    true_ns, ticks, arrivals = _simulate(300, drift)
    clock = _clock(1e5)
    residual_ms = (_map(clock, ticks, arrivals) - true_ns) * 1e-6
    assert np.abs(residual_ms - _LATENCY_NS * 1e-6)[3000:].max() < 8  # after half a minute, by which it is known
    assert np.std(residual_ms[3000:]) < 1.5
    assert clock._info.counts["clock_resets"] == 0


def test_a_slew_of_the_hosts_clock_is_followed() -> None:
    true_ns, ticks, arrivals = _simulate(300)
    slew_ns = np.clip((true_ns - true_ns[0] - 100e9) / 30e9, 0, 1) * 0.3e9  # 0.3 s from 100 s on, within half a minute
    host_ns = true_ns + slew_ns.astype(np.int64)
    clock = _clock(1e5)
    residual_ms = (_map(clock, ticks, arrivals + slew_ns.astype(np.int64)) - host_ns) * 1e-6
    assert np.abs(residual_ms).max() < 400  # no worse than an arrival while it lasts
    assert np.std(residual_ms[15500:]) < 0.5
    assert clock._info.counts["clock_resets"] == 0


@pytest.mark.parametrize("pause_s", [0.1, 0.5, 0.95])
def test_a_clock_that_pauses_for_less_than_a_second_is_followed(pause_s: float) -> None:
    true_ns, ticks, arrivals = _simulate(120)
    since_s = (true_ns - true_ns[0]) * 1e-9 - 60
    ticks[since_s >= pause_s] -= round(pause_s * 1e4)
    sent = (since_s < 0) | (since_s >= pause_s)
    clock = _clock(1e5)
    stamps = _map(clock, ticks[sent], arrivals[sent])
    residual_ms = (stamps - true_ns[sent]) * 1e-6
    assert residual_ms.min() > -1e3 * pause_s  # too early until it is understood
    assert np.abs(residual_ms - _LATENCY_NS * 1e-6)[since_s[sent] > 10].max() < 1  # within two blocks
    assert (np.diff(stamps) > 0).all()
    assert clock._info.counts["clock_resets"] == 0


def test_a_clock_that_leaps_by_less_than_a_second_is_followed() -> None:
    true_ns, ticks, arrivals = _simulate(120)
    ticks[6000:] += 5000
    clock = _clock(1e5)
    residual_ms = (_map(clock, ticks, arrivals) - true_ns) * 1e-6
    assert np.std(residual_ms[6100:]) < 0.5
    assert np.abs(residual_ms - _LATENCY_NS * 1e-6)[7000:].max() < 1  # nor is the leap taken for a drift later on


@pytest.mark.parametrize("stall_s", [3, 12])
def test_a_backlog_after_a_long_stall_of_the_host_keeps_its_true_times(stall_s: int) -> None:
    true_ns, ticks, arrivals = _simulate(60, stalls=False)
    late = (arrivals > arrivals[2000]) & (arrivals < arrivals[2000] + stall_s * 1_000_000_000)
    arrivals[late] = arrivals[late][-1]
    clock = _clock(1e5)
    residual_ms = (_map(clock, ticks, arrivals) - true_ns) * 1e-6
    assert clock._info.counts["clock_resets"] == 0
    assert np.abs(residual_ms[100:] - 2).max() < 0.5 + 0.1 * stall_s  # the drift of 1e-4 that may have been


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 3_000_000_000)), min_size=1, max_size=60),
    st.sampled_from([None, 2**16, 2**32]),
)
def test_any_clock_gives_times_that_increase_and_do_not_pass_the_arrival(
    messages: list[tuple[int, int]], wrap_ticks: Optional[int]
) -> None:
    clock = _clock(1e5, wrap_ticks)
    arrival_ns, together, last = 10**12, 0, 0
    for ticks, pause_ns in messages:
        arrival_ns += pause_ns
        together = together + 1 if pause_ns < len(messages) else 0
        stamp_ns = clock.to_host(ticks, arrival_ns)
        assert last < stamp_ns <= arrival_ns + together
        last = stamp_ns


def test_a_small_drift_is_followed_at_once() -> None:
    clock = _clock(1e6)
    for n in range(400):  # 4 s, less than a block; the device is 50 ppm slow
        assert clock.to_host(10 * n, 10_000_500 * n) == 10_000_500 * n


@pytest.mark.parametrize("wrap_ticks", [None, 100_000])
@pytest.mark.parametrize("step_ticks", [200, 1000, 10_000, 10**9], ids=["20 ms", "100 ms", "1 s", "stuck"])
def test_of_a_coarse_clock_arrivals_are_used_and_it_is_said_once(
    step_ticks: int, wrap_ticks: Optional[int], caplog: pytest.LogCaptureFixture
) -> None:
    _, ticks, arrivals = _simulate(30, stalls=False)
    clock = _clock(1e5, wrap_ticks)
    stamps = _map(clock, ticks // step_ticks * step_ticks % (wrap_ticks or 10**12), arrivals)
    assert (np.abs(stamps - arrivals)[:8] <= 50_000_000).all()
    np.testing.assert_array_equal(stamps[8:], arrivals[8:])
    assert clock._info.counts["arrival_stamps"] > len(stamps) - 9
    assert clock._info.counts["clock_resets"] == 0
    assert [record.getMessage()[:28] for record in caplog.records] == ["an IMU: its clock stands sti"]


@pytest.mark.parametrize("period_ms", [10, 67])
def test_a_clock_that_gets_stuck_is_left_and_taken_again_when_it_runs(period_ms: int) -> None:
    messages = np.arange(300)
    arrivals = 10**12 + messages * period_ms * 10**6 + np.random.default_rng(1).integers(0, 5_000_000, 300)
    ticks = messages * period_ms * 10
    ticks[100:200] = ticks[100]
    stamps = _map(_clock(1e5), ticks, arrivals)
    late_ms = (arrivals - stamps) * 1e-6
    assert late_ms.max() < 5 + 3 * period_ms
    assert late_ms[103:230].max() == 0
    steps_ms = np.diff(stamps[240:]) * 1e-6
    assert np.abs(steps_ms - period_ms).max() < 2.6
    assert (np.diff(stamps) > 0).all()


def test_a_reading_that_comes_twice_now_and_then_leaves_the_clock_in_use() -> None:
    _, ticks, arrivals = _simulate(30)
    ticks[5::10] = ticks[4::10]
    clock = _clock(1e5)
    _map(clock, ticks, arrivals)
    assert clock._info.counts["arrival_stamps"] == 0
