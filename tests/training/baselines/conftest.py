"""What is asked of every baseline that learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import numpy as np
import pytest


@pytest.fixture(scope="session")
def check(spec, windows, other_people) -> Callable:
    """A check of a learner: it learns, answers alike from one seed, and never looks at what is absent."""
    from rich.progress import Progress

    from cosmo_runtime.training.methods import Budget, Learner, Lesson, learn

    def check_learner(learner: Learner, *, pretrain_epochs: int = 0, epochs: int = 8, expected: float = 0.8) -> None:
        budget = Budget(pretrain_epochs=pretrain_epochs, epochs=epochs, pretrain_batch=24)
        some_labelled = windows.labelled_only_where(np.arange(len(windows)) % 3 > 0)

        def fitted(training, budget, seed=0):
            return learn(learner, Lesson(spec, training, budget, seed, Progress(disable=True)))

        predict = fitted(some_labelled, budget)
        probabilities = predict(other_people)
        assert probabilities.shape == (len(other_people), 3)
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
        assert (probabilities.argmax(1) == other_people.labels).mean() > expected

        brief = replace(budget, pretrain_epochs=min(pretrain_epochs, 1), epochs=1)
        first, again, other = (fitted(some_labelled, brief, seed)(other_people) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

        presence = np.random.default_rng(0).random((len(other_people), 3)) < 0.5
        presence[:2] = False
        some = replace(other_people, presence=presence)
        answers = predict(some)
        assert np.isfinite(answers).all()
        emptied = {}
        for j, sensor in enumerate(spec.sensors):
            emptied[sensor] = other_people.features[sensor].copy()
            emptied[sensor][~presence[:, j]] = 3
        np.testing.assert_allclose(predict(replace(some, features=emptied)), answers, atol=1e-5)

        presence = np.arange(len(windows))[:, None] % 3 != np.arange(3)
        gaps = replace(some_labelled, presence=presence)
        assert np.isfinite(fitted(gaps, brief)(other_people)).all()

    return check_learner
