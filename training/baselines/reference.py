"""The networks that Cosmo's authors published for UTD-MHAD, to compare accuracy and cost.

Sizes, order and normalisation are those of https://github.com/xmouyang/Cosmo (sample-code-UTD), for an IMU of 120 steps
and a skeleton of 40. The encoders embed a window in thousands of numbers. Nine tenths of the parameters are in the
layers that reduce these numbers for the attention and the classifier.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Mapping, Sequence, Union

import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.cosmo.method import Cosmo, normalise_at_random
from cosmo_runtime.training.cosmo.pretrain import pretrain
from cosmo_runtime.training.cosmo.stage2 import finetune, turns_within
from cosmo_runtime.training.evaluate import predict
from cosmo_runtime.training.methods import Epoch, Lesson, Predict, Stage2Result, TwoStages

MAPS = 16  # an embedding is this many maps, flattened


class ReferenceImuEncoder(nn.Module):
    """Four 2-D convolutions over steps and channels, as over an image.

    Attributes:
        dim: length of an embedding, 7552 for 120 steps of 6 channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, steps: int = 120, channels: int = 6):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.layers = nn.Sequential(
            *_convolution(nn.Conv2d(1, 64, 2)),
            *_convolution(nn.Conv2d(64, 64, 2)),
            *_convolution(nn.Conv2d(64, 32, 1)),
            *_convolution(nn.Conv2d(32, MAPS, 1))[:-1],  # no dropout on the embedding
        )
        self.dim = MAPS * (steps - 2) * (channels - 2)

    def fit(self, x: Tensor) -> None:
        """Computes the normalisation from windows (N, steps, channels), one for the three axes of each quantity."""
        by_quantity = x.unflatten(2, (-1, 3))
        self.mean.copy_(by_quantity.mean((0, 1, 3)).repeat_interleave(3))
        self.std.copy_(by_quantity.transpose(2, 3).flatten(0, 2).std(0).clamp(min=1e-3).repeat_interleave(3))

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, channels) -> embeddings (N, dim)."""
        return self.layers(((x - self.mean) / self.std).unsqueeze(1)).flatten(1)


class ReferenceSkeletonEncoder(nn.Module):
    """Four 3-D convolutions over steps, joints and axes.

    Attributes:
        dim: length of an embedding, 2688 for 40 steps of 20 joints.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, steps: int = 40, joints: int = 20):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))
        self.layers = nn.Sequential(
            *_convolution(nn.Conv3d(1, 64, (5, 5, 2))),
            *_convolution(nn.Conv3d(64, 64, (5, 5, 2))),
            *_convolution(nn.Conv3d(64, 32, (5, 5, 1))),
            *_convolution(nn.Conv3d(32, MAPS, (5, 2, 1)))[:-1],
        )
        self.dim = MAPS * (steps - 16) * (joints - 13)

    def fit(self, x: Tensor) -> None:
        """Computes the normalisation from windows (N, steps, joints, 3), one for each axis."""
        self.mean.copy_(x.mean((0, 1, 2)))
        self.std.copy_(x.std((0, 1, 2)).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Windows (N, steps, joints, 3) in metres -> embeddings (N, dim)."""
        return self.layers(((x - self.mean) / self.std).unsqueeze(1)).flatten(1)


class ReferenceEncoders(nn.Module):
    """Both encoders. Their embeddings differ in length and are concatenated."""

    def __init__(self, spec: ModelSpec):
        """Raises ValueError: the sensors are not one IMU and one skeleton; the authors published no other encoders."""
        super().__init__()
        self.by_sensor = nn.ModuleDict()
        for m in spec.modalities:
            if m.sensor == "imu":
                self.by_sensor["imu"] = ReferenceImuEncoder(spec.steps(m), m.shape[0])
            elif m.sensor == "skeleton":
                self.by_sensor["skeleton"] = ReferenceSkeletonEncoder(spec.steps(m), m.shape[0])
            else:
                raise ValueError(f"there is no published encoder of {m.sensor}, only of imu and skeleton")
        self.dims: list[int] = [encoder.dim for encoder in self.by_sensor.values()]  # type: ignore[misc]

    def fit(self, features: Mapping[str, Tensor], presence: Tensor) -> None:
        """Computes each input's normalisation from the windows (N, steps, ...) where presence (N, M) has the sensor."""
        for j, (sensor, encoder) in enumerate(self.by_sensor.items()):
            there = presence[:, j] > 0
            if there.any():
                encoder.fit(features[sensor][there].float())  # type: ignore[operator]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features (N, steps, ...) by sensor -> embeddings (N, sum of dims)."""
        return torch.cat([encoder(features[sensor]) for sensor, encoder in self.by_sensor.items()], dim=1)

    def projection_heads(self) -> ReferenceHeads:
        """New heads for stage 1."""
        return ReferenceHeads(self.dims)


class ReferenceHeads(nn.Module):
    """Projections into the space in which stage 1 contrasts."""

    def __init__(self, dims: Sequence[int]):
        super().__init__()
        self.dims = list(dims)
        self.heads = nn.ModuleList(
            nn.Sequential(*_perceptron(dim, 1280, nn.ReLU()), nn.Linear(1280, 128)) for dim in dims
        )

    def forward(self, z: Tensor) -> Tensor:
        """Embeddings (N, sum of dims) -> unit vectors (N, M, 128)."""
        r = torch.stack([head(x) for head, x in zip(self.heads, z.split(self.dims, 1))], dim=1)
        return nn.functional.normalize(r, dim=2)


class ReferenceFusion(nn.Module):
    """Attention by a perceptron over the reduced embeddings, a recurrent network over their maps, a classifier.

    The attention's weights are combined with the quality weights: (1 - lambda) attention + lambda quality. Unlike the
    authors', this attention leaves an absent modality out.
    """

    quality: Tensor

    def __init__(
        self,
        dims: Sequence[int],
        classes: int,
        quality: Sequence[float] = (0.3, 0.7),
        quality_share: float = 0.8,
    ):
        """``dims`` and ``quality`` are per modality; published: 7552 and 2688, 0.3 and 0.7."""
        super().__init__()
        self.register_buffer("quality", torch.tensor(quality, dtype=torch.float32))
        self.quality_share = quality_share
        self.dims = list(dims)
        self.reduce = nn.ModuleList(nn.Linear(dim, 1280) for dim in dims)
        self.attention = nn.Sequential(
            *_perceptron(1280 * len(dims), 1280, nn.Tanh()),
            *_perceptron(1280, 128, nn.Tanh()),
            *_perceptron(128, len(dims), nn.Tanh()),
        )
        self.recur = nn.GRU(sum(dims) // MAPS, 120, num_layers=2, batch_first=True)
        self.classify = nn.Sequential(
            *_perceptron(120 * MAPS, 1280, nn.ReLU()), *_perceptron(1280, 128, nn.ReLU()), nn.Linear(128, classes)
        )

    def forward(self, z: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (N, sum of dims), presence (N, M) -> logits (N, classes) and fusion weights (N, M)."""
        by_modality = [x * presence[:, j, None] for j, x in enumerate(z.split(self.dims, 1))]
        reduced = torch.cat([reduce(x) for reduce, x in zip(self.reduce, by_modality)], dim=1)
        attention = torch.softmax(self.attention(reduced), dim=1)
        weights = ((1 - self.quality_share) * attention + self.quality_share * self.quality) * presence
        weights = weights / weights.sum(1, keepdim=True).clamp(1e-6, 1e4)
        maps = [(weights[:, j, None] * x).reshape(len(x), MAPS, -1) for j, x in enumerate(by_modality)]
        states, _ = self.recur(torch.cat(maps, dim=2))  # (N, MAPS, 120): the maps are the time steps
        return self.classify(states.flatten(1)), weights


class ReferenceNetwork(nn.Module):
    """Encoders and fusion as one network, in the form that is exported."""

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.encoders = ReferenceEncoders(spec)
        self.classifier = ReferenceFusion(self.encoders.dims, len(spec.classes))
        self.sensors = spec.sensors

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See ``models.networks.CosmoNetwork``."""
        *features, presence = inputs
        logits, weights = self.classifier(self.encoders(dict(zip(self.sensors, features))), presence)
        return torch.softmax(logits, dim=1), weights


def _convolution(convolve: Union[nn.Conv2d, nn.Conv3d]) -> list[nn.Module]:
    maps = convolve.out_channels
    norm = nn.BatchNorm3d(maps) if isinstance(convolve, nn.Conv3d) else nn.BatchNorm2d(maps)
    return [convolve, norm, nn.ReLU(), nn.Dropout(0.5)]


def _perceptron(inputs: int, outputs: int, activation: nn.Module) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), activation]


def _pretrain(lesson: Lesson) -> nn.Module:
    torch.manual_seed(lesson.seed)
    # used like Cosmo's own encoders, though their embeddings differ in length
    encoders: Any = ReferenceEncoders(lesson.spec)
    normalise_at_random(encoders, lesson.windows)
    pretrain(
        encoders,
        lesson.windows,
        epochs=lesson.budget.pretrain_epochs,
        seed=lesson.seed,
        progress=lesson.progress,
        batch=lesson.budget.pretrain_batch,
        on_epoch=lambda number, figures: lesson.on_epoch(Epoch(number + 1, figures["loss"])),
    )
    return encoders


def _tune(encoders: ReferenceEncoders, lesson: Lesson) -> Stage2Result:
    torch.manual_seed(lesson.seed)
    network: Any = ReferenceNetwork(lesson.spec)
    network.encoders = encoders
    ask: Predict = partial(predict, network)
    rounds, turn = turns_within(lesson.budget.epochs, Cosmo.turn)
    finetune(
        network,
        lesson.windows.labelled,
        rounds=rounds,
        seed=lesson.seed,
        progress=lesson.progress,
        turn=turn,
        batch=lesson.budget.batch,
        on_epoch=lambda number, loss: lesson.on_epoch(Epoch(number, loss, ask)),
    )
    return Stage2Result(ask)


reference = TwoStages("cosmo-reference", ReferenceEncoders, _pretrain, _tune)
"""Cosmo's two stages with the authors' network, and with the published quality of each sensor."""
