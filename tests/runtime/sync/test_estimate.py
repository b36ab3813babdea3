from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.runtime.sync.estimate import estimate
from tests.runtime.sync.made_up import bursts, seen, steps

REPEATS = "the motion repeats itself or changes too slowly"


@pytest.mark.parametrize("seed", range(3))
def test_known_delays_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    delays_s = {name: rng.uniform(-0.5, 0.5) for name in ("imu", "depth", "radar")}
    found = estimate([seen(bursts(60, seed), **delays_s)])
    for name, step in found.items():
        assert not step.refusal
        assert step.delay_s == pytest.approx(delays_s[name] - delays_s["imu"], abs=0.015)
        assert step.risk <= 0.01


def test_two_sensors_are_enough() -> None:
    found = estimate([seen(bursts(60), radar=0.1, depth=-0.2)])
    assert found["radar"].delay_s == 0
    assert found["depth"].delay_s == pytest.approx(-0.3, abs=0.015)


def test_what_repeats_itself_is_refused() -> None:
    found = estimate([seen(steps(120), imu=0, depth=0.1, radar=0.2)])
    assert [step.refusal for step in found.values()] == [REPEATS] * 3


def test_what_changes_slowly_is_refused_even_where_a_peak_is_clear() -> None:
    slow = bursts(60, widths_s=(0.5, 1.0))
    assert {step.refusal for step in estimate([seen(slow, noise=0.01, imu=0, radar=0.1)]).values()} == {REPEATS}


def test_stillness_is_refused() -> None:
    still = np.full(120_000, 0.05)
    found = estimate([seen(still, noise=0.03, imu=0, depth=0.1, radar=0.2)])
    assert all("too little" in step.refusal for step in found.values())


def test_a_sensor_that_sees_something_else_is_refused_alone() -> None:
    same, other = seen(bursts(90), imu=0, radar=0.15), seen(bursts(90, seed=7), depth=0)
    found = estimate([{**same, **other}])
    assert found["depth"].refusal
    assert found["radar"].delay_s == pytest.approx(0.15, abs=0.015)


def test_without_a_camera_a_radar_that_resembles_itself_half_as_much_as_the_imu_is_refused() -> None:
    motion = bursts(60)
    going = {**seen(motion, imu=0), **seen(motion + steps(60), radar=0.1)}
    assert {step.refusal for step in estimate([going]).values()} == {REPEATS}
    named = {"wrist": going["imu"], "door": going["radar"]}
    assert {step.refusal for step in estimate([named], {"wrist": "imu", "door": "radar"}).values()} == {REPEATS}
    seen_too = estimate([{**going, **seen(motion, depth=0.05)}])
    assert not any(step.refusal for step in seen_too.values())
    assert seen_too["radar"].delay_s == pytest.approx(0.1, abs=0.02)


def test_a_sensor_alone_cannot_be_out_of_step() -> None:
    assert estimate([seen(bursts(30), imu=0)])["imu"].refusal == "no other sensor to compare with"
    assert estimate([]) == {}
    assert estimate([{"imu": [], "radar": []}])["radar"].refusal


def test_what_is_lost_for_a_while_is_left_out() -> None:
    moments = seen(bursts(90), imu=0, radar=0.2)
    moments["radar"] = [moment for number, moment in enumerate(moments["radar"]) if not 400 <= number < 1000]
    assert estimate([moments])["radar"].delay_s == pytest.approx(0.2, abs=0.015)


def test_several_recordings_count_together() -> None:
    stretches = [seen(bursts(20, seed), seed=seed, noise=0.2, imu=0, radar=-0.3) for seed in range(5)]
    together = estimate(stretches)["radar"]
    assert together.delay_s == pytest.approx(-0.3, abs=0.015)
    assert together.gap > estimate(stretches[:1])["radar"].gap


def test_a_clock_that_is_slow_is_seen_in_a_long_recording() -> None:
    found = estimate([seen(bursts(600), slow_ppm=100, imu=0, radar=0.2)])["radar"]
    assert found.drift_ppm == pytest.approx(100, abs=20)
    assert found.drift_error_ppm is not None and found.drift_error_ppm < 15
    assert found.delay_s == pytest.approx(0.23, abs=0.015)  # of the middle
    assert estimate([seen(bursts(60), imu=0, radar=0.2)])["radar"].drift_ppm is None
