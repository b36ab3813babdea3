from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

torch = pytest.importorskip("torch")

from cosmo_runtime.training.cosmo.class_means import class_means
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.methods import Budget, Lesson


@pytest.fixture
def lesson(spec, windows):
    some = windows.labelled_only_where((np.arange(len(windows)) % 3 == 0) & (windows.labels != 2))
    return Lesson(spec, some, Budget(pretrain_epochs=4, epochs=1), 0, Progress(disable=True))


def test_answers_are_those_of_the_nearest_mean(lesson, other_people):
    """By hand, with one sensor absent in some windows, and no label of the last activity."""
    presence = other_people.presence.copy()
    presence[::2, 0] = False
    query = replace(other_people, presence=presence)
    learner = class_means()
    encoders = learner.pretrain(lesson)

    def vectors(windows):
        z, there, _ = embed(encoders, windows)
        flat = (z.numpy() * there.numpy()[:, :, None]).reshape(len(windows), -1)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    known = lesson.windows.labelled
    means = np.stack([vectors(known)[known.labels == activity].mean(axis=0) for activity in (0, 1)])
    nearest = (vectors(query) @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)
    probabilities = learner.tune(encoders, lesson).predict(query)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), nearest)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities[:, 2] == 0).all()


@pytest.mark.parametrize("pretrained", [True, False])
def test_stage_1_is_that_of_cosmo(lesson, pretrained):
    ours, cosmos = class_means(pretrained), Cosmo(pretrained=pretrained)
    assert ours.stage_1 == cosmos.stage_1
    windows = lesson.windows
    assert torch.equal(embed(ours.pretrain(lesson), windows)[0], embed(cosmos.pretrain(lesson), windows)[0])
