"""Every modality as a vector a step, on one grid of time: where baselines made for inertial sensors begin.

An image and a cloud of points become a vector by the layers that the project's own encoders have for a single frame,
so that a comparison is about what comes after.
"""

from __future__ import annotations

from typing import Mapping, Optional

import torch
from torch import Tensor, nn

from models.encoders import HIP_CENTRE, encoder_for
from models.spec import ModalitySpec, ModelSpec


class Steps(nn.Module):
    """Each modality's features as vectors of its own length, ``dims``, all of them ``steps`` times in a window."""

    def __init__(self, spec: ModelSpec, steps: Optional[int] = None):
        """``steps`` a window, by default as many as the modality with the most has."""
        super().__init__()
        self.steps = steps or max(map(spec.steps, spec.modalities))
        self.by_sensor = nn.ModuleDict()
        self.dims: list[int] = []
        for modality in spec.modalities:
            image_or_points = modality.sensor in ("depth", "radar")
            frames = _Frames(modality) if image_or_points else _Vectors(modality)
            self.by_sensor[modality.sensor] = frames
            with torch.no_grad():
                self.dims.append(frames.eval()(torch.zeros(1, 2, *modality.shape)).shape[2])

    def fit(self, features: Mapping[str, Tensor], presence: Tensor) -> None:
        """Take each input's normalisation from windows (N, steps, ...) where presence (N, M) has the sensor."""
        for j, (sensor, frames) in enumerate(self.by_sensor.items()):
            there = presence[:, j] > 0
            if there.any():
                frames.fit(features[sensor][there])  # type: ignore[operator]

    def forward(self, features: Mapping[str, Tensor], presence: Tensor) -> list[Tensor]:
        """Features (N, ..., *shape) by sensor, presence (N, M) -> a tensor (N, steps, dim) each, zero where absent."""
        vectors = []
        for j, (sensor, frames) in enumerate(self.by_sensor.items()):
            x = frames(features[sensor])
            nearest = (torch.arange(self.steps) + 0.5) * x.shape[1] / self.steps
            vectors.append(x[:, nearest.long()] * presence[:, j, None, None])
        return vectors


class _Vectors(nn.Module):
    """The channels of an inertial sensor, or a skeleton's joints seen from the hips, standardised."""

    mean: Tensor
    std: Tensor

    def __init__(self, modality: ModalitySpec):
        super().__init__()
        self.is_skeleton = modality.sensor == "skeleton"
        size = torch.zeros(modality.shape).numel()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def fit(self, x: Tensor) -> None:
        x = self._flat(x)
        self.mean.copy_(x.mean((0, 1)))
        self.std.copy_(x.std((0, 1)).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return (self._flat(x) - self.mean) / self.std

    def _flat(self, x: Tensor) -> Tensor:
        return (x - x[:, :, HIP_CENTRE : HIP_CENTRE + 1] if self.is_skeleton else x).flatten(2)


class _Frames(nn.Module):
    """What the project's encoder of an image or of points does before it looks along time."""

    def __init__(self, modality: ModalitySpec):
        super().__init__()
        self.encoder = encoder_for(modality, dim=1)
        self.encoder.temporal = nn.Identity()

    def fit(self, x: Tensor) -> None:
        self.encoder.fit(x)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x).transpose(1, 2)
