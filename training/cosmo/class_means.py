"""Stage 1 of Cosmo without stage 2: a window shows the activity whose mean embedding is nearest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.methods import Lesson, Stage2Result, TwoStages
from cosmo_runtime.training.windows import Windows


def class_means(pretrained: bool = True) -> TwoStages:
    """The learner. Its encoders are Cosmo's after stage 1, or random ones, and learn no more."""
    cosmo = Cosmo(pretrained=pretrained)
    return TwoStages(cosmo.stage_1, cosmo.new, cosmo.pretrain, _compare)


def _compare(encoders: Encoders, lesson: Lesson) -> Stage2Result:
    """Stores the mean embedding of each activity's labelled windows."""
    z, labels = _embedded(encoders, lesson.windows.labelled)
    known = torch.unique(labels)
    means = torch.stack([z[labels == activity].mean(dim=0) for activity in known])
    means = torch.nn.functional.normalize(means, dim=1)

    def predict(query: Windows) -> np.ndarray:
        """Probabilities that rise with the cosine similarity; 0 for activities without a labelled window."""
        shares = torch.zeros(len(query), len(lesson.spec.classes))
        shares[:, known] = torch.softmax(_embedded(encoders, query)[0] @ means.T, dim=1)
        return shares.numpy()

    return Stage2Result(predict)


def _embedded(encoders: Encoders, windows: Windows) -> tuple[Tensor, Tensor]:
    """The embeddings of all sensors as one vector of length 1, with zeros for absent ones; and the labels."""
    z, presence, labels = embed(encoders, windows)
    return torch.nn.functional.normalize((z * presence.unsqueeze(2)).flatten(1), dim=1), labels
