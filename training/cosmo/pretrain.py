"""Stage 1, contrastive fusion learning: the encoders learn from unlabelled windows (Cosmo, MobiCom 2022).

The random numbers of a step depend only on the seed and the number of the step. So a run can resume from any step on a
device of the same kind with the same result, and all processes see the same batches, however many there are.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, Union

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.training import distributed
from cosmo_runtime.training.augment import OF_A_WHOLE, Features, Warp, augment
from cosmo_runtime.training.checkpoint import Checkpoint
from cosmo_runtime.training.cosmo.contrastive import contrastive_fusion_loss, random_weightings
from cosmo_runtime.training.cosmo.one_cycle import OneCycle
from cosmo_runtime.training.identity import identity, refuse_different_processes
from cosmo_runtime.training.windows import Windows

PRECISIONS: Mapping[str, Optional[torch.dtype]] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
BLOCK = 32  # windows that are augmented together
_HEADS, _ORDER, _WEIGHTINGS, _AUGMENTATION, _DROPOUT = range(1, 6)  # what the random numbers are for


class _Settings(NamedTuple):
    """What the result depends on, besides the data. The fields are those of ``pretrain``."""

    epochs: int
    seed: int
    batch: int
    weightings: int
    weights_range: tuple[float, float]
    learning_rate: float
    warp: Warp
    precision: str

    def by_name(self) -> dict[str, Any]:
        """The settings by the names that messages use."""
        return {name.replace("_", " "): value for name, value in self._asdict().items()}


class PretrainingError(Exception):
    """There is nothing to learn from, or training diverged. The message says what to do."""


def pretrain(
    encoders: Encoders,
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
    new_heads: Callable[[Encoders], nn.Module] = lambda encoders: encoders.projection_heads(),
) -> list[float]:
    """Trains the encoders in place, with projection heads that are discarded afterwards.

    All processes of ``torch.distributed`` take part: each computes its share of every batch, and together they do the
    same as one process with the whole batch.

    Args:
        encoders: encoders with fitted normalisation. If they have dropout, the dropped units depend on the number of
            processes.
        windows: all training windows; their labels are not used.
        epochs: passes over the windows.
        seed: the seed of heads, order, augmentation and weightings; not negative.
        progress: shows the epochs.
        batch: windows in a minibatch, over all processes; an epoch's batches differ by at most one window.
        weightings: P, random fusions of each window, at least 2.
        weights_range: the range of each weight if there are two modalities, see ``random_weightings``.
        learning_rate: the maximum rate, see ``OneCycle``.
        neighbours: (N, K) indices of windows that likely show the same activity as each window, -1 where there are
            fewer than K. Neighbours are positives of each other, in both directions. Half of each batch is drawn at
            random; the other half is one neighbour of each of these.
        warp: how far augmentation changes a window's time.
        device: where the networks are trained. They are on the CPU afterwards.
        precision: ``fp32``, or ``bf16`` or ``fp16`` for mixed precision.
        checkpoint: where the state is saved. A run that finds an earlier run's state resumes from there.
        on_epoch: called after each epoch with its number and its figures by name.
        new_heads: makes the projection heads.

    Returns:
        The mean loss of each epoch.

    Raises:
        PretrainingError: there are too few windows in total or in a batch, or training diverged.
        DifferentProcessesError: the processes have different settings or windows.
        CheckpointError: the checkpoint is damaged, belongs to another run, or cannot be written.
    """
    device = torch.device(device)
    seen = np.flatnonzero(windows.presence.any(1))  # a window without any sensor has nothing to contrast
    near = None if neighbours is None else np.where(np.isin(neighbours.numpy(), seen), neighbours.numpy(), -1)
    settings = _Settings(epochs, seed, batch, weightings, weights_range, learning_rate, warp, precision)
    run_identity: Mapping[str, Any] = {}
    if checkpoint or distributed.size() > 1:
        run_identity = identity(settings.by_name(), windows, near, encoders)
        refuse_different_processes(run_identity, device)
    if len(seen) < 2:
        raise PretrainingError(f"{len(seen)} of {len(windows)} windows have a sensor; there is nothing to contrast")
    batches = min(-(-len(seen) // batch), len(seen) // 2)

    with _drawing(device, _HEADS, seed):
        learner = nn.ModuleDict({"encoders": encoders, "heads": new_heads(encoders)})
    learner.to(device, next(encoders.parameters()).dtype).train()
    distributed.copy_from_first(learner)
    descent = OneCycle(learner, epochs * batches, learning_rate, scaled=precision == "fp16")
    saved = checkpoint.read(run_identity, device) if checkpoint else None
    if saved:
        descent.restore(saved)

    task = progress.add_task("stage 1", total=epochs, completed=descent.done // batches)
    with distributed.statistics_of_whole_batch(learner):
        for epoch in range(descent.done // batches, epochs):
            began_s = time.monotonic()
            order = draw_batches(seen, near, batches, np.random.default_rng((_ORDER, seed, epoch)))
            steps = range(max(descent.done, epoch * batches), (epoch + 1) * batches)
            for step in steps:
                descent.step(_loss_of_step(learner, windows, order[step % batches], near, step, settings, device))
                progress.update(task, completed=descent.done / batches)
                if checkpoint and checkpoint.is_due():
                    checkpoint.write(descent.tensors(), run_identity)

            if not descent.is_finite:
                raise PretrainingError(
                    f"in epoch {epoch + 1} the encoders became numbers that are not finite; give --precision fp32"
                )
            mean = descent.losses[epoch * batches : (epoch + 1) * batches].mean().item()
            progress.update(task, description=f"stage 1: loss {mean:.3f}")
            if on_epoch:
                count = sum(len(order[step % batches]) for step in steps)
                on_epoch(epoch, {"loss": mean, "windows per second": count / (time.monotonic() - began_s)})
    encoders.cpu()
    return descent.losses.view(epochs, batches).mean(1).tolist()


def _loss_of_step(
    learner: nn.ModuleDict,
    windows: Windows,
    chosen: np.ndarray,
    near: Optional[np.ndarray],
    step: int,
    settings: _Settings,
    device: torch.device,
) -> Tensor:
    """This process's part of the loss of a step's batch, the ``chosen`` windows."""
    seed = settings.seed
    presence = torch.from_numpy(windows.presence[chosen].astype(np.float32))
    generator = _generator(_WEIGHTINGS, seed, step)
    alpha = random_weightings(presence, settings.weightings, generator, settings.weights_range)
    features = augmented_share(windows, chosen, seed, step, device, settings.warp)
    related = None if near is None else related_windows(chosen, near)
    with _drawing(device, _DROPOUT, seed, step, distributed.rank()):
        return share_of_loss(learner, features, alpha, related, settings.precision)


def draw_batches(
    seen: np.ndarray, near: Optional[np.ndarray], batches: int, random: np.random.Generator
) -> list[np.ndarray]:
    """An epoch's batches: all windows, or a random half of them (anchors) with a random neighbour each.

    Args:
        seen: indices of the windows to draw from.
        near: (N, K) indices of each window's neighbours, -1 where there is none. An anchor without neighbours comes
            twice, augmented in two ways.
        batches: the number of batches.
        random: source of the random numbers.

    Returns:
        The indices of each batch's windows: the anchors, then their neighbours in the same order.

    Raises:
        PretrainingError: some process would get no window.
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
    """Returns this process's share of a batch, augmented on a device.

    Blocks of a fixed size have a generator each. So a process only augments the blocks of its share, and a window's
    augmentation does not depend on the number of processes.
    """
    mine = distributed.share(len(chosen))
    first, end = mine.start // BLOCK, -(-mine.stop // BLOCK)
    blocks = []
    for block in range(first, end):
        features, _, _ = windows.tensors(chosen[block * BLOCK : (block + 1) * BLOCK])
        there = {sensor: x.to(device) for sensor, x in features.items()}
        blocks.append(augment(there, windows.kinds, _generator(_AUGMENTATION, seed, step, block, device=device), warp))
    inside = slice(mine.start - first * BLOCK, mine.stop - first * BLOCK)
    return {sensor: torch.cat([block[sensor] for block in blocks])[inside] for sensor in blocks[0]}


def related_windows(chosen: np.ndarray, near: np.ndarray) -> Tensor:
    """Which windows of a batch (N,) are the same or neighbours, in either direction: (N, N) bool."""
    batch = torch.from_numpy(chosen)
    is_neighbour = (torch.from_numpy(near[chosen]).unsqueeze(2) == batch).any(1)
    return is_neighbour | is_neighbour.T | (batch.unsqueeze(1) == batch)


def share_of_loss(
    learner: nn.ModuleDict, features: Features, alpha: Tensor, related: Optional[Tensor], precision: str = "fp32"
) -> Tensor:
    """This process's part of a batch's loss. The parts of all processes sum to the loss, and so do the gradients.

    Args:
        learner: ``encoders`` and ``heads``.
        features: the features of this process's share of the N windows.
        alpha: (N, P, M) weightings of the whole batch.
        related: (N, N) bool, the related windows of the whole batch.
        precision: the networks' precision. Projections are compared in the parameters' precision.
    """
    like = next(learner.parameters())
    alpha = alpha.to(like)
    with torch.autocast(like.device.type, PRECISIONS[precision], enabled=precision != "fp32"):
        z = learner["encoders"]({sensor: x.to(like) for sensor, x in features.items()})
        r = learner["heads"](z)
    r = distributed.gather(r.to(like), len(alpha))
    related = None if related is None else related.to(like.device)
    return contrastive_fusion_loss(r, alpha, related=related, anchors=distributed.share(len(alpha)))


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def _generator(*key: int, device: Union[str, torch.device] = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(_seed(*key))


@contextmanager
def _drawing(device: torch.device, *key: int) -> Iterator[None]:
    """Makes the random numbers of torch's layers depend on the key, and restores torch's generators afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_seed(*key))
        yield
