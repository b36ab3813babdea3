"""Stage 2, iterative fusion learning: encoders and classifier learn in turns from labelled windows (Cosmo, 2022)."""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from models.networks import FusionClassifier
from models.reference import AnyEncoders, AnyNetwork
from training.augment import OF_A_WHOLE, Warp, augment, drop_modalities
from training.windows import Windows


def finetune(
    network: AnyNetwork,
    windows: Windows,
    *,
    rounds: int,
    seed: int,
    progress: Progress,
    confidence: Optional[np.ndarray] = None,
    turn: int = 5,
    batch: int = 32,
    learning_rate: float = 2e-3,
    warp: Warp = OF_A_WHOLE,
    on_epoch: Optional[Callable[[int, float], None]] = None,
) -> list[float]:
    """Train the network in place: each round, ``turn`` epochs of the encoders, then ``turn`` epochs of the classifier.

    The part that waits is frozen, parameters and batch statistics alike. While the encoders wait, their embeddings are
    computed once a turn. The fusion's attention belongs to the classifier.

    Args:
        network: encoders from stage 1 (normalisation fitted), classifier at random.
        windows: labelled windows.
        rounds: pairs of turns.
        seed: of order, augmentation and dropped modalities.
        progress: shows the epochs.
        confidence: (N,) how far each window's label is trusted, where labels were spread; all alike when None.
        turn: T_iter of the paper, epochs of a turn.
        batch: windows in a minibatch.
        learning_rate: at the start; it falls as a cosine over all turns of a part.
        warp: how far augmentation changes a window's time.
        on_epoch: told each epoch's number, from 1, and its mean loss as it ends.

    Returns:
        The mean loss of each epoch, in order.
    """
    order = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    encoders, classifier = network.encoders, network.classifier
    trust = torch.ones(len(windows)) if confidence is None else torch.from_numpy(confidence / confidence.mean()).float()
    steps = max(1, rounds * turn * -(-len(windows) // batch))
    task = progress.add_task("stage 2", total=2 * rounds * turn)
    losses: list[float] = []

    def epoch_done(total: list[float]) -> None:
        losses.append(float(np.mean(total)))
        progress.update(task, advance=1, description=f"stage 2: loss {losses[-1]:.3f}")
        if on_epoch:
            on_epoch(len(losses), losses[-1])

    def loss_of(z: Tensor, presence: Tensor, labels: Tensor, trust: Tensor) -> Tensor:
        logits, _ = classifier(z, drop_modalities(presence, generator))
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.05, reduction="none")
        return (loss * trust).mean()

    train_encoders = Descent(encoders, learning_rate, steps)
    train_classifier = Descent(classifier, learning_rate, steps)
    for _ in range(rounds):
        freeze(classifier)
        unfreeze(encoders)
        for _ in range(turn):
            encoders.train()  # who watched the last epoch may have predicted
            total = []
            for chosen in windows.shuffled(batch, order):
                features, presence, labels = windows.tensors(chosen)
                z = encoders(augment(features, generator, warp))
                total.append(train_encoders.step(loss_of(z, presence, labels, trust[chosen])))
            epoch_done(total)

        freeze(encoders)
        unfreeze(classifier)
        z, presence, labels = embed(encoders, windows)
        for _ in range(turn):
            classifier.train()
            total = []
            for chosen in windows.shuffled(batch, order):
                total.append(train_classifier.step(loss_of(z[chosen], presence[chosen], labels[chosen], trust[chosen])))
            epoch_done(total)
    freeze(classifier)
    return losses


def finetune_classifier(
    classifier: FusionClassifier,
    z: Tensor,
    presence: Tensor,
    labels: Tensor,
    share: Tensor,
    *,
    steps: int,
    seed: int,
    batch: int = 32,
    learning_rate: float = 2e-3,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Train fusion and classifier in place, on embeddings of encoders that stay as they are.

    Args:
        classifier: from where to go on.
        z: (N, M, D) embeddings.
        presence: (N, M), 1 where a window has the modality.
        labels: (N,).
        share: (N,) how often each embedding is drawn, beside the others.
        steps: minibatches.
        seed: of order and dropped modalities.
        batch: embeddings in a minibatch.
        learning_rate: at the start; it falls as a cosine.
        on_step: called after each minibatch.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    unfreeze(classifier)
    descent = Descent(classifier, learning_rate, steps)
    for chosen in torch.multinomial(share, steps * batch, replacement=True, generator=generator).split(batch):
        logits, _ = classifier(z[chosen], drop_modalities(presence[chosen], generator))
        descent.step(nn.functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05))
        on_step()
    freeze(classifier)


def freeze(part: nn.Module) -> None:
    """Stop parameters and batch statistics of a part; gradients still pass through it."""
    part.eval()
    part.requires_grad_(False)


def unfreeze(part: nn.Module) -> None:
    """Let a part learn again."""
    part.train()
    part.requires_grad_(True)


@torch.no_grad()
def embed(encoders: AnyEncoders, windows: Windows, batch: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings z (N, M, D), presence (N, M) and labels (N,) of all windows, unaugmented, encoders in eval mode."""
    encoders.eval()
    parts = [(encoders(features), presence, labels) for features, presence, labels in windows.batches(batch)]
    z, presence, labels = (torch.cat(part) for part in zip(*parts))
    return z, presence, labels


class Descent:
    """AdamW on one part, its learning rate falling as a cosine to zero over ``steps`` minibatches."""

    def __init__(self, part: nn.Module, learning_rate: float, steps: int, weight_decay: float = 1e-2):
        self._optimiser = torch.optim.AdamW(part.parameters(), lr=learning_rate, weight_decay=weight_decay)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, steps)

    def step(self, loss: Tensor) -> float:
        """Learn from a minibatch's loss, and return it."""
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._schedule.step()
        return loss.item()
