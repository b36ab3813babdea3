"""Code that all learned baselines share: the loop, the optimiser, augmentation, prediction after the last epoch."""

from __future__ import annotations

from typing import Callable, Iterator, Optional

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from cosmo_runtime.models.networks import EMBEDDING
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features, augment
from cosmo_runtime.training.cosmo.stage2 import Descent
from cosmo_runtime.training.methods import Epoch, Lesson, OnEpoch, Predict, Stage2Result, ignore_epoch
from cosmo_runtime.training.windows import Windows

LEARNING_RATE = 2e-3


def descend(
    network: nn.Module,
    losses: Callable[[], Iterator[Tensor]],
    *,
    epochs: int,
    steps: int,
    progress: Progress,
    task: str,
    learning_rate: float = LEARNING_RATE,
    on_epoch: OnEpoch = ignore_epoch,
) -> None:
    """Trains a network in place with AdamW. The learning rate falls to zero along a cosine.

    Args:
        network: the network to train.
        losses: each call returns the losses of one epoch's minibatches.
        epochs: number of epochs.
        steps: minibatches per epoch.
        progress: shows the epochs.
        task: the label of the progress bar.
        learning_rate: the rate at the start.
        on_epoch: called after each epoch.
    """
    descent = Descent(network, learning_rate, max(1, epochs * steps), weight_decay=1e-3)
    network.train()
    shown = progress.add_task(task, total=epochs)
    for epoch in range(epochs):
        total = [descent.step(loss) for loss in losses()]
        progress.update(shown, advance=1)
        on_epoch(Epoch(epoch + 1, float(np.mean(total))))
    network.eval()


def learn_unlabelled(
    network: nn.Module,
    loss: Callable[[Features, Tensor], Tensor],
    lesson: Lesson,
    task: str,
    *,
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Trains a network in place on all windows. ``loss`` takes the features and the presence of a minibatch."""
    windows, budget, order = lesson.windows, lesson.budget, np.random.default_rng(lesson.seed)

    def losses() -> Iterator[Tensor]:
        for features, presence, _ in windows.shuffled_batches(budget.pretrain_batch, order):
            yield loss(features, presence)

    descend(
        network,
        losses,
        epochs=budget.pretrain_epochs,
        steps=-(-len(windows) // budget.pretrain_batch),
        progress=lesson.progress,
        task=f"{task}, unlabelled",
        learning_rate=learning_rate,
        on_epoch=lesson.on_epoch,
    )


def learn_labels(network: nn.Module, lesson: Lesson, task: str, confidence: Optional[np.ndarray] = None) -> Predict:
    """Trains a classifier, (features, presence) -> logits (N, classes), on the labelled windows.

    ``confidence`` (N,) weights each labelled window; None weights all of them equally.
    """
    labelled, batch, seed = lesson.windows.labelled, lesson.budget.batch, lesson.seed
    trust = torch.ones(len(labelled)) if confidence is None else torch.from_numpy(confidence / confidence.mean())
    order, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def losses() -> Iterator[Tensor]:
        for chosen in labelled.shuffled(batch, order):
            features, presence, labels = labelled.tensors(chosen)
            logits = network(augment(features, labelled.kinds, generator), presence)
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.05, reduction="none")
            yield (loss * trust[chosen]).mean()

    descend(
        network,
        losses,
        epochs=lesson.budget.epochs,
        steps=-(-len(labelled) // batch),
        progress=lesson.progress,
        task=task,
        on_epoch=lesson.on_epoch,
    )

    @torch.no_grad()
    def predict(query: Windows) -> np.ndarray:
        parts = [torch.softmax(network(features, presence), 1) for features, presence, _ in query.batches(256)]
        return torch.cat(parts).numpy()

    predict.network = network  # type: ignore[attr-defined]  # for what its inference costs
    return predict


class EmbeddingClassifier(nn.Module):
    """One hidden layer on embeddings of length 1, which are scaled up first as in ``models.networks``."""

    def __init__(self, modalities: int, classes: int):
        super().__init__()
        self.scale = EMBEDDING**0.5
        self.classify = nn.Sequential(
            nn.Linear(modalities * EMBEDDING, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, classes)
        )

    def forward(self, z: Tensor, presence: Tensor) -> Tensor:
        """Embeddings (N, M, D) and presence (N, M) -> logits (N, classes)."""
        return self.classify((z * presence.unsqueeze(2)).flatten(1) * self.scale)


class Concatenated(nn.Module):
    """Encoders from stage 1, and a classifier of their concatenated embeddings."""

    def __init__(self, encoders: nn.Module, spec: ModelSpec):
        super().__init__()
        self.encoders = encoders
        self.classify = EmbeddingClassifier(len(spec.modalities), len(spec.classes))

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor and presence (N, M) -> logits (N, classes)."""
        return self.classify(self.encoders(features), presence)


def tune_together(task: str) -> Callable[..., Stage2Result]:
    """Returns a stage 2 in which a classifier and the encoders of stage 1 learn from the labels together."""

    def tune(encoders: nn.Module, lesson: Lesson) -> Stage2Result:
        torch.manual_seed(lesson.seed)
        return Stage2Result(learn_labels(Concatenated(encoders, lesson.spec), lesson, task))

    return tune
