"""DeepSense (Yao et al., WWW 2017): convolutions for each sensor, then for all, then a recurrent network over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features
from cosmo_runtime.training.baselines.intervals import FILTERS, IntervalConvolutions
from cosmo_runtime.training.baselines.learning import learn_labels
from cosmo_runtime.training.methods import Lesson, Predict, normalise

HIDDEN = 120


def deepsense(lesson: Lesson) -> Predict:
    """A ``Fit`` that learns from the labelled windows only.

    As published, with two changes. All intervals have one width, so the width is not an input. The merging convolutions
    run along the frequencies, with the sensors' maps as channels. Run along both flattened into one row, they would be
    as large as the rest of the network.
    """
    torch.manual_seed(lesson.seed)
    network = _DeepSense(lesson.spec)
    normalise(network, lesson.windows, lesson.seed)
    return learn_labels(network, lesson, "DeepSense")


class _DeepSense(nn.Module):
    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.sensors = IntervalConvolutions(spec)
        layers: list[nn.Module] = []
        for inputs in (len(spec.modalities) * FILTERS, FILTERS, FILTERS):
            layers += [nn.Conv1d(inputs, FILTERS, 3, padding=1, bias=False), nn.BatchNorm1d(FILTERS), nn.ReLU()]
        self.merge = nn.Sequential(*layers, nn.Dropout(0.2), nn.Flatten())
        self.recur = nn.GRU(FILTERS * self.sensors.frequencies, HIDDEN, num_layers=2, dropout=0.5, batch_first=True)
        self.classify = nn.Linear(HIDDEN, len(spec.classes))

    def fit(self, features: Features, presence: Tensor) -> None:
        self.sensors.fit(features, presence)

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        x = self.sensors(features, presence).flatten(2, 3)  # (N, intervals, M * FILTERS, frequencies)
        x = self.merge(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        states, _ = self.recur(x)
        return self.classify(states.mean(1))
