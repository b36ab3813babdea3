from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from rich.progress import Progress

from cosmo_runtime.training.baselines.random_forest import describe, random_forest
from cosmo_runtime.training.methods import Budget, Lesson, OneStage


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr("cosmo_runtime.training.baselines.random_forest.TREES", 20)


def test_it_learns(check):
    check(OneStage(random_forest), expected=0.9)


def test_classes_without_a_label_are_never_answered(spec, windows, other_people):
    few = windows.labelled_only_where(windows.labels != 1)
    probabilities = random_forest(Lesson(spec, few, Budget(0, 0), 0, Progress(disable=True)))(other_people)
    assert not probabilities[:, 1].any()
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_a_channel_is_described_by_twelve_numbers():
    """By hand: 3 + 2 sin at 2 Hz + sin at 5 Hz for two seconds, beside a channel that stands still."""
    seconds = np.arange(80) / 40
    moving = 3 + 2 * np.sin(2 * np.pi * 2 * seconds) + np.sin(2 * np.pi * 5 * seconds)
    described = describe(np.stack([moving, np.full(80, 7.0)], axis=1)[None], window_s=2)
    assert described.shape == (1, 24)
    (of_one, of_other) = described.reshape(12, 2).T
    expected = [3, np.sqrt(2 + 0.5), *np.quantile(moving, [0, 0.25, 0.5, 0.75, 1]), 9 + 2 + 0.5, 2, 5, 0.8, 0.2]
    np.testing.assert_allclose(of_one, expected, rtol=1e-6)
    np.testing.assert_allclose(of_other[:8], [7, 0, 7, 7, 7, 7, 7, 49], atol=1e-6)
    np.testing.assert_allclose(of_other[10:], 0, atol=1e-6)
