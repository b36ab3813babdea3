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
    features = warp_time(features, generator)
    changes = {"imu": _change_imu, "depth": _change_depth, "radar": _change_radar}
    return {sensor: changes[sensor](x, generator) for sensor, x in features.items()}


def warp_time(features: Features, generator: torch.Generator) -> Features:
    """Shift a window by up to a tenth of its length and play it up to a fifth faster or slower; the edges repeat.

    All modalities of a window are warped alike: they stay synchronous.
    """
    n = len(next(iter(features.values())))
    scale, shift = _uniform((n, 1), 0.8, 1.2, generator), _uniform((n, 1), -0.1, 0.1, generator)
    window = torch.arange(n).unsqueeze(1)
    return {sensor: x[window, _resampled(x.shape[1], scale, shift)] for sensor, x in features.items()}


def drop_modalities(presence: Tensor, generator: torch.Generator, most: float = 0.7) -> Tensor:
    """Mark modalities absent, never the last one of a window: (N, M) -> (N, M).

    Each window draws its own rate up to ``most``, so that whole windows and single sensors both are common.
    """
    rate = _uniform((len(presence), 1), 0.0, most, generator)
    kept = presence * (torch.rand(presence.shape, generator=generator) >= rate)
    return torch.where(kept.sum(1, keepdim=True) > 0, kept, presence)


def _change_imu(x: Tensor, generator: torch.Generator) -> Tensor:
    """Wear the sensor a little turned (about 20°), with other gains and a noise of 5 % of each channel's spread."""
    n, _, channels = x.shape
    x = (x.reshape(n, -1, channels // 3, 3) @ random_rotations(n, 0.35, generator).reshape(n, 1, 3, 3)).reshape(x.shape)
    x = x * _uniform((n, 1, 1), 0.9, 1.1, generator)
    return x + 0.05 * x.std(1, keepdim=True) * torch.randn(x.shape, generator=generator)


def _change_depth(x: Tensor, generator: torch.Generator) -> Tensor:
    """Look at another body from elsewhere, with a block of the view hidden.

    The picture is magnified by up to 15 % and shifted by up to an eighth, distances are scaled by up to 15 %.
    """
    n, steps, rows, columns = x.shape
    scale = _uniform((n, 1), 0.85, 1.15, generator)
    row = _resampled(rows, scale, _uniform((n, 1), -0.125, 0.125, generator))
    column = _resampled(columns, scale, _uniform((n, 1), -0.125, 0.125, generator))
    window, step = torch.arange(n).reshape(n, 1, 1, 1), torch.arange(steps).reshape(1, steps, 1, 1)
    x = x[window, step, row[:, None, :, None], column[:, None, None, :]]
    x = x * _uniform((n, 1, 1, 1), 0.85, 1.15, generator)

    hidden = _interval(rows, n, generator)[:, None, :, None] & _interval(columns, n, generator)[:, None, None, :]
    return x * ~hidden


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


def _resampled(size: int, scale: Tensor, shift: Tensor) -> Tensor:
    """Of ``size`` steps or pixels, the one that each takes (N, size) when stretched by 1 / scale about the middle."""
    place = (torch.arange(size) + 0.5) / size
    return (((place - 0.5) * scale + 0.5 + shift) * size).floor().long().clamp(0, size - 1)


def _interval(size: int, n: int, generator: torch.Generator) -> Tensor:
    """A random interval of up to 0.3 of ``size`` pixels for each of N windows, as a mask (N, size)."""
    beyond = torch.arange(size) / size - torch.rand((n, 1), generator=generator)
    return (beyond >= 0) & (beyond < _uniform((n, 1), 0.0, 0.3, generator))


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)
