"""Contrastive predictive coding for activity recognition (Haresamudram et al., IMWUT 2021)."""

from __future__ import annotations

from typing import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features
from cosmo_runtime.training.baselines.learning import descend, learn_unlabelled
from cosmo_runtime.training.baselines.steps import Steps
from cosmo_runtime.training.methods import Lesson, Stage2Result, TwoStages, normalise
from cosmo_runtime.training.windows import Windows

FUTURE_STEPS = 28
FILTERS = (32, 64, 128)
HIDDEN = 256


def _pretrain(lesson: Lesson) -> _PredictiveCoding:
    torch.manual_seed(lesson.seed)
    network = _PredictiveCoding(lesson.spec)
    normalise(network, lesson.windows, lesson.seed)
    moments = torch.Generator().manual_seed(lesson.seed)

    def loss(features: Features, presence: Tensor) -> Tensor:
        # No augmentation: a change to the whole window would reveal whose future it is, and only that would be learned.
        return network.loss(features, presence, moments)

    learn_unlabelled(network, loss, lesson, "CPC", learning_rate=5e-4)  # as published
    return network


def _tune(network: nn.Module, lesson: Lesson) -> Stage2Result:
    torch.manual_seed(lesson.seed)

    @torch.no_grad()
    def states(query: Windows) -> Tensor:
        network.eval()
        return torch.cat([network(features, presence) for features, presence, _ in query.batches(256)])

    labelled, budget = lesson.windows.labelled, lesson.budget
    classify = _classifier(len(lesson.spec.classes))
    known, labels = states(labelled), torch.from_numpy(labelled.labels)  # frozen, so the same in every epoch
    order = torch.Generator().manual_seed(lesson.seed)

    def losses() -> Iterator[Tensor]:
        for chosen in torch.randperm(len(known), generator=order).split(budget.batch):
            if len(chosen) > 1:  # batch statistics need two
                yield nn.functional.cross_entropy(classify(known[chosen]), labels[chosen], label_smoothing=0.05)

    descend(
        classify,
        losses,
        epochs=budget.epochs,
        steps=-(-len(known) // budget.batch),
        progress=lesson.progress,
        task="CPC",
        on_epoch=lesson.on_epoch,
    )

    @torch.no_grad()
    def predict(query: Windows) -> np.ndarray:
        return torch.softmax(classify(states(query)), dim=1).numpy()

    return Stage2Result(predict)


class _PredictiveCoding(nn.Module):
    """Three convolutions along time, and a recurrent network whose state predicts their later outputs."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.inputs = Steps(spec)
        layers: list[nn.Module] = []
        for inputs, outputs in zip((sum(self.inputs.dims), *FILTERS), FILTERS):
            layers += [nn.Conv1d(inputs, outputs, 3, padding=1, padding_mode="replicate"), nn.ReLU(), nn.Dropout(0.2)]
        for layer in layers:
            if isinstance(layer, nn.Conv1d):  # torch's default initialisation would halve the signal in each layer
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.encode = nn.Sequential(*layers)
        self.recur = nn.GRU(FILTERS[-1], HIDDEN, num_layers=2, dropout=0.2, batch_first=True)
        # A window must have a past too, so for short windows only the second half is predicted.
        self.futures = min(FUTURE_STEPS, self.inputs.steps // 2)
        self.foretell = nn.Linear(HIDDEN, self.futures * FILTERS[-1])

    def fit(self, features: Features, presence: Tensor) -> None:
        self.inputs.fit(features, presence)

    def codes(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor, presence (N, M) -> the convolutions' outputs (N, steps, 128)."""
        x = torch.cat(self.inputs(features, presence), dim=2)
        return self.encode(x.transpose(1, 2)).transpose(1, 2)

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor, presence (N, M) -> mean and maximum of the states over time (N, 512)."""
        states, _ = self.recur(self.codes(features, presence))
        return torch.cat([states.mean(1), states.amax(1)], dim=1)

    def loss(self, features: Features, presence: Tensor, moments: torch.Generator) -> Tensor:
        """InfoNCE from a random moment: which of the batch's windows has this step, 1 to ``futures`` steps ahead?"""
        codes = self.codes(features, presence)
        now = int(torch.randint(self.futures - 1, codes.shape[1] - self.futures, (1,), generator=moments))
        states, _ = self.recur(codes[:, : now + 1])
        foretold = self.foretell(states[:, -1]).unflatten(1, (self.futures, -1))  # (N, futures, 128)
        coming = codes[:, now + 1 : now + 1 + self.futures]
        similarity = torch.einsum("akd,bkd->kab", foretold, coming)  # each predicted window with each real one
        return nn.functional.cross_entropy(similarity.flatten(0, 1), torch.arange(len(codes)).repeat(self.futures))


def _classifier(classes: int) -> nn.Sequential:
    """The published classifier after a normalisation, because states learned without labels may differ little."""
    layers: list[nn.Module] = [nn.BatchNorm1d(2 * HIDDEN, affine=False)]
    for inputs, outputs in ((2 * HIDDEN, 256), (256, 128)):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(128, classes))


cpc = TwoStages("cpc", _PredictiveCoding, _pretrain, _tune)
"""A network learns to predict future steps on all windows, then a classifier learns on the network's states.

The published network reads one inertial sensor. Here the modalities are its channels, side by side. The published
classifier sees the last state. Here it sees the mean and the maximum over time, as the project's own encoders do: a
window may hold a whole action, and the last state only shows how the action ends.
"""
