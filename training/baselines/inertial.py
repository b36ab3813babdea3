"""One inertial sensor, as input for the baselines that were made for a single one."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.augment import Features

CHANNELS = 6
G_MPS2 = 9.8  # these baselines divide accelerations by this


class Inertial(nn.Module):
    """Acceleration in g and angular rate in rad/s, zero where absent: ``steps`` a window, or the spec's own number.

    The sensor is the spec's first IMU, or its accelerometer together with its gyroscope.
    """

    unit: Tensor

    def __init__(self, spec: ModelSpec, steps: Optional[int] = None):
        super().__init__()
        kinds = [modality.kind for modality in spec.modalities]
        of = ("imu",) if "imu" in kinds else ("accelerometer", "gyroscope")
        self.modalities = [kinds.index(kind) for kind in of if kind in kinds]
        own = [spec.steps(spec.modalities[j]) for j in self.modalities]
        self.sensors, self.steps = spec.sensors, steps or own[0]
        # pooling as a matrix, so that a network can be exported with any number of steps
        self.averages = [nn.functional.adaptive_avg_pool1d(torch.eye(n)[None], self.steps)[0] for n in own]
        self.register_buffer("unit", torch.tensor([G_MPS2] * 3 + [1.0] * 3), persistent=False)

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        """Features by sensor, presence (N, M) -> (N, steps, 6). Each step is the mean of the steps that it replaces."""
        signals = []
        for j, average in zip(self.modalities, self.averages):
            x = features[self.sensors[j]][:, :, :CHANNELS] * presence[:, j, None, None]
            signals.append((x.transpose(1, 2) @ average).transpose(1, 2))
        if sum(x.shape[2] for x in signals) < CHANNELS:
            signals.append(torch.zeros_like(signals[0]))
        return torch.cat(signals, dim=2) / self.unit
