"""What every learner has in common, so that all are measured alike: ours, the published ones, the classical ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Protocol

import numpy as np
from rich.progress import Progress
from torch import Tensor, nn

from models.spec import ModelSpec
from training.augment import Features
from training.windows import Windows

Predict = Callable[[Windows], np.ndarray]
"""Probabilities (N, classes) of windows; an absent modality's features are never looked at."""

Fit = Callable[[ModelSpec, Windows, "Budget", int, Progress], Predict]
"""Learns from windows of which some have a label (the others -1), within a budget, from a seed."""


@dataclass(frozen=True)
class Budget:
    """How long a method may learn: the same for every method of a comparison.

    Attributes:
        pretrain_epochs: passes over all windows without their labels, for the methods that do this.
        epochs: passes over the labelled windows.
        pretrain_batch: windows of a minibatch without labels.
        batch: windows of a minibatch with labels.
    """

    pretrain_epochs: int
    epochs: int
    pretrain_batch: int = 64
    batch: int = 16

    def with_labels(self, before: Windows, after: Windows) -> Budget:
        """For labels that have spread to more windows: about as many minibatches, of the size without labels."""
        steps = self.epochs * -(-len(before) // self.batch)
        batches = -(-len(after) // self.pretrain_batch)
        return replace(self, epochs=max(1, round(steps / batches)), batch=self.pretrain_batch)


OnEpoch = Callable[[int, float], None]
"""Is told the number of an epoch, from 1, and its mean loss as it ends."""


@dataclass(frozen=True)
class TwoStages:
    """A ``Fit`` whose first stage looks at no labels, so that trainings which differ in them alone may share it.

    Attributes:
        new: the network of stage 1 before it has learned.
        pretrain: stage 1.
        tune: stage 2, which may change the network.
    """

    new: Callable[[ModelSpec], nn.Module]
    pretrain: Callable[[ModelSpec, Windows, Budget, int, Progress, OnEpoch], nn.Module]
    tune: Callable[[nn.Module, ModelSpec, Windows, Budget, int, Progress], Predict]

    def __call__(self, spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress) -> Predict:
        """Both stages."""
        network = self.pretrain(spec, windows, budget, seed, progress, lambda number, loss: None)
        return self.tune(network, spec, windows, budget, seed, progress)


class Normalised(Protocol):
    """A network that takes its inputs' normalisation from windows."""

    def fit(self, features: Features, presence: Tensor) -> None:
        """Take it from features (N, steps, ...) by sensor where presence (N, M) has the sensor."""


def normalise(network: Normalised, windows: Windows, seed: int, most: int = 1000) -> None:
    """Fit a network's normalisation to windows, drawn at random if there are many; labels are not looked at."""
    chosen = np.random.default_rng(seed).permutation(len(windows))[:most]
    features, presence, _ = windows.tensors(chosen)
    network.fit(features, presence)
