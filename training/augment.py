"""Augmentation: random changes due to a body, a room or a sensor, drawn for each window of a batch.

All of them work on the features of ``models.features``, preserve shapes, and ignore what was not measured (zero depth,
missing radar points).
"""

from __future__ import annotations

from typing import Callable, Dict, Mapping, NamedTuple

import torch
from torch import Tensor

from cosmo_runtime.kinds import Kinds
from cosmo_runtime.models.kinds import KINDS

Features = Dict[str, Tensor]

# Kinect v1: each arm from shoulder to hand, each leg from hip to foot.
_LIMBS = ((4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15), (16, 17, 18, 19))


class Warp(NamedTuple):
    """How far a window's time is changed.

    Attributes:
        slowest, fastest: the limits of the pace.
        shift: the largest shift, as a share of the window.
        bend: deviation of the middle's shift against the ends, as a share of the window.
    """

    slowest: float
    fastest: float
    shift: float
    bend: float


OF_A_WHOLE = Warp(0.8, 1.2, shift=0.1, bend=0.1)
"""For windows whose label holds for all of them, as for a trial."""
OF_A_MOMENT = Warp(0.85, 1.1, shift=0.0, bend=0.05)
"""For windows of a stream with the label of their midpoint. A larger shift would move another activity there."""


Change = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Features (N, steps, ...), a rotation for each window (N, 3, 3), and the source of chance -> changed features."""

CHANGES: Kinds[Change] = Kinds("how training augments it")


def augment(
    features: Features, kinds: Mapping[str, str], generator: torch.Generator, warp: Warp = OF_A_WHOLE
) -> Features:
    """Changes the windows of a batch, on the generator's device.

    Args:
        features: (N, steps, ...) by sensor.
        kinds: kind of each sensor.
        generator: the source of chance.
        warp: how far time is changed.

    Raises:
        UnknownKind: there is no augmentation for a kind.
    """
    features = warp_time(features, kinds, generator, warp)
    turn = _turns(features, generator)  # an accelerometer and a gyroscope are in one device and turn together
    further_imus = [sensor for sensor in features if kinds[sensor] == "imu"][1:]
    turns = {sensor: _turns(features, generator) for sensor in further_imus}
    return {sensor: CHANGES[kinds[sensor]](x, turns.get(sensor, turn), generator) for sensor, x in features.items()}


def _turns(features: Features, generator: torch.Generator) -> Tensor:
    """How far a worn sensor is turned in each window: rotations (N, 3, 3) by about 20°."""
    return random_rotations(len(next(iter(features.values()))), 0.35, generator)


def warp_time(
    features: Features, kinds: Mapping[str, str], generator: torch.Generator, warp: Warp = OF_A_WHOLE
) -> Features:
    """Shifts each window in time, plays it faster or slower, and bends its pace.

    All modalities of a window are warped alike, so they stay synchronous. The edges repeat. Signals are interpolated;
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
        if KINDS[kinds[sensor]].cut != "interpolated":
            warped[sensor] = x[window, place.round().long()]
        else:
            before = place.long().clamp(max=max(0, steps - 2))
            share = (place - before).reshape(n, steps, *[1] * (x.ndim - 2))
            after = (before + 1).clamp(max=steps - 1)
            warped[sensor] = torch.lerp(x[window, before], x[window, after], share)
    return warped


def drop_modalities(presence: Tensor, generator: torch.Generator, most: float = 0.3) -> Tensor:
    """Marks modalities as absent, but never the last one of a window: (N, M) -> (N, M).

    Each window draws its own rate up to ``most``, so that whole windows and single sensors are both common.
    """
    rate = _uniform((len(presence), 1), 0.0, most, generator)
    remaining = presence * (_uniform(presence.shape, 0.0, 1.0, generator) >= rate)
    return torch.where(remaining.sum(1, keepdim=True) > 0, remaining, presence)


def _change_inertial(x: Tensor, turn: Tensor, generator: torch.Generator) -> Tensor:
    """Turns the sensor by about 20°, changes its gains, and adds noise of a tenth of each channel's spread."""
    n, _, channels = x.shape
    x = (x.reshape(n, -1, channels // 3, 3) @ turn.reshape(n, 1, 3, 3)).reshape(x.shape)
    x = x * _uniform((n, 1, channels), 0.9, 1.1, generator)
    return x + 0.1 * x.std(1, keepdim=True) * _normal(x.shape, generator)


def _change_skeleton(x: Tensor, _turn: Tensor, generator: torch.Generator) -> Tensor:
    """Looks at another body from elsewhere. Now and then the tracker loses a limb.

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


def _change_depth(x: Tensor, _turn: Tensor, generator: torch.Generator) -> Tensor:
    """Looks at another body from elsewhere, and hides a block of the view.

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


def _change_radar(x: Tensor, _turn: Tensor, generator: torch.Generator) -> Tensor:
    """Removes a fifth of the points, and adds noise of 3 cm, 0.05 m/s and 1 dB to the others."""
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


for _kind, _change in {
    "imu": _change_inertial,
    "accelerometer": _change_inertial,
    "gyroscope": _change_inertial,
    "skeleton": _change_skeleton,
    "depth": _change_depth,
    "radar": _change_radar,
}.items():
    CHANGES.register(_kind, _change)
