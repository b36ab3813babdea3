"""Cosmo as a whole: contrastive fusion learning, quality of modality, iterative fusion learning (MobiCom 2022)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Callable, Literal, NamedTuple, Optional

import numpy as np
import torch
from rich.progress import Progress
from scipy import sparse

from models.networks import CosmoNetwork, Encoders
from models.reference import AnyEncoders, AnyNetwork, ReferenceEncoders, ReferenceNetwork
from models.spec import ModelSpec
from training.augment import OF_A_WHOLE, Warp
from training.evaluate import predict
from training.finetune import embed, finetune
from training.methods import Budget, OnEpoch, Predict
from training.neighbours import mutual_neighbours, spread_over
from training.pretrain import pretrain
from training.quality import Quality, quality_of_modality, quality_weights
from training.windows import Windows

Sizes = Literal["default", "reference"]


class Epoch(NamedTuple):
    """An epoch that has just ended.

    Attributes:
        stage: 1 or 2.
        number: counted from 1 in each stage.
        seconds: since training began.
        loss: its mean.
        predict: the network as it is now; None in stage 1, where there is no classifier yet.
    """

    stage: int
    number: int
    seconds: float
    loss: float
    predict: Optional[Predict]


class Trained(NamedTuple):
    """A trained network with the spec that holds its quality weights, what was found, and the last losses."""

    network: AnyNetwork
    spec: ModelSpec
    qualities: list[Quality]
    losses: dict[str, float]


@dataclass(frozen=True)
class Cosmo:
    """The method and its variations; called, it is a ``training.methods.Fit``.

    Attributes:
        encoders: ``default``, or ``reference`` for the whole network that the authors published, with its fusion.
        fusion: ``concat`` for modalities that differ, ``sum`` for similar ones.
        pretrained: whether there is a stage 1.
        mined: the second half of stage 1 takes neighbours, most of them among other people, as further positives.
        spread: stage 2 learns from all windows, with labels spread over such neighbours.
        turn: T_iter, epochs of a turn of stage 2; more or fewer where the budget is no multiple of it.
        weights_range: of stage 1's random weightings, see ``training.contrastive.random_weightings``.
        warp: how far augmentation changes a window's time.
        watch: told of each epoch.
    """

    encoders: Sizes = "default"
    fusion: str = "concat"
    pretrained: bool = True
    mined: bool = False
    spread: bool = False
    turn: int = 5
    weights_range: tuple[float, float] = (0.0, 1.0)
    warp: Warp = OF_A_WHOLE
    watch: Optional[Callable[[Epoch], None]] = None

    def __post_init__(self) -> None:
        if self.encoders == "reference" and (self.mined or self.spread):
            raise ValueError("the reference encoders' embeddings differ in length: they have no neighbours")
        if self.encoders == "reference" and self.fusion != "concat":
            raise ValueError("the reference network has a fusion of its own")

    def __call__(self, spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress) -> Predict:
        """Train, and predict with the network after the last epoch."""
        return partial(predict, self.train(spec, windows, budget, seed, progress).network)

    def train(
        self,
        spec: ModelSpec,
        windows: Windows,
        budget: Budget,
        seed: int,
        progress: Progress,
        encoders: Optional[AnyEncoders] = None,
    ) -> Trained:
        """Both stages, or stage 2 alone.

        Args:
            spec: its quality weights are replaced by those found in the windows.
            windows: stage 1 learns from all, stage 2 from those with a label.
            budget: for how long. Stage 2 makes as many minibatch steps whether labels are spread or not.
            seed: of everything random.
            progress: shows the epochs.
            encoders: from an earlier stage 1, which is then left out; they are trained in place.
        """
        losses: dict[str, float] = {}
        started = time.monotonic()

        def watch(stage: int, number: int, loss: float, now: Optional[Predict] = None) -> None:
            losses[f"stage {stage}"] = loss
            if self.watch:
                self.watch(Epoch(stage, number, time.monotonic() - started, loss, now))

        if encoders is None:
            encoders = self.pretrain(spec, windows, budget, seed, progress, lambda *epoch: watch(1, *epoch))

        torch.manual_seed(seed)
        qualities: list[Quality] = []
        if isinstance(encoders, Encoders):
            z, presence, _ = embed(encoders, windows)
            qualities = [
                quality_of_modality(z[there, j].numpy(), windows.groups[there], len(spec.classes), seed)
                for j, there in enumerate(windows.presence.T)
            ]
            spec = spec.model_copy(update={"quality": quality_weights(qualities)})
            network: AnyNetwork = CosmoNetwork(spec, self.fusion)
        else:
            network = ReferenceNetwork(spec)
        network.encoders = encoders

        labelled, confidence = windows.labelled, None
        if self.spread:
            labelled, confidence = spread_over(windows, z, presence)
            budget = budget.with_labels(windows.labelled, labelled)
        rounds = max(1, round(budget.epochs / self.turn))
        finetune(
            network,
            labelled,
            rounds=rounds,
            seed=seed,
            progress=progress,
            confidence=confidence,
            turn=max(1, round(budget.epochs / rounds)),
            batch=budget.batch,
            warp=self.warp,
            on_epoch=lambda number, loss: watch(2, number, loss, partial(predict, network)),
        )
        return Trained(network, spec, qualities, losses)

    def new_encoders(self, spec: ModelSpec) -> AnyEncoders:
        """Encoders at random."""
        return ReferenceEncoders(spec) if self.encoders == "reference" else Encoders(spec)

    def pretrain(
        self,
        spec: ModelSpec,
        windows: Windows,
        budget: Budget,
        seed: int,
        progress: Progress,
        on_epoch: OnEpoch = lambda number, loss: None,
    ) -> AnyEncoders:
        """Stage 1, in two halves when neighbours are mined between them; labels are not looked at.

        Args:
            spec, windows, budget, seed, progress: as for ``train``.
            on_epoch: told each epoch's number, from 1, and its mean loss.
        """
        torch.manual_seed(seed)
        encoders = self.new_encoders(spec)
        features, presence, _ = windows.tensors(torch.randperm(len(windows))[:1000].numpy())
        encoders.fit(features, presence)
        halves = 0 if not self.pretrained else 2 if self.mined else 1
        done = 0
        for half in range(halves):
            neighbours = None
            if half:
                z, presence, _ = embed(encoders, windows)
                neighbours = torch.from_numpy(_as_indices(mutual_neighbours(z, presence, windows.groups)))
            epochs = (budget.pretrain_epochs - done) // (halves - half)
            pretrain(
                encoders,
                windows,
                epochs=epochs,
                seed=seed + half,
                progress=progress,
                batch=budget.pretrain_batch,
                weights_range=self.weights_range,
                warp=self.warp,
                neighbours=neighbours,
                on_epoch=lambda epoch, figures, before=done: on_epoch(before + epoch + 1, figures["loss"]),  # type: ignore[misc]
            )
            done += epochs
        return encoders


def _as_indices(neighbours: sparse.csr_matrix) -> np.ndarray:
    """A graph (N, N) as the indices (N, K) of each one's neighbours, -1 where there are fewer than K."""
    counts = np.diff(neighbours.indptr)
    indices = np.full((len(counts), max(1, counts.max())), -1)
    indices[np.arange(indices.shape[1]) < counts[:, None]] = neighbours.indices
    return indices
