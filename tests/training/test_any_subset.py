"""Learning with any subset of the sensors, on windows of which every sensor alone tells the activity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from cosmo_runtime.models.networks import CosmoNetwork, Encoders
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.any_subset import Origin, learn
from cosmo_runtime.training.benchmark.everyday import Answers
from cosmo_runtime.training.windows import Windows


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),
            ModalitySpec(sensor="depth", rate_hz=5, shape=(8, 12)),
            ModalitySpec(sensor="radar", rate_hz=10, shape=(4, 5)),
        ),
        window_s=1,
        hop_s=0.5,
        classes=("still", "walk"),
        quality=(0.4, 0.3, 0.3),
    )


def windows_of(spec: ModelSpec, n: int, seed: int) -> Windows:
    """Who walks shakes the sensor, stands nearer, and moves before the radar."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    walks = labels.reshape(n, 1, 1)
    imu = rng.normal(0, 0.2 + 3 * walks, (n, 20, 6))
    depth = np.full((n, 5, 8, 12), 4.0) + rng.normal(0, 0.01, (n, 5, 8, 12))
    depth[:, :, 2:6, 4:8] -= 0.5 + 1.5 * walks[..., None]
    radar = np.tile([0.0, 2.0, 0.0, 0.0, 20.0], (n, 10, 4, 1)) + rng.normal(0, 0.05, (n, 10, 4, 5))
    radar[..., 3] += 2 * walks
    features = {"imu": imu, "depth": depth, "radar": radar}
    features = {name: array.astype(np.float32) for name, array in features.items()}
    return Windows(features, np.ones((n, 3), bool), labels, np.zeros(n), np.full(n, "x"))


@pytest.fixture(scope="module")
def network(spec: ModelSpec) -> CosmoNetwork:
    parts = [Origin(windows_of(spec, 60, 0), 0.5, turned=0.5), Origin(windows_of(spec, 60, 1), 0.5)]
    return learn(spec, parts, steps=80, seed=0, batch=32)


@pytest.mark.parametrize(
    "subset",
    [(True, True, True), (False, True, True), (True, False, False), (False, True, False), (False, False, True)],
)
def test_any_subset_of_the_sensors_serves(spec: ModelSpec, network: CosmoNetwork, subset: tuple) -> None:
    strangers = windows_of(spec, 60, 2)
    probabilities, presence = Answers(network, strangers)(subset)
    assert (presence == subset).all()
    without = replace(strangers, presence=np.array([[False, True, True]] * len(strangers)))
    assert (Answers(network, without)(subset)[1] == np.array(subset) & [False, True, True]).all()
    assert (probabilities.argmax(axis=1) == strangers.labels).mean() > 0.9


@pytest.mark.parametrize(("mirrored", "told_apart"), [(0.0, True), (0.5, False)])
def test_left_and_right_are_told_apart_unless_windows_are_mirrored(
    spec: ModelSpec, mirrored: float, told_apart: bool
) -> None:
    def sided(seed: int) -> Windows:
        windows = windows_of(spec, 60, seed)
        side = 1 - 2 * windows.labels.reshape(-1, 1, 1)
        radar = np.random.default_rng(seed).normal([0, 2, 0, 0.5, 20], 0.3, (60, 10, 4, 5)).astype(np.float32)
        radar[..., 0] += side
        return replace(windows, features={**windows.features, "radar": radar})

    network = learn(spec, [Origin(sided(0), 1.0, mirrored=mirrored)], steps=80, seed=0, batch=32)
    probabilities, _ = Answers(network, sided(1))((False, False, True))
    assert ((probabilities.argmax(axis=1) == sided(1).labels).mean() > 0.9) == told_apart


def test_encoders_are_begun_with_where_they_are_given(spec: ModelSpec) -> None:
    given = Encoders(spec).by_sensor["radar"]
    network = learn(spec, [Origin(windows_of(spec, 20, 0), 1.0)], steps=0, seed=0, start={"radar": given})
    begun = network.encoders.by_sensor
    assert all(torch.equal(a, b) for a, b in zip(given.parameters(), begun["radar"].parameters()))


def test_the_same_seed_gives_the_same_network(spec: ModelSpec) -> None:
    parts = [Origin(windows_of(spec, 20, 0), 1.0)]
    one, same, other = (learn(spec, parts, steps=3, seed=seed, batch=8).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_windows_without_a_label_are_not_learned_from(spec: ModelSpec) -> None:
    some = windows_of(spec, 20, 0)
    learn(spec, [Origin(some.labelled_only_where(some.labels == 1), 1.0)], steps=2, seed=0, batch=8)
