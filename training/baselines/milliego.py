"""milliEgo's fusion (Lu et al., SenSys 2020): each sensor's features are masked by themselves, then by the others'.

As published: a mask is sigmoid(W2 relu(W1 x)) without biases, with a bottleneck of a quarter of the masked size. First
each sensor masks its own features, then the masked features of the others mask them. The features of each moment are
concatenated and go through a recurrent network of two LSTM layers.

What had to change: milliEgo estimates how far somebody moved between two radar frames, so only its fusion can be used
here. The features are those of the project's encoders before their layers over the whole window, resampled to one
number of moments, and the mean of the states is classified. The LSTM is as small as the encoders. Written from the
paper's description, because its code may not be used here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features
from cosmo_runtime.training.baselines.learning import learn_labels
from cosmo_runtime.training.baselines.steps import Steps
from cosmo_runtime.training.methods import Lesson, Predict, normalise

HIDDEN = 128
MOMENTS = 20


def milliego(lesson: Lesson) -> Predict:
    """A ``Fit`` that learns from the labelled windows only."""
    torch.manual_seed(lesson.seed)
    network = _MilliEgo(lesson.spec)
    normalise(network, lesson.windows, lesson.seed)
    return learn_labels(network, lesson, "milliEgo's fusion")


class _MilliEgo(nn.Module):
    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.sensors = Steps(spec, MOMENTS, encoded=True)
        self.fuse = MixedMasks(self.sensors.dims)
        self.recur = nn.LSTM(sum(self.sensors.dims), HIDDEN, num_layers=2, dropout=0.25, batch_first=True)
        self.classify = nn.Linear(HIDDEN, len(spec.classes))

    def fit(self, features: Features, presence: Tensor) -> None:
        self.sensors.fit(features, presence)

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        states, _ = self.recur(torch.cat(self.fuse(self.sensors(features, presence)), dim=2))
        return self.classify(states.mean(1))


class MixedMasks(nn.Module):
    """Masks each sensor's features by themselves, then by those of all others."""

    def __init__(self, dims: list[int]):
        super().__init__()
        self.own = nn.ModuleList(_mask(dim, dim) for dim in dims)
        self.by_others = nn.ModuleList(_mask(sum(dims) - dim, dim) for dim in dims)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Features (..., dim) of at least two sensors -> the same, masked."""
        masked = [x * mask(x) for x, mask in zip(features, self.own)]
        others = [torch.cat(masked[:j] + masked[j + 1 :], dim=-1) for j in range(len(masked))]
        return [x * mask(other) for x, other, mask in zip(masked, others, self.by_others)]


def _mask(inputs: int, outputs: int) -> nn.Module:
    bottleneck = max(1, outputs // 4)
    return nn.Sequential(
        nn.Linear(inputs, bottleneck, bias=False), nn.ReLU(), nn.Linear(bottleneck, outputs, bias=False), nn.Sigmoid()
    )
