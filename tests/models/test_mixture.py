from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.mixture import Mixture, Readings
from cosmo_runtime.models.spec import ModelSpec


class Says(torch.nn.Module):
    """A classifier that gives the same probabilities and weights whatever it is shown."""

    def __init__(self, probabilities: list[float], weights: list[float]) -> None:
        super().__init__()
        self._answer = torch.tensor([probabilities]).log(), torch.tensor([weights])

    def forward(self, z: torch.Tensor, presence: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._answer


def test_what_was_not_shown_is_as_likely_as_it_was_where_the_new_classifier_sees_something_else() -> None:
    new = Says([0.1, 0.3, 0.6], [0.8, 0.2])  # wave, sit, fall
    before = Says([0.5, 0.05, 0.45], [0.4, 0.6])  # sit, fall, dance
    mixture = Mixture(new, before, Readings(0, 2, 3), Readings(0, 2, 3))
    mixture.shown.copy_(torch.tensor([1.0, 0.0, 0.0]))
    mixture.names.copy_(torch.tensor([[0, 1, 0], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3]]))
    logits, weights = mixture(torch.zeros(1, 2, 4), torch.ones(1, 2))
    # 0.9 of p is not shown; dance is no longer wanted, so its 0.45 is spread over three
    expected = [0.1 + 0.9 * 0.15, 0.9 * (0.5 + 0.15), 0.9 * (0.05 + 0.15)]
    np.testing.assert_allclose(torch.softmax(logits, 1)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(weights[0], [0.1 * 0.8 + 0.9 * 0.4, 0.1 * 0.2 + 0.9 * 0.6], rtol=1e-6)


def test_readings_are_those_of_a_run_with_every_set_of_sensors(tiny_spec: ModelSpec) -> None:
    spec = tiny_spec
    first, second = spec.sensors[:2]
    readings = (
        Reading(sensors=(second, first), expected={spec.classes[0]: -1.5, spec.classes[2]: 0.5}, temperature=0.5),
        Reading(sensors=(second,), temperature=2.0),
    )
    read = spec.model_copy(update={"readings": readings, "temperature": 1.5})
    module = Readings.of(read)
    logits = torch.randn(1, len(spec.classes), generator=torch.Generator().manual_seed(0))
    raw = torch.softmax(logits, 1).numpy()
    sets = list(itertools.product((0.0, 1.0), repeat=len(spec.sensors)))
    for presence in sets:
        answer = module(logits, torch.tensor([presence])).numpy()
        np.testing.assert_allclose(answer, read.reading(presence).of(raw, spec.classes), rtol=1e-4)
    assert module.temperatures() == (pytest.approx(1.5), pytest.approx([0.5, 2.0]))
