from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from cosmo_runtime.training.cosmo.quality import (
    Quality,
    hopkins_statistic,
    number_of_clusters,
    quality_of_modality,
    quality_weights,
)


def blobs(count: int, each: int = 40, dimensions: int = 4, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.uniform(-10, 10, (count, dimensions))
    return (centres[:, None] + random.normal(0, 0.1, (count, each, dimensions))).reshape(-1, dimensions)


def test_hopkins_of_uniform_noise_is_one_half():
    random = np.random.default_rng(0)
    found = [hopkins_statistic(random.uniform(size=(500, 2)), random) for _ in range(20)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_hopkins_of_tight_blobs_nears_one():
    assert hopkins_statistic(blobs(5), np.random.default_rng(0)) > 0.95


@pytest.mark.parametrize("count", [3, 7])
def test_the_right_number_of_clusters_is_found(count):
    assert number_of_clusters(blobs(count), most=14, seed=0) == count


def test_quality_is_clusterability_over_the_distance_to_the_classes():
    one_person = np.zeros(240)
    right = quality_of_modality(blobs(6), one_person, classes=6, seed=0)
    assert right.clusters == 6
    assert right.q == right.hopkins > 0.95
    wrong = quality_of_modality(blobs(6), one_person, classes=10, seed=0)
    assert wrong.q == pytest.approx(wrong.hopkins / 4)


def test_clusters_are_those_of_each_person():
    """Two people whose six activities look different each: twelve clusters together, and yet six classes."""
    both, people = np.concatenate([blobs(6, seed=1), blobs(6, seed=2)]), np.repeat(["anna", "bo"], 240)
    assert number_of_clusters(both, most=20, seed=0) == 12
    assert quality_of_modality(both, people, classes=6, seed=0).clusters == 6

    unlike = np.concatenate([blobs(4, seed=1, each=60), blobs(3, seed=2, each=80)])
    found = quality_of_modality(unlike, people, classes=6, seed=0)
    assert found.clusters == (4 + 3) / 2
    assert found.q == pytest.approx(found.hopkins / 2.5)


def test_who_has_hardly_any_windows_is_left_out():
    people = np.r_[np.zeros(240), 1, 2]
    found = quality_of_modality(np.concatenate([blobs(6), np.eye(2, 4)]), people, classes=6, seed=0)
    assert found.clusters == 6


def test_a_modality_without_enough_windows_still_has_a_quality():
    few = np.random.default_rng(0).normal(size=(3, 64))
    assert quality_of_modality(few, np.arange(3), classes=4, seed=0).q > 0


def test_weights_sum_to_one_in_proportion_to_quality():
    """The paper's example: 0.26 and 0.74."""
    weights = quality_weights([Quality(0.6, 5, 0.13), Quality(0.85, 24, 0.37)])
    assert weights == pytest.approx((0.26, 0.74))


def test_a_sensor_that_shows_nothing_has_hardly_any_quality():
    """As a covered camera, whose embeddings are all the same but for rounding."""
    covered = np.tile(np.random.default_rng(0).normal(size=64), (400, 1)).astype(np.float32)
    nothing = quality_of_modality(covered, np.zeros(400), classes=13, seed=0)
    assert nothing.clusters == 1
    assert 0 < nothing.q < 1e-3
    working = quality_of_modality(blobs(6), np.zeros(240), classes=13, seed=0)
    assert quality_weights([working, nothing])[0] > 0.99
