from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

torch = pytest.importorskip("torch")

from cosmo_runtime.models.spec import ModalitySpec
from cosmo_runtime.training import warping
from cosmo_runtime.training.cosmo.neighbours import (
    cosine_distances,
    mean_distances,
    mutual_neighbours,
    sensor_distances,
    spread_labels,
    warped_distances,
)


def people(each: int = 3, activities: int = 4, persons: int = 3, habit: float = 1.0, seed: int = 0):
    """Embeddings (N, 1, D) in which what a person does matters, and ``habit`` says how much who does it."""
    random = np.random.default_rng(seed)
    activity, person = random.normal(size=(activities, 32)), random.normal(size=(persons, 32))
    labels, groups = (a.ravel() for a in np.meshgrid(np.arange(activities), np.arange(persons)))
    labels, groups = labels.repeat(each), groups.repeat(each)
    z = activity[labels] + habit * person[groups] + 0.2 * random.normal(size=(len(labels), 32))
    z = torch.nn.functional.normalize(torch.from_numpy(z).float(), dim=1)
    return z.unsqueeze(1), torch.ones(len(labels), 1), labels, groups


def brute_force(z: np.ndarray, groups: np.ndarray, across: int, within: int) -> np.ndarray:
    distance = 1 - z @ z.T
    near = np.zeros(distance.shape, bool)
    for i, row in enumerate(distance):
        others = [j for j in np.argsort(row) if j != i]
        near[i, [j for j in others if groups[j] != groups[i]][:across]] = True
        near[i, [j for j in others if groups[j] == groups[i]][:within]] = True
    near &= near.T
    return np.where(near, np.exp(-((distance / distance[near].mean()) ** 2)), 0)


def test_neighbours_are_those_of_a_plain_search():
    z, presence, _, groups = people()
    found = mutual_neighbours(cosine_distances(z, presence), groups, across=3, within=2).toarray()
    np.testing.assert_allclose(found, brute_force(z[:, 0].numpy(), groups, 3, 2), atol=1e-5)
    np.testing.assert_array_equal(found, found.T)


def test_other_people_show_the_activity_where_habits_are_strong():
    z, presence, labels, groups = people(habit=1.5)
    row, column = mutual_neighbours(cosine_distances(z, presence), groups, across=3, within=2).nonzero()
    assert (labels[row] == labels[column]).mean() > 0.95
    anyone = mutual_neighbours(
        cosine_distances(z, presence), np.zeros(len(labels)), across=5
    )  # as if one person had done it all
    row, column = anyone.nonzero()
    assert (labels[row] == labels[column]).mean() < 0.8


def test_windows_are_compared_by_what_both_have():
    z = torch.nn.functional.normalize(torch.tensor([[[1.0, 0], [1, 0]], [[1, 0], [0, 1]], [[0, 1], [1, 0]]]), dim=2)
    presence = torch.tensor([[1.0, 1], [1, 0], [1, 1]])
    found = mutual_neighbours(cosine_distances(z, presence), np.arange(3), across=1).toarray() > 0
    np.testing.assert_array_equal(found, [[False, True, False], [True, False, False], [False, False, False]])


def test_windows_with_nothing_in_common_are_no_neighbours():
    z = torch.ones(2, 2, 1)
    assert mutual_neighbours(cosine_distances(z, torch.tensor([[1.0, 0], [0, 1]])), np.arange(2)).nnz == 0


def test_each_of_several_distances_counts_the_same_and_a_missing_one_is_left_out():
    """By hand: means over pairs that can be compared are 2 and 20, so the first pair is (1/2 + 30/20) / 2."""
    inf = torch.inf
    first = torch.tensor([[0.0, 1, 3], [1, 0, 2], [3, 2, 0]])
    second = torch.tensor([[0.0, 30, 10], [30, 0, inf], [10, inf, 0]])
    mean = mean_distances([first.__getitem__, second.__getitem__], 3)
    expected = [[0, 1.0, 1.0], [1.0, 0, 1.0], [1.0, 1.0, 0]]
    found = mean(torch.arange(3)).fill_diagonal_(0)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(mean(torch.tensor([2]))[0, :2], found[2, :2])
    nothing = mean_distances([second.__getitem__], 3)(torch.tensor([1]))
    assert nothing[0, 2] == inf
    dead = torch.zeros(3, 3).__getitem__  # a sensor whose windows are all alike says nothing
    np.testing.assert_allclose(mean_distances([first.__getitem__, dead], 3)(torch.tensor([0]))[0, 1:], [0.25, 0.75])


def test_warped_windows_are_compared_by_the_signals_that_both_have_and_never_by_pictures_or_points(spec, windows):
    skeleton = ModalitySpec(sensor="skeleton", rate_hz=5, shape=(20, 3))
    body = np.random.default_rng(0).normal(size=(6, 10, 20, 3)).astype(np.float32)
    four = spec.model_copy(update={"modalities": (*spec.modalities, skeleton), "quality": (0.25,) * 4})
    few = windows.where(np.arange(6))
    presence = np.ones((6, 4), bool)
    presence[0, 3] = False
    few = replace(few, features={**few.features, "skeleton": body}, presence=presence, kinds=four.kinds)
    others = ~np.eye(6, dtype=bool)
    by_sensor = [warping.distances_of(sensor, four, few, few, few) for sensor in ("imu", "skeleton")]
    imus, skeletons = (d / d[others & np.isfinite(d)].mean() for d in by_sensor)
    found = warped_distances(four, few)(torch.arange(6)).numpy()
    np.testing.assert_allclose(found[0, 1:], imus[0, 1:], rtol=1e-5)
    np.testing.assert_allclose(found[2, 3:], (imus[2, 3:] + skeletons[2, 3:]) / 2, rtol=1e-5)


def test_one_label_an_activity_reaches_everyone():
    z, presence, labels, groups = people(habit=1.5)
    given = np.full(len(labels), -1)
    given[[np.flatnonzero(labels == k)[0] for k in range(4)]] = range(4)
    spread, confidence = spread_labels(mutual_neighbours(cosine_distances(z, presence), groups, 6, 2), given)
    assert (spread == labels).mean() > 0.85
    assert (confidence[given >= 0] == 1).all()
    assert ((confidence > 0) & (confidence <= 1)).all()


def test_spread_labels_are_as_frequent_as_given_ones_if_asked():
    """Windows 2 and 3 lie nearer to the labelled window of activity 1 than to that of 0. Windows 8, 9 are an island."""
    near = np.zeros((10, 10))
    chain = {(0, 1): 1.0, (1, 2): 0.4, (2, 3): 1.0, (2, 4): 0.5, (3, 4): 0.6}
    clique = {(a, b): 1.0 for a in range(4, 8) for b in range(a + 1, 8)}
    for (a, b), weight in {**chain, **clique, (8, 9): 1.0}.items():
        near[a, b] = near[b, a] = weight
    given = np.full(10, -1)
    given[[0, 4]] = 0, 1
    plain, _ = spread_labels(sparse.csr_matrix(near), given)
    balanced, confidence = spread_labels(sparse.csr_matrix(near), given, np.zeros(10))

    scale = 1 / np.sqrt(near.sum(axis=1))
    shares = np.linalg.inv(np.eye(10) - 0.9 * scale[:, None] * near * scale)[:8, [0, 4]]
    assert plain[:8].tolist() == shares.argmax(axis=1).tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    for _ in range(500):  # until each activity has half of all, and each window one
        shares = shares / shares.sum(axis=0) * 4
        shares = shares / shares.sum(axis=1, keepdims=True)
    assert balanced[:8].tolist() == shares.argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(confidence[[1, 2, 3, 5]], shares.max(axis=1)[[1, 2, 3, 5]], atol=1e-3)
    assert confidence[[0, 4]].tolist() == [1, 1]
    assert (balanced[8:].tolist(), confidence[8:].tolist()) == ([-1, -1], [0, 0])


def test_spread_labels_are_as_frequent_as_given_ones_for_each_person():
    """Windows 2 and 3 of the first person, and 6 and 7 of the second, all look like the label of activity 0."""
    generator = np.random.default_rng(3)
    near = generator.uniform(0.1, 1, (8, 8)) * (1 - np.eye(8))
    near += near.T
    near[1, :] *= 0.2
    near[:, 1] *= 0.2
    given, persons = np.full(8, -1), np.array([5, 5, 5, 5, 9, 9, 9, 9])
    given[[0, 1]] = 0, 1
    plain, _ = spread_labels(sparse.csr_matrix(near), given)
    by_person, confidence = spread_labels(sparse.csr_matrix(near), given, persons)
    assert plain[2:].tolist() == [0] * 6

    scale = 1 / np.sqrt(near.sum(axis=1))
    shares = np.linalg.inv(np.eye(8) - 0.9 * scale[:, None] * near * scale)[:, :2]
    for _ in range(500):  # until each person did each activity in half of the windows
        for person in (slice(0, 4), slice(4, 8)):
            shares[person] *= 2 / shares[person].sum(axis=0)
        shares /= shares.sum(axis=1, keepdims=True)
    assert by_person[2:].tolist() == shares.argmax(axis=1)[2:].tolist()
    assert np.bincount(by_person[4:]).tolist() == [2, 2]
    np.testing.assert_allclose(confidence[2:], shares.max(axis=1)[2:], atol=1e-3)


def test_a_person_whom_one_activity_cannot_reach_gets_none_of_it():
    near = np.zeros((5, 5))
    near[0, 1] = near[1, 0] = near[2, 3] = near[3, 2] = near[2, 4] = near[4, 2] = 1
    given = np.array([0, -1, 1, -1, -1])
    labels, confidence = spread_labels(sparse.csr_matrix(near), given, np.array([1, 2, 1, 3, 3]))
    assert labels.tolist() == [0, 0, 1, 1, 1]
    assert np.isfinite(confidence).all()


def test_each_sensor_has_distances_of_its_own():
    one, presence, _, _ = people(habit=1.5)
    z, presence = torch.cat([one, one.flip(0)], dim=1), presence.repeat(1, 2)
    presence[3, 0] = 0
    by_sensor = [distances(torch.arange(len(z))) for distances in sensor_distances(z, presence)]
    assert len(by_sensor) == 2
    for j, found in enumerate(by_sensor):
        there = presence[:, j] > 0
        expected = 1 - z[there, j] @ z[there, j].T
        np.testing.assert_allclose(found[there][:, there].numpy(), expected.numpy(), atol=1e-5)
    assert torch.isinf(by_sensor[0][3]).all()


def test_a_labelled_window_without_neighbours_takes_nothing_from_others():
    near = np.zeros((7, 7))
    near[:3, :3] = near[3:6, 3:6] = 1 - np.eye(3)
    labels, confidence = spread_labels(sparse.csr_matrix(near), np.array([0, -1, -1, 1, -1, -1, 2]), np.zeros(7))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2]
    np.testing.assert_allclose(confidence, 1, atol=1e-3)


def test_given_labels_stay_and_what_no_label_reaches_stays_unlabelled():
    two_islands = np.zeros((5, 5))
    two_islands[0, 1] = two_islands[1, 0] = two_islands[1, 2] = two_islands[2, 1] = 1
    two_islands[3, 4] = two_islands[4, 3] = 1
    spread, confidence = spread_labels(sparse.csr_matrix(two_islands), np.array([7, -1, 2, -1, -1]))
    assert spread[[0, 2]].tolist() == [7, 2]
    assert spread[1] in (2, 7)
    assert spread[[3, 4]].tolist() == [-1, -1]
    assert confidence[[3, 4]].tolist() == [0, 0]
