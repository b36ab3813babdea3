"""Every modality as one vector a step, on a common time grid: the input of baselines made for inertial sensors.

An image or a point cloud becomes a vector by the single-frame layers of the project's own encoders, so that a
comparison is about the layers after them.
"""

from __future__ import annotations

from typing import Mapping, Optional

import torch
from torch import Tensor, nn

from cosmo_runtime.models.encoders import HIP_CENTRE
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec


class Steps(nn.Module):
    """Each modality's features as vectors of its own length, see ``dims``, at ``steps`` times a window."""

    def __init__(self, spec: ModelSpec, steps: Optional[int] = None, encoded: bool = False):
        """``steps`` a window, by default those of the modality with the most.

        With ``encoded``, signals, too, become what the project's encoders compute for each step on its own.
        """
        super().__init__()
        self.steps = steps or max(map(spec.steps, spec.modalities))
        self.by_sensor = nn.ModuleDict()
        self.dims: list[int] = []
        for modality in spec.modalities:
            is_signal = modality.kind_row.cut == "interpolated"
            frames = _Vectors(modality) if is_signal and not encoded else _Frames(modality)
            self.by_sensor[modality.sensor] = frames
            with torch.no_grad():
                self.dims.append(frames.eval()(torch.zeros(1, 2, *modality.shape)).shape[2])

    def fit(self, features: Mapping[str, Tensor], presence: Tensor) -> None:
        """Computes each input's normalisation from the windows (N, steps, ...) where presence (N, M) has the sensor."""
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
    """The channels of an inertial sensor, or a skeleton's joints relative to the hips, standardised."""

    mean: Tensor
    std: Tensor

    def __init__(self, modality: ModalitySpec):
        super().__init__()
        self.is_skeleton = modality.kind == "skeleton"
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
    """The project's encoder up to the layers over the whole window."""

    def __init__(self, modality: ModalitySpec):
        super().__init__()
        self.encoder = modality.kind_row.make_encoder(modality.shape, dim=1)
        self.encoder.temporal = nn.Identity()

    def fit(self, x: Tensor) -> None:
        self.encoder.fit(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x).transpose(1, 2)
