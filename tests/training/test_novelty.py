from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.models.novelty import Novelty
from cosmo_runtime.training.novelty import learn_novelty


def _answers(logits: np.ndarray, count: int, seed: int) -> np.ndarray:
    spread = np.repeat(logits, count, axis=0) + np.random.default_rng(seed).normal(0, 0.5, (count * len(logits), 4))
    return np.exp(spread) / np.exp(spread).sum(1, keepdims=True)


_KNOWN = 6.0 * np.eye(4)


def _learned(accepted: float = 0.95) -> Novelty:
    labels = np.repeat(np.arange(4), 200)
    return learn_novelty(_answers(_KNOWN, 200, 0), labels, _answers(_KNOWN, 200, 1), accepted)


@pytest.mark.parametrize("accepted", [0.9, 0.99])
def test_the_asked_share_of_known_windows_is_accepted(accepted: float) -> None:
    novelty = _learned(accepted)
    new_people = [novelty.of(answer) <= 1 for answer in _answers(_KNOWN, 200, 2)]
    assert np.mean(new_people) == pytest.approx(accepted, abs=0.02)
    assert novelty.accepted == accepted


def test_what_lies_between_the_known_is_new() -> None:
    between = np.array([[3.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 2.0, 2.0]])
    assert all(_learned().of(answer) > 1 for answer in _answers(between, 50, 3))


def test_it_survives_being_written_down_and_probabilities_of_nothing() -> None:
    novelty = _learned()
    again = Novelty.model_validate_json(novelty.model_dump_json())
    assert again.of(np.array([1.0, 0.0, 0.0, 0.0])) == novelty.of(np.array([1.0, 0.0, 0.0, 0.0]))
    assert np.isfinite(again.of(np.array([1.0, 0.0, 0.0, 0.0], np.float32)))


def test_windows_without_labels_or_people_are_refused() -> None:
    some = np.full((2, 4), 0.25)
    with pytest.raises(ValueError, match="1 of them without a label"):
        learn_novelty(some, np.array([0, -1]), some)
    with pytest.raises(ValueError, match="0 of held-out people"):
        learn_novelty(some, np.array([0, 1]), some[:0])
