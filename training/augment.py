"""Random changes that a body, a room and a sensor make, drawn afresh for each window of a batch.

All work on features as ``models.features`` makes them, keep shapes, and leave alone what was not measured (zero depth,
missing radar points).
"""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple

import torch
from torch import Tensor

Features = Dict[str, Tensor]

# Kinect v1: each arm from shoulder to hand, each leg from hip to foot.
_LIMBS = ((4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15), (16, 17, 18, 19))


class Warp(NamedTuple):
    """How far a window's time is changed.

    Attributes:
        slowest, fastest: limits of the pace.
        shift: by at most this share of the window.
        bend: deviation, as a share of the window, of how far its middle is moved against its ends.
    """

    slowest: float
    fastest: float
    shift: float
    bend: float


OF_A_WHOLE = Warp(0.8, 1.2, shift=0.1, bend=0.1)
"""For windows whose label holds for all of them, as for a trial."""
OF_A_MOMENT = Warp(0.85, 1.1, shift=0.0, bend=0.05)
"""For windows of a stream whose label is that of their middle: moved far, it would be another activity's."""


def augment(features: Features, generator: torch.Generator, warp: Warp = OF_A_WHOLE) -> Features:
    """Every change below for the modalities (N, steps, ...) that a batch has, on the generator's device."""
    features = warp_time(features, generator, warp)
    turn = random_rotations(len(next(iter(features.values()))), 0.35, generator)
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "imu": lambda x: _change_inertial(x, turn, generator),
        "accelerometer": lambda x: _change_inertial(x, turn, generator),  # one device holds both, and turns as one
        "gyroscope": lambda x: _change_inertial(x, turn, generator),
        "skeleton": lambda x: _change_skeleton(x, generator),
        "depth": lambda x: _change_depth(x, generator),
        "radar": lambda x: _change_radar(x, generator),
    }
    return {sensor: changes[sensor](x) for sensor, x in features.items()}


def warp_time(features: Features, generator: torch.Generator, warp: Warp = OF_A_WHOLE) -> Features:
    """Shift a window, play it faster or slower, and bend its pace.

    All modalities of a window are warped alike: they stay synchronous. The edges repeat. Signals are interpolated;
    pictures and points are taken from the nearest step.
    """
    n = len(next(iter(features.values())))
    scale = _uniform((n, 1), warp.slowest, warp.fastest, generator)
    shift = _uniform((n, 1), -warp.shift, warp.shift, generator)
    bend = warp.bend * _normal((n, 1), generator)
    window = torch.arange(n, device=generator.device).unsqueeze(1)
    warped = {}
    for sensor, x in features.items():
        steps = x.shape[1]
        time = (torch.arange(steps, device=generator.device) + 0.5) / steps
        bump = 4 * time * (1 - time) * torch.sin(torch.pi * time)
        place = ((time - 0.5) * scale + 0.5 + shift + bend * bump) * steps - 0.5  # (N, steps)
        place = place.clamp(0, steps - 1)
        if sensor in ("depth", "radar"):
            warped[sensor] = x[window, place.round().long()]
        else:
            before = place.long().clamp(max=max(0, steps - 2))
            share = (place - before).reshape(n, steps, *[1] * (x.ndim - 2))
            after = (before + 1).clamp(max=steps - 1)
            warped[sensor] = torch.lerp(x[window, before], x[window, after], share)
    return warped


def drop_modalities(presence: Tensor, generator: torch.Generator, most: float = 0.3) -> Tensor:
    """Mark modalities absent, never the last one of a window: (N, M) -> (N, M).

    Each window draws its own rate up to ``most``, so that whole windows and single sensors both are common.
    """
    rate = _uniform((len(presence), 1), 0.0, most, generator)
    kept = presence * (_uniform(presence.shape, 0.0, 1.0, generator) >= rate)
    return torch.where(kept.sum(1, keepdim=True) > 0, kept, presence)


def _change_inertial(x: Tensor, turn: Tensor, generator: torch.Generator) -> Tensor:
    """Wear the sensor a little turned (about 20°), with other gains and a noise of a tenth of each channel's spread."""
    n, _, channels = x.shape
    x = (x.reshape(n, -1, channels // 3, 3) @ turn.reshape(n, 1, 3, 3)).reshape(x.shape)
    x = x * _uniform((n, 1, channels), 0.9, 1.1, generator)
    return x + 0.1 * x.std(1, keepdim=True) * _normal(x.shape, generator)


def _change_skeleton(x: Tensor, generator: torch.Generator) -> Tensor:
    """Look at another body from elsewhere, with now and then a limb that the tracker loses.

    The body is turned about the vertical by up to 23° and tilted by about 3°, each axis scaled by up to a tenth, each
    joint misplaced by 2 cm for the whole window and by 1 cm in each step. In three windows of ten one limb stays where
    it is on average.
    """
    n, _, joints, _ = x.shape
    angle = _uniform((n,), -0.4, 0.4, generator)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    yaw = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=1).reshape(n, 3, 3)
    turn = (yaw @ random_rotations(n, 0.05, generator)).unsqueeze(1)
    centre = x.mean((1, 2), keepdim=True)
    x = (x - centre) @ turn * _uniform((n, 1, 1, 3), 0.9, 1.1, generator) + centre
    x = x + 0.02 * _normal((n, 1, joints, 3), generator)
    x = x + 0.01 * _normal(x.shape, generator)

    drawn = torch.randint(len(_LIMBS), (n,), generator=generator, device=x.device)
    limb = torch.tensor(_LIMBS, device=x.device)[drawn]
    lost = torch.zeros((n, joints), dtype=torch.bool, device=x.device)
    if joints > max(map(max, _LIMBS)):  # another tracker's joints may be others
        lost.scatter_(1, limb, _uniform((n, 1), 0.0, 1.0, generator).expand(limb.shape) < 0.3)
    return torch.where(lost[:, None, :, None], x.mean(1, keepdim=True), x)


def _change_depth(x: Tensor, generator: torch.Generator) -> Tensor:
    """Look at another body from elsewhere, with a block of the view hidden.

    The picture is magnified by up to 15 % and shifted by up to an eighth, distances are scaled by up to 15 %.
    """
    n, steps, rows, columns = x.shape
    scale = _uniform((n, 1), 0.85, 1.15, generator)
    row = _resampled(rows, scale, _uniform((n, 1), -0.125, 0.125, generator))
    column = _resampled(columns, scale, _uniform((n, 1), -0.125, 0.125, generator))
    window = torch.arange(n, device=x.device).reshape(n, 1, 1, 1)
    step = torch.arange(steps, device=x.device).reshape(1, steps, 1, 1)
    x = x[window, step, row[:, None, :, None], column[:, None, None, :]]
    x = x * _uniform((n, 1, 1, 1), 0.85, 1.15, generator)

    hidden = _interval(rows, n, generator)[:, None, :, None] & _interval(columns, n, generator)[:, None, None, :]
    return x * ~hidden


def _change_radar(x: Tensor, generator: torch.Generator) -> Tensor:
    """Lose a fifth of the points; 3 cm, 0.05 m/s and 1 dB of noise on the rest."""
    is_point = (x.abs().sum(3, keepdim=True) > 0) & (_uniform((*x.shape[:3], 1), 0.0, 1.0, generator) >= 0.2)
    noise = _normal(x.shape, generator) * torch.tensor([0.03, 0.03, 0.03, 0.05, 1.0], device=x.device)
    return (x + noise) * is_point


def random_rotations(n: int, spread: float, generator: torch.Generator) -> Tensor:
    """Rotation matrices (N, 3, 3) by angles normal of deviation ``spread`` radians about uniform axes (Rodrigues)."""
    axis = torch.nn.functional.normalize(_normal((n, 3), generator), dim=1)
    angle = spread * _normal((n, 1, 1), generator)
    x, y, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(n, 3, 3)
    return torch.eye(3, device=angle.device) + torch.sin(angle) * cross + (1 - torch.cos(angle)) * cross @ cross


def _resampled(size: int, scale: Tensor, shift: Tensor) -> Tensor:
    """Of ``size`` steps or pixels, the one that each takes (N, size) when stretched by 1 / scale about the middle."""
    place = (torch.arange(size, device=scale.device) + 0.5) / size
    return (((place - 0.5) * scale + 0.5 + shift) * size).floor().long().clamp(0, size - 1)


def _interval(size: int, n: int, generator: torch.Generator) -> Tensor:
    """A random interval of up to 0.3 of ``size`` pixels for each of N windows, as a mask (N, size)."""
    beyond = torch.arange(size, device=generator.device) / size - _uniform((n, 1), 0.0, 1.0, generator)
    return (beyond >= 0) & (beyond < _uniform((n, 1), 0.0, 0.3, generator))


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
