"""One modality alone, supervised: the project's own encoder of it and a classifier."""

from __future__ import annotations

import torch
from rich.progress import Progress
from torch import Tensor, nn

from models.encoders import encoder_for
from models.networks import EMBEDDING
from models.spec import ModelSpec
from training.augment import Features
from training.baselines.learning import EmbeddingClassifier, learn_labels
from training.methods import Budget, Fit, Predict, normalise
from training.windows import Windows


def single_modal(sensor: str) -> Fit:
    """The ``Fit`` that learns from this modality only."""

    def fit(spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress) -> Predict:
        torch.manual_seed(seed)
        network = _SingleModal(spec, sensor)
        normalise(network, windows, seed)
        return learn_labels(network, windows, budget, seed, progress, f"{sensor} alone")

    return fit


class _SingleModal(nn.Module):
    def __init__(self, spec: ModelSpec, sensor: str):
        super().__init__()
        self.sensor, self.index = sensor, spec.sensors.index(sensor)
        self.encoder = encoder_for(spec.modalities[self.index], EMBEDDING)
        self.classify = EmbeddingClassifier(1, len(spec.classes))

    def fit(self, features: Features, presence: Tensor) -> None:
        self.encoder.fit(features[self.sensor][presence[:, self.index] > 0])  # type: ignore[operator]

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        return self.classify(self.encoder(features[self.sensor]).unsqueeze(1), presence[:, self.index, None])
