"""Stage 1, contrastive fusion learning: the encoders learn from unlabelled windows (Cosmo, MobiCom 2022).

Whatever is random in a step is drawn from the seed and the number of the step alone, augmentation by a generator of the
device. A run can therefore go on from any step, on a device of the same kind, as if it had never stopped, and any
number of processes see the same batches.
"""

from __future__ import annotations

import hashlib
import math
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, Optional, Union

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from models.reference import AnyEncoders
from training import distributed
from training.augment import OF_A_WHOLE, Features, Warp, augment
from training.checkpoint import Checkpoint, restore, tensors_of
from training.contrastive import contrastive_fusion_loss, random_weightings
from training.windows import Windows

PRECISIONS: Mapping[str, Optional[torch.dtype]] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
BLOCK = 32  # windows that are augmented together
_HEADS, _ORDER, _WEIGHTINGS, _AUGMENTATION, _DROPOUT = range(1, 6)  # what is drawn


class PretrainingError(Exception):
    """There are too few windows, or too few in a batch; the message says what to do."""


def pretrain(
    encoders: AnyEncoders,
    windows: Windows,
    *,
    epochs: int,
    seed: int,
    progress: Progress,
    batch: int = 64,
    weightings: int = 9,
    weights_range: tuple[float, float] = (0.0, 1.0),
    learning_rate: float = 2e-3,
    neighbours: Optional[Tensor] = None,
    warp: Warp = OF_A_WHOLE,
    device: Union[str, torch.device] = "cpu",
    precision: str = "fp32",
    checkpoint: Optional[Checkpoint] = None,
    on_epoch: Optional[Callable[[int, Mapping[str, float]], None]] = None,
) -> list[float]:
    """Train the encoders in place with projection heads that are dropped afterwards.

    In processes of ``torch.distributed`` all take part: each takes its share of every batch, and together they do what
    one would do with the whole.

    Args:
        encoders: with their normalisation fitted. If they have dropout, what is dropped depends on the number of
            processes.
        windows: all training windows; labels are not looked at.
        epochs: passes over the windows.
        seed: of heads, order, augmentation and weightings; not negative.
        progress: shows the epochs.
        batch: windows in a minibatch, of all processes together; an epoch's batches differ by at most one window.
        weightings: P, random fusions of each window, at least 2.
        weights_range: of each weight where there are two modalities, see ``random_weightings``.
        learning_rate: at its highest; it warms up for a tenth of the steps and then falls as a cosine, while the
            momentum goes the other way (Smith and Topin, 2019).
        neighbours: (N, K) indices of windows that are likely of the same activity as each window, -1 where there are
            fewer than K. They are positives of each other, either way round; half of each batch is drawn at random, the
            other half is one neighbour of each.
        warp: how far augmentation changes a window's time.
        device: where the networks learn; they are on the processor afterwards.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision.
        checkpoint: where the state is kept; a run that finds the state of an earlier one goes on from there.
        on_epoch: told each epoch's number and figures, by name, as it ends.

    Returns:
        The mean loss of each epoch.

    Raises:
        PretrainingError: there are too few windows in all or in a batch.
        CheckpointError: the checkpoint is damaged, of another run, or cannot be written.
    """
    seen = np.flatnonzero(windows.presence.any(1))  # a window without any sensor has nothing to contrast
    if len(seen) < 2:
        raise PretrainingError(f"{len(seen)} of {len(windows)} windows have a sensor; there is nothing to contrast")
    batches = min(-(-len(seen) // batch), len(seen) // 2)
    near = None if neighbours is None else np.where(np.isin(neighbours.numpy(), seen), neighbours.numpy(), -1)

    device = torch.device(device)
    with _drawing(device, _HEADS, seed):
        learner = nn.ModuleDict({"encoders": encoders, "heads": encoders.projection_heads()})
    learner.to(device, next(encoders.parameters()).dtype).train()
    distributed.copy_from_first(learner)
    parameters = list(learner.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    scaler = _scaler(device, enabled=precision == "fp16")
    losses = torch.zeros(epochs * batches, device=device, dtype=parameters[0].dtype)

    settings = {
        "epochs": epochs,
        "seed": seed,
        "batch": batch,
        "weightings": weightings,
        "weights range": weights_range,
        "learning rate": learning_rate,
        "precision": precision,
        "windows": len(windows),
        "neighbours": None if near is None else _digest(near),
        "encoders": _digest(*(tensor.cpu().numpy() for tensor in encoders.state_dict().values())),  # and normalisation
    }
    done = 0
    kept = checkpoint.read(settings, device) if checkpoint else None
    if kept:
        done = int(kept["step"])
        losses.copy_(kept["losses"])
        restore(kept, learner, optimiser, scaler)

    task = progress.add_task("stage 1", total=epochs, completed=done // batches)
    with distributed.statistics_of_whole_batch(learner):
        for epoch in range(done // batches, epochs):
            began = time.monotonic()
            order = draw_batches(seen, near, batches, np.random.default_rng((_ORDER, seed, epoch)))
            steps = range(max(done, epoch * batches), (epoch + 1) * batches)
            for step in steps:
                chosen = order[step % batches]
                presence = torch.from_numpy(windows.presence[chosen].astype(np.float32))
                alpha = random_weightings(presence, weightings, _generator(_WEIGHTINGS, seed, step), weights_range)
                features = augmented_share(windows, chosen, seed, step, device, warp)
                related = None if near is None else related_windows(chosen, near)
                with _drawing(device, _DROPOUT, seed, step, distributed.rank()):
                    loss = share_of_loss(learner, features, alpha, related, precision)

                pace = _pace((step + 1) / (len(losses) + 1))
                optimiser.param_groups[0].update(lr=learning_rate * pace, betas=(0.95 - 0.1 * pace, 0.999))
                optimiser.zero_grad()
                scaler.scale(loss).backward()
                losses[step] = loss.detach()
                distributed.add_up([losses[step], *(p.grad for p in parameters if p.grad is not None)])
                scaler.step(optimiser)
                scaler.update()

                progress.update(task, completed=(step + 1) / batches)
                if checkpoint and checkpoint.is_due():
                    state = {"step": torch.tensor(step + 1), "losses": losses}
                    checkpoint.write({**state, **tensors_of(learner, optimiser, scaler)}, settings)

            mean = losses[epoch * batches : (epoch + 1) * batches].mean().item()
            progress.update(task, description=f"stage 1: loss {mean:.3f}")
            if on_epoch:
                count = sum(len(order[step % batches]) for step in steps)
                on_epoch(epoch, {"loss": mean, "windows per second": count / (time.monotonic() - began)})
    encoders.cpu()
    return losses.view(epochs, batches).mean(1).tolist()


def draw_batches(
    seen: np.ndarray, near: Optional[np.ndarray], batches: int, random: np.random.Generator
) -> list[np.ndarray]:
    """An epoch's batches: all windows, or a random half of them (anchors) with a random neighbour each.

    Args:
        seen: indices of the windows to draw from.
        near: (N, K) indices of each window's neighbours, -1 where there is none. An anchor without any comes twice, and
            is augmented in two ways.
        batches: how many.
        random: source of the draw.

    Returns:
        Indices of each batch's windows; anchors come first, then their neighbours in the same order.

    Raises:
        PretrainingError: not every process would get a window.
    """
    order = random.permutation(seen)
    if near is not None:
        order = order[: -(-len(order) // 2)]
    parts = np.array_split(order, batches)
    if near is not None:
        preference = np.where(near >= 0, random.random(near.shape), -1)
        nearest = near[np.arange(len(near)), preference.argmax(1)]
        partner = np.where(nearest >= 0, nearest, np.arange(len(near)))
        parts = [np.concatenate([anchors, partner[anchors]]) for anchors in parts]
    smallest = min(map(len, parts))
    if smallest < distributed.size():
        raise PretrainingError(
            f"{smallest} windows a batch are fewer than the {distributed.size()} processes; "
            "give a larger batch, or fewer processes"
        )
    return parts


def augmented_share(
    windows: Windows, chosen: np.ndarray, seed: int, step: int, device: torch.device, warp: Warp = OF_A_WHOLE
) -> Features:
    """This process's share of a batch, augmented on a device.

    Blocks of a fixed size have a generator each: a process augments the blocks of its share only, and what becomes of a
    window does not depend on how many processes there are.
    """
    mine = distributed.share(len(chosen))
    first, end = mine.start // BLOCK, -(-mine.stop // BLOCK)
    blocks = []
    for block in range(first, end):
        features, _, _ = windows.tensors(chosen[block * BLOCK : (block + 1) * BLOCK])
        there = {sensor: x.to(device) for sensor, x in features.items()}
        blocks.append(augment(there, _generator(_AUGMENTATION, seed, step, block, device=device), warp))
    inside = slice(mine.start - first * BLOCK, mine.stop - first * BLOCK)
    return {sensor: torch.cat([block[sensor] for block in blocks])[inside] for sensor in blocks[0]}


def related_windows(chosen: np.ndarray, near: np.ndarray) -> Tensor:
    """Which windows of a batch (N,) are neighbours, in either direction, or the same: (N, N) bool."""
    batch = torch.from_numpy(chosen)
    finds = (torch.from_numpy(near[chosen]).unsqueeze(2) == batch).any(1)
    return finds | finds.T | (batch.unsqueeze(1) == batch)


def share_of_loss(
    learner: nn.ModuleDict, features: Features, alpha: Tensor, related: Optional[Tensor], precision: str = "fp32"
) -> Tensor:
    """This process's part of a batch's loss; the parts of all processes sum to it, and so do their gradients.

    Args:
        learner: ``encoders`` and ``heads``.
        features: of this process's share of the N windows.
        alpha: (N, P, M) of the whole batch.
        related: (N, N) bool of the whole batch.
        precision: of the networks; projections are compared in that of the parameters.
    """
    like = next(learner.parameters())
    alpha = alpha.to(like)
    with torch.autocast(like.device.type, PRECISIONS[precision], enabled=precision != "fp32"):
        z = learner["encoders"]({sensor: x.to(like) for sensor, x in features.items()})
        r = learner["heads"](z)
    r = distributed.gather(r.to(like), len(alpha))
    related = None if related is None else related.to(like.device)
    return contrastive_fusion_loss(r, alpha, related=related, anchors=distributed.share(len(alpha)))


def _scaler(device: torch.device, enabled: bool) -> Any:
    """Keeps the gradients of half precision from vanishing; does nothing where it is not enabled."""
    if hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler"):  # torch 2.3
        return torch.amp.GradScaler(device.type, enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)


def _pace(done: float) -> float:
    """The share of the highest learning rate when a share of all steps is done."""
    warm = 0.1
    rising = done < warm
    return (1 - math.cos(math.pi * (done / warm if rising else (1 - done) / (1 - warm)))) / 2


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def _generator(*key: int, device: Union[str, torch.device] = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(_seed(*key))


@contextmanager
def _drawing(device: torch.device, *key: int) -> Iterator[None]:
    """While it lasts, what torch's layers draw follows from the key; what others draw afterwards is not touched."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_seed(*key))
        yield


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
