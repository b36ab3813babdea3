"""SelfHAR (Tang et al., IMWUT 2021): a teacher labels windows; a student learns from them and from their changes.

As published: (1) A teacher learns from the labels. (2) It labels the other windows. Windows whose top probability is at
least a half are used, with the teacher's probabilities. (3) A new student sees each of them unchanged and changed in
one of eight ways. It learns which change was made (eight binary tasks) and what the teacher answered; all weights are
1. (4) The student's last convolution and its classifier learn from the labels. The encoder has three convolutions of
32, 64 and 96 maps, with kernels of 24, 16 and 8 steps, and the maximum over time.

What had to change: windows are shorter than published, so convolutions are padded. All confident windows are used,
however many. A minibatch draws one version of each window instead of holding all nine, so that it costs as much as one
of the other methods. Time is warped as elsewhere in the project. Teacher and student each learn from as many labelled
minibatches as any other method, with the comparison's augmentation. Written from the paper's description, because its
code may not be used here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features, random_rotations, warp_time
from cosmo_runtime.training.baselines.inertial import CHANNELS, Inertial
from cosmo_runtime.training.baselines.learning import descend, learn_labels
from cosmo_runtime.training.methods import Lesson, Predict, normalise
from cosmo_runtime.training.windows import UNLABELLED

FILTERS, KERNELS = (32, 64, 96), (24, 16, 8)
SURE = 0.5
PIECES = 4

Change = Callable[[Tensor, torch.Generator], Tensor]


def selfhar(lesson: Lesson) -> Predict:
    """A ``Fit`` that learns from all windows with the help of the labelled ones."""
    torch.manual_seed(lesson.seed)
    spec, windows, budget = lesson.spec, lesson.windows, lesson.budget
    teacher = _Network(spec)
    normalise(teacher, lesson.windows, lesson.seed)
    taught = learn_labels(teacher, lesson, "SelfHAR, teacher")

    student = _Network(spec)
    normalise(student, lesson.windows, lesson.seed)
    answers = taught(windows)
    sure = (windows.labels == UNLABELLED) & (answers.max(1) >= SURE)
    if np.count_nonzero(sure) > 1:  # otherwise the student starts at random
        kept, batch = windows.where(sure), budget.pretrain_batch
        steps = budget.pretrain_epochs * -(-len(windows) // batch)  # as many as methods that learn from all windows
        epochs = max(1, round(steps / -(-len(kept) // batch)))
        of_kept = lesson._replace(windows=kept, budget=replace(budget, pretrain_epochs=epochs))
        _learn_from_teacher(student, of_kept, torch.from_numpy(answers[sure]))
    student.early.requires_grad_(False)
    return learn_labels(student, lesson, "SelfHAR, student")


def _learn_from_teacher(student: _Network, lesson: Lesson, answers: Tensor) -> None:
    """Trains the student on windows (N) that the teacher is sure of, and on its answers (N, classes)."""
    windows, budget = lesson.windows, lesson.budget
    order, generator = np.random.default_rng(lesson.seed), torch.Generator().manual_seed(lesson.seed)

    def losses() -> Iterator[Tensor]:
        for chosen in windows.shuffled(budget.pretrain_batch, order):
            features, presence, _ = windows.tensors(chosen)
            version = torch.randint(len(CHANGES) + 1, (len(chosen),), generator=generator)
            changes, classes = student.both(changed(student.signal(features, presence), version, generator))
            yield student_loss(changes, classes, version, answers[chosen])

    descend(
        student,
        losses,
        epochs=budget.pretrain_epochs,
        steps=-(-len(windows) // budget.pretrain_batch),
        progress=lesson.progress,
        task="SelfHAR, unlabelled",
        learning_rate=3e-4,  # as published
    )


def student_loss(changes: Tensor, classes: Tensor, version: Tensor, teacher: Tensor) -> Tensor:
    """The loss of two questions: was change j made, for each j, and what did the teacher answer?

    Args:
        changes: (N, J) logits of each change.
        classes: (N, C) logits of each activity.
        version: (N,) which change was made, from 1; 0 for none.
        teacher: (N, C) the teacher's probabilities.

    Returns:
        The sum of J binary cross-entropies and one over activities, each a mean over windows.
    """
    made = nn.functional.one_hot(version, changes.shape[1] + 1)[:, 1:].to(changes.dtype)
    binary = nn.functional.binary_cross_entropy_with_logits(changes, made, reduction="none")
    return binary.mean(0).sum() - (teacher * torch.log_softmax(classes, 1)).sum(1).mean()


def changed(x: Tensor, version: Tensor, generator: torch.Generator) -> Tensor:
    """Signals (N, steps, 6), each with the change of number ``version`` (N,), counted from 1; 0 changes nothing."""
    x = x.clone()
    for number, change in enumerate(CHANGES, 1):
        chosen = version == number
        if chosen.any():
            x[chosen] = change(x[chosen], generator)
    return x


def _noise(x: Tensor, generator: torch.Generator) -> Tensor:
    return x + 0.05 * torch.randn(x.shape, generator=generator)


def _scale(x: Tensor, generator: torch.Generator) -> Tensor:
    return x * (1 + 0.1 * torch.randn((len(x), 1, CHANNELS), generator=generator))


def _rotate(x: Tensor, generator: torch.Generator) -> Tensor:
    turn = random_rotations(len(x), torch.pi, generator).unsqueeze(1)
    return (x.unflatten(2, (2, 3)) @ turn).flatten(2)


def _negate(x: Tensor, _generator: torch.Generator) -> Tensor:
    return -x


def _reverse(x: Tensor, _generator: torch.Generator) -> Tensor:
    return x.flip(1)


def _permute(x: Tensor, generator: torch.Generator) -> Tensor:
    mixed = []
    for one in x:
        pieces = one.tensor_split(PIECES)
        mixed.append(torch.cat([pieces[k] for k in torch.randperm(PIECES, generator=generator)]))
    return torch.stack(mixed)


def _bend_time(x: Tensor, generator: torch.Generator) -> Tensor:
    return warp_time({"imu": x}, {"imu": "imu"}, generator)["imu"]


def _shuffle_channels(x: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.rand((len(x), 1, CHANNELS), generator=generator).argsort(2)
    return x.gather(2, order.expand(x.shape))


CHANGES: tuple[Change, ...] = (_noise, _scale, _rotate, _negate, _reverse, _permute, _bend_time, _shuffle_channels)


class _Network(nn.Module):
    """The encoder, a head for each change, and a classifier."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.inertial = Inertial(spec)
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(CHANNELS))
        first, second, last = map(_convolution, (CHANNELS, *FILTERS[:2]), FILTERS, KERNELS)
        self.early, self.last = nn.Sequential(first, second), last
        self.tell_changes = nn.ModuleList(_head(256, 1) for _ in CHANGES)
        self.classify = _head(1024, len(spec.classes))

    def fit(self, features: Features, presence: Tensor) -> None:
        there = presence[:, self.inertial.modalities].amin(1) > 0
        x = self.inertial(features, presence)[there]
        if len(x):
            self.mean.copy_(x.mean((0, 1)))
            self.std.copy_(x.std((0, 1)).clamp(min=1e-3))

    def signal(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor, presence (N, M) -> standardised (N, steps, 6)."""
        return (self.inertial(features, presence) - self.mean) / self.std

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        return self.classify(self._encoded(self.signal(features, presence)))

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Signals (N, steps, 6) -> logits of changes (N, J) and of activities (N, C)."""
        z = self._encoded(x)
        return torch.cat([head(z) for head in self.tell_changes], dim=1), self.classify(z)

    def _encoded(self, x: Tensor) -> Tensor:
        return self.last(self.early(x.transpose(1, 2))).amax(2)


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(), nn.Dropout(0.1))


def _head(hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(FILTERS[-1], hidden), nn.ReLU(), nn.Linear(hidden, outputs))
