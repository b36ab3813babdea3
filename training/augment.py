"""Random changes that a body, a room and a sensor make, drawn afresh for each window of a batch.

All work on features as ``models.features`` makes them, keep shapes, and leave alone what was not measured (zero depth,
missing radar points).
"""

from __future__ import annotations

from typing import Dict

import torch
from torch import Tensor

Features = Dict[str, Tensor]


def augment(features: Features, generator: torch.Generator) -> Features:
    """Every change below for the modalities (N, steps, ...) that a batch has."""
    features = shift_time(features, generator)
    changes = {"imu": _change_imu, "depth": _change_depth, "radar": _change_radar}
    return {sensor: changes[sensor](x, generator) for sensor, x in features.items()}


def shift_time(features: Features, generator: torch.Generator, most: float = 0.1) -> Features:
    """Shift all modalities of a window by one common share of its length; the edges repeat.

    A window may start earlier or later, but its sensors stay synchronous.
    """
    n = len(next(iter(features.values())))
    share = _uniform((n, 1), -most, most, generator)
    shifted = {}
    for sensor, x in features.items():
        steps = x.shape[1]
        index = (torch.arange(steps) + (share * steps).round().long()).clamp(0, steps - 1)  # (N, steps)
        shifted[sensor] = x[torch.arange(n).unsqueeze(1), index]
    return shifted


def drop_modalities(presence: Tensor, generator: torch.Generator, rate: float = 0.2) -> Tensor:
    """Mark modalities absent at random, but never the last one of a window: (N, M) -> (N, M)."""
    kept = presence * (torch.rand(presence.shape, generator=generator) >= rate)
    return torch.where(kept.sum(1, keepdim=True) > 0, kept, presence)


def _change_imu(x: Tensor, generator: torch.Generator) -> Tensor:
    """Wear the sensor a little turned (about 15°), with other gains and a noise of 5 % of each channel's spread."""
    n, _, channels = x.shape
    x = (x.reshape(n, -1, channels // 3, 3) @ random_rotations(n, 0.25, generator).reshape(n, 1, 3, 3)).reshape(x.shape)
    x = x * _uniform((n, 1, 1), 0.9, 1.1, generator)
    return x + 0.05 * x.std(1, keepdim=True) * torch.randn(x.shape, generator=generator)


def _change_depth(x: Tensor, generator: torch.Generator) -> Tensor:
    """Stand elsewhere (10 % nearer or farther, an eighth of the view aside) with a block of the view hidden."""
    n, _, rows, columns = x.shape
    x = x * _uniform((n, 1, 1, 1), 0.9, 1.1, generator)

    aside = (_uniform((n, 1), -columns / 8, columns / 8, generator)).round().long()
    index = (torch.arange(columns) + aside).clamp(0, columns - 1)  # (N, columns); the wall at the edge goes on
    x = x.gather(3, index[:, None, None, :].expand(x.shape))

    top, left = torch.rand((2, n, 1), generator=generator)
    height, width = _uniform((2, n, 1), 0.0, 0.3, generator)
    in_rows = ((torch.arange(rows) / rows - top) >= 0) & ((torch.arange(rows) / rows - top) < height)
    in_columns = ((torch.arange(columns) / columns - left) >= 0) & ((torch.arange(columns) / columns - left) < width)
    return x * ~(in_rows[:, None, :, None] & in_columns[:, None, None, :])


def _change_radar(x: Tensor, generator: torch.Generator) -> Tensor:
    """Lose a fifth of the points; 3 cm, 0.05 m/s and 1 dB of noise on the rest."""
    is_point = (x.abs().sum(3, keepdim=True) > 0) & (torch.rand((*x.shape[:3], 1), generator=generator) >= 0.2)
    noise = torch.randn(x.shape, generator=generator) * torch.tensor([0.03, 0.03, 0.03, 0.05, 1.0])
    return (x + noise) * is_point


def random_rotations(n: int, spread: float, generator: torch.Generator) -> Tensor:
    """Rotation matrices (N, 3, 3) by angles normal of deviation ``spread`` radians about uniform axes (Rodrigues)."""
    axis = torch.nn.functional.normalize(torch.randn((n, 3), generator=generator), dim=1)
    angle = spread * torch.randn((n, 1, 1), generator=generator)
    x, y, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(n, 3, 3)
    return torch.eye(3) + torch.sin(angle) * cross + (1 - torch.cos(angle)) * cross @ cross


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)
