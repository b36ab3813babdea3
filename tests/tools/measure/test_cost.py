from __future__ import annotations

import numpy as np

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.tools.measure.cost import cost


def test_more_answers_cost_more_in_all_and_each_takes_less_than_all() -> None:
    random = np.random.default_rng(0)
    stream = [Sample("imu", ms * 10**6, ms * 10**6, random.normal(size=9)) for ms in range(0, 6001, 10)]
    infos, bundle = {"imu": SensorInfo("imu", "made up", 100)}, load_bundle(SIMULATED_BUNDLE)
    seldom, often = (cost(stream, infos, bundle.at_hop(hop_s), seconds=6) for hop_s in (0.5, 0.1))
    assert (seldom["answers"], often["answers"]) == (9, 41)
    assert often["share_of_one_core"] > seldom["share_of_one_core"] > 0
    assert 0 < often["from_last_sample_ms"]["p50"] <= often["from_last_sample_ms"]["p99"]
    assert often["from_last_sample_ms"]["p50"] < 1e3 * 6 * often["share_of_one_core"]
