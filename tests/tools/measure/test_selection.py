from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.runtime.selection.settings import SelectionConfig
from cosmo_runtime.tools.measure.selection import Stream, Trial, measure, operations
from cosmo_runtime.training.datasets.everyday import CLASSES
from cosmo_runtime.training.windows import UNLABELLED, Windows


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(SHIPPED_BUNDLE)


@pytest.fixture(scope="module")
def stream(bundle):
    noise = random_inputs(bundle.spec, np.random.default_rng(0), 24)
    labels = np.repeat([CLASSES.index("walk"), UNLABELLED, CLASSES.index("fall"), CLASSES.index("walk")], 6)
    inputs = [{name: noise[name][i] for name in bundle.spec.sensors} for i in range(len(labels))]
    names = np.array([*CLASSES, "rest"])[labels]
    windows = Windows.stack(bundle.spec, inputs, [[True] * 3] * len(labels), labels, [0] * len(labels), names)
    return Stream(windows, bundle)


def test_a_trial_is_a_stretch_of_one_activity(stream):
    assert stream.trials == [Trial(0, 6, "walk"), Trial(12, 18, "fall"), Trial(18, 24, "walk")]


def test_the_camera_has_most_of_the_work(bundle):
    work = operations(bundle)
    assert work["depth"] > work["radar"] > work["imu"] > 10**6


def test_where_nothing_is_sure_nothing_is_saved_or_lost(stream):
    found = measure([stream], SelectionConfig(sure=1), None)
    assert (found["operations of encoders saved"], found["points lost"], found["trials"]) == (0, 0, 3)
    assert set(found["asleep"].values()) == {0}


def test_what_sleeps_is_saved(stream, bundle):
    stream.all_awake = stream.answers(None)
    found = measure([stream], SelectionConfig(sure=0, doubt=0, radar_after_s=3), None)
    work, asleep = operations(bundle), found["asleep"]
    assert asleep["imu"] == 0 <= asleep["radar"] <= asleep["depth"]
    saved = sum(work[name] * asleep[name] for name in work) / sum(work.values())
    assert found["operations of encoders saved"] == pytest.approx(saved, abs=2e-3)


def test_asking_again_costs_operations(stream):
    saved = [
        measure([stream], SelectionConfig(sure=0, doubt=doubt), None)["operations of encoders saved"]
        for doubt in (0, 1)
    ]
    assert saved[0] > 0 > saved[1]  # where one sleeps, all are asked after it


def test_a_device_that_is_off_is_absent_until_it_has_started(stream):
    settings = SelectionConfig(sure=0, doubt=0)
    asleep = [answer.prediction.asleep for answer in stream.answers(settings)]
    off = stream.answers(settings, start_s=100.0)
    if not any(asleep):
        pytest.skip("the model is never sure of noise")
    first = next(i for i, names in enumerate(asleep) if "depth" in names)
    assert all("depth" in answer.prediction.asleep or not answer.prediction.present["depth"] for answer in off[first:])
