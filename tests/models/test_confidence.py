from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.models.confidence import tempered


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits)
    return shares / shares.sum()


def test_it_is_as_if_the_logits_were_divided() -> None:
    logits = np.array([2.0, -1.0, 0.5])
    for temperature in 0.5, 2.0, 5.0:
        assert tempered(_softmax(logits), temperature) == pytest.approx(_softmax(logits / temperature))


def test_one_changes_nothing_and_the_order_never_changes() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], np.float32)
    assert tempered(probabilities, 1.0) is probabilities
    softer = tempered(probabilities, 3.0)
    assert softer.dtype == np.float32
    assert (softer.argmax(1) == probabilities.argmax(1)).all()
    np.testing.assert_allclose(softer.sum(1), 1, rtol=1e-6)
    assert np.isfinite(softer).all()
