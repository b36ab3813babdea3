"""The interface of all learners, ours and the rivals', so that all are measured in the same way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping, NamedTuple, Optional, Protocol

import numpy as np
from rich.progress import Progress
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features
from cosmo_runtime.training.windows import Windows

Predict = Callable[[Windows], np.ndarray]
"""Predicts probabilities (N, classes) of windows. It never uses the features of an absent modality."""


@dataclass(frozen=True)
class Budget:
    """How long a method is trained. It is the same for every method of a comparison.

    Attributes:
        pretrain_epochs: passes over all windows without their labels, for methods with a stage 1.
        epochs: passes over the labelled windows.
        pretrain_batch: windows of a minibatch without labels.
        batch: windows of a minibatch with labels.
    """

    pretrain_epochs: int
    epochs: int
    pretrain_batch: int = 64
    batch: int = 16

    def with_labels(self, before: Windows, after: Windows) -> Budget:
        """Returns a budget of about as many minibatches, after labels were spread to more windows."""
        steps = self.epochs * -(-len(before) // self.batch)
        batches = -(-len(after) // self.pretrain_batch)
        return replace(self, epochs=max(1, round(steps / batches)), batch=self.pretrain_batch)


class Epoch(NamedTuple):
    """An epoch that has ended.

    Attributes:
        number: counted from 1 in each stage.
        loss: the mean loss.
        predict: predicts with the network as it is now; None in stage 1, or where this is not possible.
    """

    number: int
    loss: float
    predict: Optional[Predict] = None


OnEpoch = Callable[[Epoch], None]


def ignore_epoch(epoch: Epoch) -> None:
    """Does nothing with an epoch."""


class Lesson(NamedTuple):
    """What a method learns from, and how long.

    Attributes:
        spec: the spec of the windows.
        windows: some of them have a label, the others -1.
        budget: how long to learn.
        seed: the seed of everything random.
        progress: shows the epochs.
        on_epoch: called after each epoch.
    """

    spec: ModelSpec
    windows: Windows
    budget: Budget
    seed: int
    progress: Progress
    on_epoch: OnEpoch = ignore_epoch


Fit = Callable[[Lesson], Predict]
"""Learns, and returns how it predicts after the last epoch."""


class Stage2Result(NamedTuple):
    """The trained model as a function, and figures for the report."""

    predict: Predict
    figures: Mapping[str, Any] = {}


class Learner(Protocol):
    """A method of two stages. The first uses no labels, so that trainings that differ only in labels share it."""

    @property
    def stage_1(self) -> str:
        """Names what stage 1 learns; learners with the same name share it. Empty where there is no stage 1."""

    def new(self, spec: ModelSpec) -> nn.Module:
        """Makes the network of stage 1, untrained."""

    def pretrain(self, lesson: Lesson) -> nn.Module:
        """Stage 1."""

    def tune(self, network: Any, lesson: Lesson) -> Stage2Result:
        """Stage 2, starting from the network that ``pretrain`` returned, which may be changed."""


@dataclass(frozen=True)
class TwoStages:
    """A learner made of functions."""

    stage_1: str
    new: Callable[[ModelSpec], nn.Module]
    pretrain: Callable[[Lesson], nn.Module]
    tune: Callable[[Any, Lesson], Stage2Result]


@dataclass(frozen=True)
class OneStage:
    """A learner without a stage 1."""

    fit: Fit
    stage_1: str = ""

    def new(self, spec: ModelSpec) -> nn.Module:
        """Returns an empty network: there is no stage 1."""
        return nn.Module()

    def pretrain(self, lesson: Lesson) -> nn.Module:
        """Returns an empty network: there is no stage 1."""
        return nn.Module()

    def tune(self, network: Any, lesson: Lesson) -> Stage2Result:
        """Trains on the labelled windows."""
        return Stage2Result(self.fit(lesson))


def learn(learner: Learner, lesson: Lesson) -> Predict:
    """Runs both stages and predicts with the network after the last epoch."""
    return learner.tune(learner.pretrain(lesson), lesson).predict


class Normalised(Protocol):
    """A network that normalises its inputs."""

    def fit(self, features: Features, presence: Tensor) -> None:
        """Computes the normalisation from features (N, steps, ...) by sensor where presence (N, M) has the sensor."""


def normalise(network: Normalised, windows: Windows, seed: int, most: int = 1000) -> None:
    """Fits a network's normalisation to at most ``most`` windows, drawn at random, without their labels."""
    chosen = np.random.default_rng(seed).permutation(len(windows))[:most]
    features, presence, _ = windows.tensors(chosen)
    network.fit(features, presence)
