"""The first layers of DeepSense and AttnSense: short time intervals, their spectra, convolutions for each sensor."""

from __future__ import annotations

from typing import Mapping

import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.baselines.steps import Steps

INTERVALS = 10
FILTERS = 64


class IntervalConvolutions(nn.Module):
    """Cuts a window into intervals, computes each one's spectrum, and convolves it three times along the frequencies.

    The first convolution spans all channels of its sensor. Spectra are real and imaginary parts, because a phase jumps
    where it wraps around. All sensors are resampled to one number of steps, so that they share the same
    ``frequencies``.
    """

    def __init__(self, spec: ModelSpec):
        super().__init__()
        most = max(map(spec.steps, spec.modalities))
        self.length = max(2, -(-most // INTERVALS))
        self.frequencies = self.length // 2 + 1
        self.inputs = Steps(spec, INTERVALS * self.length)
        self.by_sensor = nn.ModuleList(
            nn.Sequential(*_convolution(2 * dim), *_convolution(FILTERS), *_convolution(FILTERS))
            for dim in self.inputs.dims
        )

    def fit(self, features: Mapping[str, Tensor], presence: Tensor) -> None:
        """Computes each input's normalisation from the windows (N, steps, ...) where presence (N, M) has the sensor."""
        self.inputs.fit(features, presence)

    def forward(self, features: Mapping[str, Tensor], presence: Tensor) -> Tensor:
        """Features by sensor, presence (N, M) -> (N, INTERVALS, M, FILTERS, frequencies), zero where absent."""
        by_sensor = []
        for x, convolve in zip(self.inputs(features, presence), self.by_sensor):
            x = x.reshape(-1, self.length, x.shape[2]).transpose(1, 2)  # (N * INTERVALS, dim, length)
            spectrum = torch.fft.rfft(x, norm="ortho")
            x = convolve(torch.cat([spectrum.real, spectrum.imag], dim=1))  # (N * INTERVALS, FILTERS, frequencies)
            by_sensor.append(x.unflatten(0, (-1, INTERVALS)))
        return torch.stack(by_sensor, dim=2) * presence[:, None, :, None, None]


def _convolution(inputs: int) -> list[nn.Module]:
    return [
        nn.Conv1d(inputs, FILTERS, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm1d(FILTERS),
        nn.ReLU(),
        nn.Dropout(0.2),
    ]
