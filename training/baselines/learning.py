"""What all learned baselines share: one loop, one optimiser, one augmentation, the last epoch, and prediction."""

from __future__ import annotations

from typing import Callable, Iterator, Optional

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from models.networks import EMBEDDING
from training.augment import augment
from training.finetune import Descent
from training.methods import Budget, OnEpoch, Predict
from training.windows import Windows


def descend(
    network: nn.Module,
    losses: Callable[[], Iterator[Tensor]],
    *,
    epochs: int,
    steps: int,
    progress: Progress,
    task: str,
    learning_rate: float = 2e-3,
    on_epoch: OnEpoch = lambda number, loss: None,
) -> None:
    """Train a network in place with AdamW, its learning rate falling as a cosine to zero.

    Args:
        network: what learns.
        losses: of each minibatch of an epoch, at each call.
        epochs: number of passes.
        steps: number of minibatches in one.
        progress: shows the epochs.
        task: what they are called there.
        learning_rate: at the start.
        on_epoch: told of each epoch.
    """
    descent = Descent(network, learning_rate, max(1, epochs * steps), weight_decay=1e-3)
    network.train()
    shown = progress.add_task(task, total=epochs)
    for epoch in range(epochs):
        total = [descent.step(loss) for loss in losses()]
        progress.update(shown, advance=1)
        on_epoch(epoch + 1, float(np.mean(total)))
    network.eval()


def learn_labels(
    network: nn.Module,
    windows: Windows,
    budget: Budget,
    seed: int,
    progress: Progress,
    task: str,
    confidence: Optional[np.ndarray] = None,
) -> Predict:
    """Train a classifier, (features, presence) -> logits (N, classes), on the windows that have labels.

    ``confidence`` (N,) says how far the label of each of these is trusted; all alike when None.
    """
    labelled = windows.labelled
    trust = torch.ones(len(labelled)) if confidence is None else torch.from_numpy(confidence / confidence.mean())
    order, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def losses() -> Iterator[Tensor]:
        for chosen in labelled.shuffled(budget.batch, order):
            features, presence, labels = labelled.tensors(chosen)
            logits = network(augment(features, generator), presence)
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.05, reduction="none")
            yield (loss * trust[chosen]).mean()

    steps = -(-len(labelled) // budget.batch)
    descend(network, losses, epochs=budget.epochs, steps=steps, progress=progress, task=task)

    @torch.no_grad()
    def predict(asked: Windows) -> np.ndarray:
        parts = [torch.softmax(network(features, presence), 1) for features, presence, _ in asked.batches(256)]
        return torch.cat(parts).numpy()

    return predict


class EmbeddingClassifier(nn.Module):
    """One hidden layer on embeddings of length 1, which are enlarged for it as in ``models.networks``."""

    def __init__(self, modalities: int, classes: int):
        super().__init__()
        self.scale = EMBEDDING**0.5
        self.classify = nn.Sequential(
            nn.Linear(modalities * EMBEDDING, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, classes)
        )

    def forward(self, z: Tensor, presence: Tensor) -> Tensor:
        """Embeddings (N, M, D) and presence (N, M) -> logits (N, classes)."""
        return self.classify((z * presence.unsqueeze(2)).flatten(1) * self.scale)
