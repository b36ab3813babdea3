"""AttnSense (Ma et al., IJCAI 2019): attention over sensors, then over the time steps of a recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features
from cosmo_runtime.training.baselines.intervals import FILTERS, IntervalConvolutions
from cosmo_runtime.training.baselines.learning import learn_labels
from cosmo_runtime.training.methods import Lesson, Predict, normalise

HIDDEN = 128


def attnsense(lesson: Lesson) -> Predict:
    """A ``Fit`` that learns from the labelled windows only.

    As published, with two changes. Augmentation is the project's. A linear map reduces a sensor's maps to ``HIDDEN``
    numbers, so that the attention's input does not grow with the length of an interval.
    """
    torch.manual_seed(lesson.seed)
    network = _AttnSense(lesson.spec)
    normalise(network, lesson.windows, lesson.seed)
    return learn_labels(network, lesson, "AttnSense")


class _AttnSense(nn.Module):
    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.sensors = IntervalConvolutions(spec)
        self.reduce = nn.Linear(FILTERS * self.sensors.frequencies, HIDDEN)
        self.over_sensors = _Attention(HIDDEN)
        self.recur = nn.GRU(HIDDEN, HIDDEN, num_layers=2, dropout=0.5, batch_first=True)
        self.over_time = _Attention(HIDDEN)
        self.classify = nn.Linear(HIDDEN, len(spec.classes))

    def fit(self, features: Features, presence: Tensor) -> None:
        self.sensors.fit(features, presence)

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        x = self.reduce(self.sensors(features, presence).flatten(3))  # (N, intervals, M, HIDDEN)
        x = self.over_sensors(x, presence.unsqueeze(1))  # (N, intervals, HIDDEN)
        states, _ = self.recur(x)
        return self.classify(self.over_time(states, torch.ones(states.shape[:2])))


class _Attention(nn.Module):
    """The mean of K vectors x_k, weighted by softmax_k(c . tanh(W x_k + b))."""

    def __init__(self, dim: int):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))

    def forward(self, x: Tensor, presence: Tensor) -> Tensor:
        """Vectors (..., K, D) and presence (..., K) -> (..., D); zero where nothing is present."""
        score = self.score(x).squeeze(-1) - 1e4 * (1 - presence)
        weights = torch.softmax(score, dim=-1) * presence
        return (weights.unsqueeze(-1) * x).sum(-2)
