"""Stage 2, iterative fusion learning: encoders and classifier take turns to learn from labels (Cosmo, 2022)."""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from cosmo_runtime.models.networks import CosmoNetwork, FusionClassifier
from cosmo_runtime.training.augment import OF_A_WHOLE, Warp, augment, drop_modalities
from cosmo_runtime.training.windows import Windows


def finetune(
    network: CosmoNetwork,
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
    """Trains the network in place: each round, ``turn`` epochs of the encoders, then ``turn`` epochs of the classifier.

    The part that waits is frozen, both parameters and batch statistics. While the encoders wait, their embeddings are
    computed once per turn. The fusion's attention belongs to the classifier.

    Args:
        network: encoders from stage 1 (normalisation fitted), classifier with random weights.
        windows: labelled windows.
        rounds: the number of rounds.
        seed: the seed of order, augmentation and dropped modalities.
        progress: shows the epochs.
        confidence: (N,) weight of each window's loss, if labels were spread; None weights all equally.
        turn: the epochs of a turn, T_iter in the paper.
        batch: windows in a minibatch.
        learning_rate: the rate at the start; it falls along a cosine over all turns of a part.
        warp: how far augmentation changes a window's time.
        on_epoch: called after each epoch with its number, from 1, and its mean loss.

    Returns:
        The mean loss of each epoch, in order.
    """
    order = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    encoders, classifier = network.encoders, network.classifier
    weights = torch.ones(len(windows))
    if confidence is not None:
        weights = torch.from_numpy(confidence / confidence.mean()).float()
    task = progress.add_task("stage 2", total=2 * rounds * turn)
    losses: list[float] = []

    def loss_of(z: Tensor, presence: Tensor, labels: Tensor, chosen: np.ndarray) -> Tensor:
        logits, _ = classifier(z, drop_modalities(presence, generator))
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.05, reduction="none")
        return (loss * weights[chosen]).mean()

    def loss_of_windows(chosen: np.ndarray) -> Tensor:
        features, presence, labels = windows.tensors(chosen)
        return loss_of(encoders(augment(features, windows.kinds, generator, warp)), presence, labels, chosen)

    def loss_of_embeddings(embedded: tuple[Tensor, Tensor, Tensor], chosen: np.ndarray) -> Tensor:
        z, presence, labels = embedded
        return loss_of(z[chosen], presence[chosen], labels[chosen], chosen)

    def take_turn(part: nn.Module, descent: Descent, loss: Callable[[np.ndarray], Tensor]) -> None:
        unfreeze(part)
        for _ in range(turn):
            part.train()  # on_epoch may have set eval mode
            losses.append(float(np.mean([descent.step(loss(chosen)) for chosen in windows.shuffled(batch, order)])))
            progress.update(task, advance=1, description=f"stage 2: loss {losses[-1]:.3f}")
            if on_epoch:
                on_epoch(len(losses), losses[-1])
        freeze(part)

    steps = max(1, rounds * turn * -(-len(windows) // batch))
    train_encoders, train_classifier = (Descent(part, learning_rate, steps) for part in (encoders, classifier))
    freeze(classifier)
    for _ in range(rounds):
        take_turn(encoders, train_encoders, loss_of_windows)
        take_turn(classifier, train_classifier, partial(loss_of_embeddings, embed(encoders, windows)))
    return losses


def turns_within(epochs: int, turn: int) -> tuple[int, int]:
    """The rounds of stage 2, and the epochs per turn, that give each part about ``epochs``."""
    rounds = max(1, round(epochs / turn))
    return rounds, max(1, round(epochs / rounds))


def finetune_classifier(
    classifier: FusionClassifier,
    z: Tensor,
    presence: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    steps: int,
    seed: int,
    batch: int = 32,
    learning_rate: float = 2e-3,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Trains fusion and classifier in place, on embeddings of frozen encoders.

    Args:
        classifier: the classifier to train.
        z: (N, M, D) embeddings.
        presence: (N, M), 1 where a window has the modality.
        labels: (N,).
        weights: (N,) how often each embedding is drawn, relative to the others.
        steps: the number of minibatches.
        seed: the seed of order and dropped modalities.
        batch: embeddings in a minibatch.
        learning_rate: the rate at the start; it falls along a cosine.
        on_step: called after each minibatch.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    unfreeze(classifier)
    descent = Descent(classifier, learning_rate, steps)
    for chosen in torch.multinomial(weights, steps * batch, replacement=True, generator=generator).split(batch):
        logits, _ = classifier(z[chosen], drop_modalities(presence[chosen], generator))
        descent.step(nn.functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05))
        on_step()
    freeze(classifier)


def freeze(part: nn.Module) -> None:
    """Freezes parameters and batch statistics of a module. Gradients still pass through it."""
    part.eval()
    part.requires_grad_(False)


def unfreeze(part: nn.Module) -> None:
    """Undoes ``freeze``."""
    part.train()
    part.requires_grad_(True)


@torch.no_grad()
def embed(encoders: nn.Module, windows: Windows, batch: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """Returns embeddings z (N, M, D), presence (N, M) and labels (N,) of all windows, without augmentation."""
    encoders.eval()
    parts = [(encoders(features), presence, labels) for features, presence, labels in windows.batches(batch)]
    z, presence, labels = (torch.cat(part) for part in zip(*parts))
    return z, presence, labels


class Descent:
    """AdamW on one part. The learning rate falls to zero along a cosine over ``steps`` minibatches."""

    def __init__(self, part: nn.Module, learning_rate: float, steps: int, weight_decay: float = 1e-2):
        self._optimiser = torch.optim.AdamW(part.parameters(), lr=learning_rate, weight_decay=weight_decay)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, steps)

    def step(self, loss: Tensor) -> float:
        """Takes a step on a minibatch's loss, and returns the loss."""
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._schedule.step()
        return loss.item()
