from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.training.baselines.cmc import cmc, cmc_spread, pairwise_contrast
from cosmo_runtime.training.methods import Budget, Lesson, learn


def test_it_learns(check):
    check(cmc, pretrain_epochs=4, epochs=10)


def test_it_learns_from_labels_that_spread(check):
    check(cmc_spread, pretrain_epochs=4, epochs=10)


def test_its_classifier_learns_what_labels_spread_to_as_far_as_it_is_trusted(spec, windows, other_people, monkeypatch):
    next_one = (windows.labels + 1) % 3
    doubtful = np.arange(len(windows)) % 2 == 0
    spread = np.where(doubtful, windows.labels, next_one), np.where(doubtful, 0.0, 1.0)
    monkeypatch.setattr("cosmo_runtime.training.cosmo.neighbours.spread_labels", lambda near, labels, parts: spread)
    one_each = windows.labelled_only_where(np.arange(len(windows)) % 24 == 0)
    budget = Budget(pretrain_epochs=4, epochs=60, pretrain_batch=24)
    probabilities = learn(cmc_spread, Lesson(spec, one_each, budget, 0, Progress(disable=True)))(other_people)
    assert (probabilities.argmax(1) == (other_people.labels + 1) % 3).mean() > 0.8


def test_loss_is_infonce_over_pairs_that_are_both_there():
    """By hand: modality 0 against 1 both ways over windows 0 and 1; the pairs with modality 2 have too few windows."""
    r = torch.nn.functional.normalize(torch.randn(3, 3, 5, generator=torch.Generator().manual_seed(0)), dim=2)
    presence = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])

    def similar(a: int, i: int, b: int, j: int) -> float:
        return math.exp(float(r[a, i] @ r[b, j]) / 0.5)

    terms = [
        -math.log(similar(a, i, a, 1 - i) / sum(similar(a, i, b, 1 - i) for b in (0, 1)))
        for i in (0, 1)
        for a in (0, 1)
    ]
    assert pairwise_contrast(r, presence, 0.5).item() == pytest.approx(sum(terms) / 4, rel=1e-5)
