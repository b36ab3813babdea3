"""The whole of Cosmo: contrastive fusion learning, quality of modality, iterative fusion learning (MobiCom 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Optional

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from cosmo_runtime.models.networks import CosmoNetwork, Encoders
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import OF_A_WHOLE, Warp
from cosmo_runtime.training.cosmo.neighbours import (
    Balance,
    cosine_distances,
    mean_distances,
    mutual_neighbours,
    sensor_distances,
    spread_over,
    warped_distances,
)
from cosmo_runtime.training.cosmo.pretrain import pretrain
from cosmo_runtime.training.cosmo.quality import Quality, quality_of_modality, quality_weights
from cosmo_runtime.training.cosmo.stage2 import embed, finetune, turns_within
from cosmo_runtime.training.evaluate import predict
from cosmo_runtime.training.methods import Epoch, Lesson, Predict, Stage2Result
from cosmo_runtime.training.windows import Windows


class Trained(NamedTuple):
    """A trained network, the spec with its quality weights, the qualities, and the last loss of each stage."""

    network: CosmoNetwork
    spec: ModelSpec
    qualities: list[Quality]
    losses: dict[str, float]

    def predict(self, windows: Windows) -> np.ndarray:
        """Probabilities (N, classes)."""
        return predict(self.network, windows)

    def result(self) -> Stage2Result:
        """The result for a comparison. The figures are each sensor's quality and weight."""
        figures = {
            sensor: {**vars(quality), "weight": weight}
            for sensor, quality, weight in zip(self.spec.sensors, self.qualities, self.spec.quality)
        }
        return Stage2Result(self.predict, {"quality": figures})


@dataclass(frozen=True)
class Cosmo:
    """The method and its variants; a ``training.methods.Learner``.

    Attributes:
        fusion: ``concat`` for different modalities, ``sum`` for similar ones.
        pretrained: whether stage 1 is run.
        mined: whether the second half of stage 1 uses neighbours, mostly among other people, as further positives.
        spread: whether stage 2 learns from all windows, with labels spread over neighbours.
        warped: whether neighbours are near by time warping of the signals, too, and not by stage 1 alone.
        apart: whether each sensor's embeddings count as much as another's, when neighbours are searched for.
        balance: where spread labels are as frequent as the given ones.
        turn: T_iter, the epochs of a turn of stage 2; adjusted if the budget is not a multiple of it.
        weights_range: the range of stage 1's random weightings, see ``training.cosmo.contrastive.random_weightings``.
        warp: how far augmentation changes a window's time.
    """

    fusion: str = "concat"
    pretrained: bool = True
    mined: bool = False
    spread: bool = False
    warped: bool = False
    apart: bool = False
    balance: Balance = "none"
    turn: int = 5
    weights_range: tuple[float, float] = (0.0, 1.0)
    warp: Warp = OF_A_WHOLE

    @property
    def stage_1(self) -> str:
        """The name of stage 1's settings."""
        low, high = self.weights_range
        return f"cosmo{'-mined' * self.mined}{'-none' * (not self.pretrained)}.{low:g}-{high:g}"

    def new(self, spec: ModelSpec) -> Encoders:
        """New encoders with random weights."""
        return Encoders(spec)

    def pretrain(self, lesson: Lesson) -> Encoders:
        """Stage 1, in two halves if neighbours are mined in between. Labels are not used."""
        windows, budget = lesson.windows, lesson.budget
        torch.manual_seed(lesson.seed)
        encoders = self.new(lesson.spec)
        normalise_at_random(encoders, windows)
        halves = 0 if not self.pretrained else 2 if self.mined else 1
        done = 0
        for half in range(halves):
            neighbours = None
            if half:
                z, presence, _ = embed(encoders, windows)
                neighbours = torch.from_numpy(
                    _as_indices(mutual_neighbours(cosine_distances(z, presence), windows.groups))
                )
            epochs = (budget.pretrain_epochs - done) // (halves - half)
            pretrain(
                encoders,
                windows,
                epochs=epochs,
                seed=lesson.seed + half,
                progress=lesson.progress,
                batch=budget.pretrain_batch,
                weights_range=self.weights_range,
                warp=self.warp,
                neighbours=neighbours,
                on_epoch=lambda number, figures, before=done: lesson.on_epoch(  # type: ignore[misc]
                    Epoch(before + number + 1, figures["loss"])
                ),
            )
            done += epochs
        return encoders

    def tune(self, network: Encoders, lesson: Lesson) -> Stage2Result:
        """Stage 2."""
        return self.tune_network(network, lesson).result()

    def tune_network(self, encoders: Encoders, lesson: Lesson) -> Trained:
        """Stage 2.

        Args:
            encoders: from stage 1; they are trained in place.
            lesson: all windows determine the quality of each sensor; those with a label are trained on. The number of
                minibatches is the same whether labels are spread or not.
        """
        spec, windows, budget, seed = lesson.spec, lesson.windows, lesson.budget, lesson.seed
        torch.manual_seed(seed)
        z, presence, _ = embed(encoders, windows)
        qualities = [
            quality_of_modality(z[there, j].numpy(), windows.groups[there], len(spec.classes), seed)
            for j, there in enumerate(windows.presence.T)
        ]
        spec = spec.model_copy(update={"quality": quality_weights(qualities)})
        network = CosmoNetwork(spec, self.fusion)
        network.encoders = encoders
        labelled, confidence = windows.labelled, None
        if self.spread:
            labelled, confidence = self.spread_labels(spec, windows, z, presence)
            budget = budget.with_labels(windows.labelled, labelled)
        rounds, turn = turns_within(budget.epochs, self.turn)
        predict_now: Predict = partial(predict, network)
        losses = finetune(
            network,
            labelled,
            rounds=rounds,
            seed=seed,
            progress=lesson.progress,
            confidence=confidence,
            turn=turn,
            batch=budget.batch,
            warp=self.warp,
            on_epoch=lambda number, loss: lesson.on_epoch(Epoch(number, loss, predict_now)),
        )
        return Trained(network, spec, qualities, {"stage 2": losses[-1]})

    def spread_labels(
        self, spec: ModelSpec, windows: Windows, z: Tensor, presence: Tensor
    ) -> tuple[Windows, np.ndarray]:
        """Spreads the labels of windows, given their embeddings (N, M, D) and presence (N, M).

        Returns:
            The windows that then have a label, and the confidence in each label.
        """
        views = sensor_distances(z, presence) if self.apart else [cosine_distances(z, presence)]
        if self.warped:
            views.append(warped_distances(spec, windows))
        distances = mean_distances(views, len(windows)) if len(views) > 1 else views[0]
        return spread_over(windows, mutual_neighbours(distances, windows.groups), self.balance)

    def train(self, lesson: Lesson, encoders: Optional[Encoders] = None) -> Trained:
        """Both stages, or stage 2 alone from the encoders of an earlier stage 1."""
        losses: dict[str, float] = {}
        if encoders is None:
            encoders = self.pretrain(lesson._replace(on_epoch=lambda epoch: losses.update({"stage 1": epoch.loss})))
        trained = self.tune_network(encoders, lesson)
        return trained._replace(losses={**losses, **trained.losses})


def normalise_at_random(encoders: Encoders, windows: Windows, most: int = 1000) -> None:
    """Fits the encoders' normalisation to random windows, drawn by torch's global generator."""
    features, presence, _ = windows.tensors(torch.randperm(len(windows))[:most].numpy())
    encoders.fit(features, presence)


def _as_indices(neighbours: sparse.csr_matrix) -> np.ndarray:
    """A graph (N, N) as the indices (N, K) of each window's neighbours, -1 where there are fewer than K."""
    counts = np.diff(neighbours.indptr)
    indices = np.full((len(counts), max(1, counts.max())), -1)
    indices[np.arange(indices.shape[1]) < counts[:, None]] = neighbours.indices
    return indices
