"""Stage 1, contrastive fusion learning: the encoders learn from unlabelled windows (Cosmo, MobiCom 2022)."""

from __future__ import annotations

import numpy as np
import torch
from rich.progress import Progress

from models.networks import Encoders, ProjectionHeads
from training.augment import augment
from training.contrastive import contrastive_fusion_loss, random_weightings
from training.windows import Windows


def pretrain(
    encoders: Encoders,
    windows: Windows,
    *,
    epochs: int,
    seed: int,
    progress: Progress,
    batch: int = 64,
    weightings: int = 9,
    learning_rate: float = 2e-3,
) -> list[float]:
    """Train the encoders in place with projection heads that are dropped afterwards.

    Args:
        encoders: with their normalisation fitted.
        windows: all training windows; labels are not looked at.
        epochs: passes over the windows.
        seed: of order, augmentation and weightings.
        progress: shows the epochs.
        batch: windows in a minibatch.
        weightings: P, random fusions of each window.
        learning_rate: at its highest; it warms up for a tenth of the steps and then falls as a cosine.

    Returns:
        The mean loss of each epoch.
    """
    seen = np.flatnonzero(windows.presence.any(1))  # a window without any sensor has nothing to contrast
    order = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    heads = ProjectionHeads(windows.presence.shape[1])
    parameters = [*encoders.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    steps = max(1, epochs * -(-len(seen) // batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    encoders.train()
    task = progress.add_task("stage 1", total=epochs)
    losses = []
    for _ in range(epochs):
        total = []
        for features, presence, _ in windows.shuffled_batches(batch, order, seen):
            r = heads(encoders(augment(features, generator)))
            loss = contrastive_fusion_loss(r, random_weightings(presence, weightings, generator))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total.append(loss.item())
        losses.append(float(np.mean(total)))
        progress.update(task, advance=1, description=f"stage 1: loss {losses[-1]:.3f}")
    return losses
