"""Votes by hand: two sensors, embeddings of two numbers."""

from __future__ import annotations

import math
from typing import List

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.nearest import SHARPNESS, NearestExamples


@pytest.fixture
def classifier() -> NearestExamples:
    """Two examples of the first activity, one of the second that lacks the second sensor, none of the third."""
    classifier = NearestExamples(3, 2, 2, 3)
    classifier.examples.copy_(torch.tensor([[[1.0, 0.8, 0.0], [0.0, 0.6, 1.0]], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]]))
    classifier.seen.copy_(torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]))
    classifier.shares.copy_(torch.tensor([[0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    return classifier


def likeness(classifier: NearestExamples, z: List[List[float]], presence: List[float]) -> List[float]:
    return (classifier.likeness(torch.tensor([z]), torch.tensor([presence]))[0] - 1).tolist()


def test_likeness_is_the_mean_cosine_over_the_sensors_that_both_have(classifier: NearestExamples) -> None:
    z = [[0.6, 0.8], [0.28, 0.96]]
    assert likeness(classifier, z, [1.0, 1.0]) == pytest.approx([(0.6 + 0.96) / 2, (0.96 + 0.28) / 2, 0.8], abs=1e-6)
    assert likeness(classifier, z, [1.0, 0.0]) == pytest.approx([0.6, 0.96, 0.8], abs=1e-6)
    assert likeness(classifier, z, [0.0, 1.0]) == pytest.approx([0.96, 0.28, -1], abs=1e-6)


def test_an_activity_has_the_mean_vote_of_its_examples(classifier: NearestExamples) -> None:
    logits, _ = classifier(torch.tensor([[[0.6, 0.8], [0.0, 0.0]]]), torch.tensor([[1.0, 0.0]]))
    first = (math.exp(SHARPNESS * (0.6 - 0.96)) + 1) / 2  # the nearest example's vote is 1
    second = math.exp(SHARPNESS * (0.8 - 0.96))
    assert logits[0].tolist() == pytest.approx([math.log(first), math.log(second), math.log(1e-4)], abs=1e-5)


def test_nobody_is_recognised_without_a_sensor(classifier: NearestExamples) -> None:
    logits, weights = classifier(torch.ones(1, 2, 2), torch.zeros(1, 2))
    assert torch.softmax(logits, 1)[0].tolist() == pytest.approx([0.5, 0.5, 0], abs=1e-3)
    assert weights.tolist() == [[0, 0]]


def test_sensors_that_are_there_count_alike(classifier: NearestExamples) -> None:
    _, weights = classifier(torch.ones(2, 2, 2), torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    assert weights.tolist() == [[0.5, 0.5], [0, 1]]


def test_embeddings_are_evened_around_the_usual_one(classifier: NearestExamples) -> None:
    classifier.usual.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    classifier.evening.copy_(torch.stack([torch.diag(torch.tensor([2.0, 1.0])), torch.eye(2)]))
    evened = classifier.evened(torch.tensor([[[2.5, 5.0], [0.0, 0.5]]]))
    assert evened[:, 0].tolist() == [pytest.approx([0.6, 0.8]), pytest.approx([0, 1])]
