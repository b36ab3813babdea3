"""What is kept of examples, by hand: two sensors, embeddings of two numbers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.adapt.memory import Memory
from cosmo_runtime.training.adapt.nearest import SHRINKAGE, nearest_examples, spread_of

Z = torch.tensor(
    [
        [[3.0, 0.0], [0.0, 1.0]],
        [[0.6, 0.8], [9.0, 9.0]],  # the second sensor is absent
        [[0.0, 2.0], [9.0, 9.0]],  # here, too
    ]
)
PRESENCE = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
KNOWN = Memory(Z, PRESENCE, torch.tensor([0, 0, 2]))
NOTHING = torch.zeros(0, 2, 2), torch.zeros(0, 2)


def test_examples_are_kept_as_directions_and_share_their_activity() -> None:
    classifier = nearest_examples(KNOWN, 3, *NOTHING)
    torch.testing.assert_close(classifier.examples[0].T, torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    assert classifier.seen.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert classifier.shares.tolist() == [[0.5, 0, 0], [0.5, 0, 0], [0, 0, 1]]


def test_only_windows_that_have_a_sensor_say_what_is_usual() -> None:
    classifier = nearest_examples(KNOWN, 3, Z, PRESENCE)
    torch.testing.assert_close(classifier.usual, torch.tensor([[1.2, 2.8 / 3], [0.0, 1.0]]))


def test_evened_embeddings_vary_alike_but_for_the_shrinkage() -> None:
    z = torch.tensor([[3.0, 1.0], [-1.0, 1.0], [1.0, 2.0], [1.0, 0.0]])  # variances 2 and 0.5 around (1, 1)
    usual, evening = spread_of(z)
    torch.testing.assert_close(usual, torch.ones(2))
    shrunk = SHRINKAGE * 1.25
    torch.testing.assert_close(evening, torch.diag(1 / torch.tensor([2 + shrunk, 0.5 + shrunk]).sqrt()))


def test_a_single_window_is_no_reason_to_fail() -> None:
    usual, evening = spread_of(torch.tensor([[1.0, 2.0]]))
    assert usual.tolist() == [1, 2]
    assert bool(torch.isfinite(evening).all())


def test_the_nearest_examples_name_a_window() -> None:
    classifier = nearest_examples(KNOWN, 3, *NOTHING)
    windows = torch.tensor([[[0.9, 0.1], [0.0, 0.0]], [[-0.1, 0.9], [0.0, 0.0]]])
    logits, _ = classifier(windows, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    assert logits.argmax(1).tolist() == [0, 2]
