"""What a job of the comparison measures: how well a method learns, or how close stage 1 brings the sensors."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Callable, NamedTuple, Protocol, Sequence

import numpy as np
import torch
from rich.progress import Progress
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training import evaluate
from cosmo_runtime.training.benchmark.corruptions import suite
from cosmo_runtime.training.benchmark.protocol import Task
from cosmo_runtime.training.benchmark.results import ResultError
from cosmo_runtime.training.cosmo.pretrain import pretrain
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.methods import Budget, Epoch, Learner, Lesson, Predict, ignore_epoch, normalise
from cosmo_runtime.training.windows import Windows


class Place(NamedTuple):
    """Where a job stores its stage 1. Jobs that differ only in labels share it.

    Attributes:
        folder: the folder of stage 1.
        data: names the windows that stage 1 learns from, and its budget.
        labels: names the labels, for a method that does not learn from all unlabelled windows.
    """

    folder: Path
    data: str
    labels: str


class Experiment(Protocol):
    """A row of a table or a point of a figure.

    Attributes:
        title: the title for readers.
        is_random: whether another seed gives another result for the same labels.
        unlabelled: the share of the unlabelled windows that it gets.
        pretrain_batch: unlabelled windows in a minibatch.
        revision: raised when the code changes, so that results and stage 1 are computed again.
    """

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def is_random(self) -> bool: ...  # noqa: D102
    @property
    def unlabelled(self) -> float: ...  # noqa: D102
    @property
    def pretrain_batch(self) -> int: ...  # noqa: D102
    @property
    def revision(self) -> int: ...  # noqa: D102

    def measure(
        self, spec: ModelSpec, task: Task, seed: int, place: Place, progress: Progress, follow: bool
    ) -> dict[str, Any]:
        """Runs the experiment and returns the figures. ``follow`` measures the accuracy during training."""


def any_sensors(sensors: Sequence[str]) -> bool:
    """Whether a method can learn from these sensors; true for any."""
    return True


def several_sensors(sensors: Sequence[str]) -> bool:
    """Whether there are several sensors. With one, there is nothing to fuse."""
    return len(sensors) > 1


@dataclass(frozen=True)
class Method:
    """A learner and its inputs; an ``Experiment``.

    Attributes:
        learner: the learner.
        applies: whether it can learn from these sensors.
        alone: whether it looks at one sensor only, so that the gain from the others is not measured.
        followed: epochs of stage 2 between two measurements of accuracy, if the task asks for them; 0 for never.
    """

    title: str
    learner: Learner
    is_random: bool = True
    unlabelled: float = 1.0
    pretrain_batch: int = Budget.pretrain_batch
    revision: int = 1
    applies: Callable[[Sequence[str]], bool] = any_sensors
    alone: bool = False
    followed: int = 0

    def measure(
        self, spec: ModelSpec, task: Task, seed: int, place: Place, progress: Progress, follow: bool
    ) -> dict[str, Any]:
        """Scores after the last epoch with all sensors, with fewer and with faulty ones, and the course of training."""
        network, epochs = self._stage_1(spec, task, seed, place, progress)
        curve = _Curve(task.test, epochs, self.followed) if follow and self.followed else None
        started = time.monotonic()
        lesson = Lesson(spec, task.training, task.budget, seed, progress, curve or ignore_epoch)
        result = self.learner.tune(network, lesson)
        seconds = time.monotonic() - started - (curve.spent if curve else 0)
        seconds += epochs[-1]["seconds"] if epochs else 0
        started = time.monotonic()
        figures: dict[str, Any] = {**_scores(result.predict, task.test), "seconds": round(seconds, 2)}
        figures["test_seconds"] = round(time.monotonic() - started, 2)
        if not self.alone:
            figures["with"] = {
                "+".join(spec.sensors[j] for j in kept): _scores(result.predict, _with_only(task.test, kept))
                for count in range(1, len(spec.sensors))
                for kept in combinations(range(len(spec.sensors)), count)
            }
        if task.corrupted:
            figures["corrupted"] = _corrupted(spec, result.predict, task.test)
        if curve:
            figures["curve"] = curve.points
        return {**figures, **result.figures}

    def _stage_1(
        self, spec: ModelSpec, task: Task, seed: int, place: Place, progress: Progress
    ) -> tuple[nn.Module, list[dict[str, float]]]:
        """The network after stage 1, and the figures of its epochs."""
        name = self.learner.stage_1
        if not name:
            return self.learner.new(spec), []
        labels = "" if self.unlabelled == 1 else f".{place.labels}-{self.unlabelled:g}"  # all labelled windows remain
        file = place.folder / f"{place.data}.{name}-{self.revision}.{self.pretrain_batch}{labels}.{seed}.safetensors"
        if file.is_file():
            network = self.learner.new(spec)
            try:
                with safe_open(file, "pt") as kept:
                    network.load_state_dict({key: kept.get_tensor(key) for key in kept.keys()})  # noqa: SIM118
                    return network, json.loads(kept.metadata()["epochs"])
            except Exception as error:  # readers raise many kinds of errors on a damaged file
                raise ResultError(f"{file} is not a whole stage 1 ({error}). Delete it to learn it again.") from error

        epochs: list[dict[str, float]] = []
        started = time.monotonic()

        def on_epoch(epoch: Epoch) -> None:
            seconds = round(time.monotonic() - started, 2)
            epochs.append({"stage": 1, "epoch": epoch.number, "seconds": seconds, "loss": round(epoch.loss, 4)})

        network = self.learner.pretrain(Lesson(spec, task.training, task.budget, seed, progress, on_epoch))
        tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, save(tensors, {"epochs": json.dumps(epochs)}))
        except OSError as error:
            raise ResultError(f"{file.parent} cannot be written ({error.strerror}). Give another folder.") from error
        return network, epochs


@dataclass(frozen=True)
class ModalityDistance:
    """The distance between two sensors' views of one window in stage 1's shared space; an ``Experiment``.

    Attributes:
        weights_range: the range of stage 1's random weightings.
    """

    title: str
    weights_range: tuple[float, float]
    is_random: bool = True
    unlabelled: float = 1.0
    pretrain_batch: int = Budget.pretrain_batch
    revision: int = 1

    def measure(
        self, spec: ModelSpec, task: Task, seed: int, place: Place, progress: Progress, follow: bool
    ) -> dict[str, Any]:
        """Mean cosine distances between views of the same window, and of any two windows."""
        started = time.monotonic()
        torch.manual_seed(seed)
        encoders, heads = Encoders(spec), []

        def new_heads(encoders: Encoders) -> nn.Module:
            heads.append(encoders.projection_heads())
            return heads[0]

        normalise(encoders, task.training, seed)
        pretrain(
            encoders,
            task.training,
            epochs=task.budget.pretrain_epochs,
            seed=seed,
            progress=progress,
            batch=task.budget.pretrain_batch,
            weights_range=self.weights_range,
            new_heads=new_heads,
        )
        seconds = time.monotonic() - started
        z, _, _ = embed(encoders, task.test)
        return {**_distance(heads[0].eval()(z)), "seconds": round(seconds, 2)}


def _scores(predict: Predict, test: Windows) -> dict[str, float]:
    return {name: round(score, 5) for name, score in evaluate.scores(test.labels, predict(test).argmax(1)).items()}


def _corrupted(spec: ModelSpec, predict: Predict, test: Windows) -> dict[str, list[float]]:
    """For each corruption, the accuracy at each strength."""
    accuracies: dict[str, list[float]] = defaultdict(list)
    for name, _, windows in suite(spec, test):
        accuracies[name].append(_scores(predict, windows)["accuracy"])
    return dict(accuracies)


def _with_only(test: Windows, modalities: Sequence[int]) -> Windows:
    presence = np.zeros_like(test.presence)
    presence[:, modalities] = test.presence[:, modalities]
    return replace(test, presence=presence)


class _Curve:
    """Follows a training: records each epoch of stage 1, and measures the accuracy after some epochs of stage 2."""

    def __init__(self, test: Windows, stage_1: Sequence[dict[str, float]], every: int):
        self.points = list(stage_1)
        self.spent = 0.0  # seconds spent on measuring, which do not count for the method
        self._before = stage_1[-1]["seconds"] if stage_1 else 0.0
        self._began = time.monotonic()
        self._test, self._every = test, every

    def __call__(self, epoch: Epoch) -> None:
        if epoch.number % self._every:
            return
        now = time.monotonic()
        seconds = round(self._before + now - self._began - self.spent, 2)
        point = {"stage": 2, "epoch": epoch.number, "seconds": seconds, "loss": round(epoch.loss, 4)}
        if epoch.predict:
            point["accuracy"] = _scores(epoch.predict, self._test)["accuracy"]
        self.points.append(point)
        self.spent += time.monotonic() - now


@torch.no_grad()
def _distance(r: Tensor) -> dict[str, float]:
    """Mean cosine distance between modalities of unit features r (N, M, D), in the same and in different windows."""
    pairs = list(combinations(range(r.shape[1]), 2))
    same = torch.stack([1 - (r[:, i] * r[:, j]).sum(1) for i, j in pairs])
    others = torch.stack([(1 - r[:, i] @ r[:, j].T).mean() for i, j in pairs])
    return {"same_window": round(float(same.mean()), 5), "any_windows": round(float(others.mean()), 5)}
