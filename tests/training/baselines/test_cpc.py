from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.training.baselines.cpc import cpc
from cosmo_runtime.training.methods import Budget, Lesson


def test_it_learns(check):
    check(cpc, pretrain_epochs=10, epochs=80, expected=0.6)


def test_stage_1_sees_the_windows_as_they_are(spec, windows, monkeypatch):
    """Whatever is changed in a whole window tells whose future a step is, and would be all that is learned."""
    network = type(cpc.new(spec))
    seen = []

    def loss(self, features, presence, moments):
        seen.append(features)
        return network_loss(self, features, presence, moments)

    network_loss = network.loss
    monkeypatch.setattr(network, "loss", loss)
    cpc.pretrain(Lesson(spec, windows, Budget(1, 1, pretrain_batch=24), 0, Progress(disable=True)))

    given, _, _ = windows.tensors(np.arange(len(windows)))
    for sensor, values in given.items():
        came = torch.cat([features[sensor] for features in seen]).flatten(1)
        assert len(came) == len(values)
        np.testing.assert_array_equal(np.sort(came.sum(1)), np.sort(values.flatten(1).sum(1)))
