"""One modality alone, supervised: the project's encoder for it and a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosmo_runtime.models.networks import EMBEDDING
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features
from cosmo_runtime.training.baselines.learning import EmbeddingClassifier, learn_labels
from cosmo_runtime.training.methods import Fit, Lesson, Predict, normalise


def single_modal(sensor: str) -> Fit:
    """A ``Fit`` that learns from this modality only."""

    def fit(lesson: Lesson) -> Predict:
        torch.manual_seed(lesson.seed)
        network = _SingleModal(lesson.spec, sensor)
        normalise(network, lesson.windows, lesson.seed)
        return learn_labels(network, lesson, f"{sensor} alone")

    return fit


class _SingleModal(nn.Module):
    def __init__(self, spec: ModelSpec, sensor: str):
        super().__init__()
        self.sensor, self.index = sensor, spec.sensors.index(sensor)
        modality = spec.modalities[self.index]
        self.encoder = modality.kind_row.make_encoder(modality.shape, EMBEDDING)
        self.classify = EmbeddingClassifier(1, len(spec.classes))

    def fit(self, features: Features, presence: Tensor) -> None:
        self.encoder.fit(features[self.sensor][presence[:, self.index] > 0])

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        return self.classify(self.encoder(features[self.sensor]).unsqueeze(1), presence[:, self.index, None])
