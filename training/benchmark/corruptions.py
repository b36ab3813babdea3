"""Common sensor faults: a fixed suite of corruptions of test windows, each at three strengths.

Nothing is trained on the suite or chosen by it. The same windows are always corrupted in the same way, so that all
methods are tested alike. A corrupted sensor still counts as present, because these are faults that nobody has noticed.
What was not measured (no depth, no radar point) stays unmeasured, unless the corruption says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Iterator, Mapping, NamedTuple
from zlib import crc32

import numpy as np
from scipy.constants import g as GRAVITY
from scipy.spatial.transform import Rotation

from cosmo_runtime.models.kinds import KINDS
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.windows import Windows

SUITE = 1
"""Raised whenever a corruption changes, so that results are computed again."""

_SEED = 17
_INERTIAL = ("imu", "accelerometer", "gyroscope")
_KNOWN = (*_INERTIAL, "skeleton", "depth", "radar")
_NOISE: Mapping[str, tuple[float, ...]] = {  # m/s², rad/s, µT; m; a radar's points: m, m/s and dB
    "imu": (0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 2.0, 2.0, 2.0),
    "accelerometer": (0.5,),
    "gyroscope": (0.1,),
    "skeleton": (0.02,),
    "depth": (0.05,),
    "radar": (0.05, 0.05, 0.05, 0.1, 1.0),
}
_GAP_S = 0.25
_RADIANS_PER_S_FOR_A_G = np.radians(125)


class Shown(NamedTuple):
    """The sensors' features in N windows.

    Attributes:
        features: (N, steps, ...) by sensor, float32.
        kinds: kind of each sensor.
        rates_hz: steps a second of each sensor.
    """

    features: dict[str, np.ndarray]
    kinds: Mapping[str, str]
    rates_hz: Mapping[str, float]

    def of_kinds(self, kinds: tuple[str, ...]) -> dict[str, np.ndarray]:
        """The features of the sensors of these kinds."""
        return {sensor: x for sensor, x in self.features.items() if self.kinds[sensor] in kinds}

    def by_window(self, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Draws one sensor for each window. Yields each sensor, its features, and the windows (N,) that drew it."""
        known = self.of_kinds(_KNOWN)
        drawn = random.integers(len(known), size=len(next(iter(known.values()))))
        return ((sensor, x, drawn == i) for i, (sensor, x) in enumerate(known.items()))


Change = Callable[[Shown, float, np.random.Generator], Mapping[str, np.ndarray]]
"""Features of all sensors, strength of the corruption, random generator -> features of the changed sensors."""


@dataclass(frozen=True)
class Corruption:
    """One kind of fault.

    Attributes:
        title: the title for readers.
        strengths: three strengths, the worst one last.
        meaning: what the strengths mean, for readers.
        change: applies the corruption.
        kinds: the kinds of sensors that it can affect.
        fewest: the number of sensors that it needs.
    """

    title: str
    strengths: tuple[float, float, float]
    meaning: str
    change: Change
    kinds: tuple[str, ...] = _KNOWN
    fewest: int = 1

    def applies(self, spec: ModelSpec) -> bool:
        """Whether it can affect these sensors."""
        return len(spec.sensors) >= self.fewest and not set(self.kinds).isdisjoint(spec.kinds.values())


def corrupted(spec: ModelSpec, windows: Windows, name: str, strength: float) -> Windows:
    """Returns the windows with one corruption of the suite, which is the same on every call.

    Args:
        spec: the spec of the windows.
        windows: the windows to corrupt; they are not changed.
        name: the name of the corruption.
        strength: any strength, not only those of the suite.
    """
    shown = Shown(
        {sensor: np.asarray(x, np.float32) for sensor, x in windows.features.items()},
        windows.kinds,
        {m.sensor: m.rate_hz for m in spec.modalities},
    )
    random = np.random.default_rng((_SEED, crc32(name.encode()), round(1000 * strength)))
    changed = CORRUPTIONS[name].change(shown, strength, random)
    features = {s: changed[s].astype(x.dtype) if s in changed else x for s, x in windows.features.items()}
    return replace(windows, features=features)


def suite(spec: ModelSpec, windows: Windows) -> Iterator[tuple[str, float, Windows]]:
    """Every corruption that can affect the spec's sensors: its name, its strength and the corrupted windows."""
    for name, corruption in CORRUPTIONS.items():
        if corruption.applies(spec):
            for strength in corruption.strengths:
                yield name, strength, corrupted(spec, windows, name, strength)


def _noise(shown: Shown, strength: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    changed = {}
    for sensor, x in shown.of_kinds(_KNOWN).items():
        spread = np.array(_NOISE[shown.kinds[sensor]][: x.shape[-1]], np.float32)
        noisy = x + strength * spread * random.standard_normal(x.shape, np.float32)
        if shown.kinds[sensor] == "depth":
            noisy = np.where(x > 0, noisy.clip(min=0), 0)
        elif shown.kinds[sensor] == "radar":
            noisy = np.where(_is_point(x), noisy, 0)
        changed[sensor] = noisy
    return changed


def _dead(shown: Shown, share: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    changed = {}
    for sensor, x, chosen in shown.by_window(random):
        changed[sensor] = x.copy()
        changed[sensor][chosen, _last(x, share) :] = 0
    return changed


def _stuck(shown: Shown, share: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    changed = {}
    for sensor, x, chosen in shown.by_window(random):
        start = _last(x, share)
        changed[sensor] = x.copy()
        changed[sensor][chosen, start:] = x[chosen, max(0, start - 1), None]
    return changed


def _dropped(shown: Shown, share: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Fills the gaps as the aligner does: signals by linear interpolation, frames by the nearest one."""
    changed = {}
    for sensor, x in shown.of_kinds(_KNOWN).items():
        steps = np.arange(x.shape[1])
        gap = (steps / (_GAP_S * shown.rates_hz[sensor])).astype(int)
        kept = (random.random((len(x), gap[-1] + 1)) >= share)[:, gap]
        kept[~kept.any(1), 0] = True  # a window without any sample would be absent
        before = np.maximum.accumulate(np.where(kept, steps, -1), axis=1)
        after = np.minimum.accumulate(np.where(kept, steps, len(steps))[:, ::-1], axis=1)[:, ::-1]
        before, after = np.where(before < 0, after, before), np.where(after == len(steps), before, after)
        way = ((steps - before) / np.maximum(after - before, 1)).clip(0, 1)
        changed[sensor] = _between(x, before, after, way if _is_signal(shown, sensor) else way.round())
    return changed


def _offset(shown: Shown, seconds: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    sign = random.choice([-1.0, 1.0], size=(len(next(iter(shown.features.values()))), 1))
    changed = {}
    for sensor, x, chosen in shown.by_window(random):
        shift = np.where(chosen[:, None], sign * seconds * shown.rates_hz[sensor], 0)
        place = (np.arange(x.shape[1]) + shift).clip(0, x.shape[1] - 1)
        before = place.astype(int)
        after = (before + 1).clip(max=x.shape[1] - 1)
        way = place - before
        changed[sensor] = _between(x, before, after, way if _is_signal(shown, sensor) else way.round())
    return changed


def _turned(shown: Shown, degrees: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Accelerometer and gyroscope are in one device, so they turn together."""
    sensors = shown.of_kinds(_INERTIAL)
    axes = random.standard_normal((len(next(iter(sensors.values()))), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    turns = Rotation.from_rotvec(np.radians(degrees) * axes).as_matrix().astype(np.float32)
    return {
        sensor: np.einsum("nij,ntcj->ntci", turns, x.reshape(*x.shape[:2], -1, 3)).reshape(x.shape)
        for sensor, x in sensors.items()
    }


def _gain(shown: Shown, share: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Each channel of an inertial sensor has its own gain; all pixels of a depth camera share one."""
    changed = {}
    for sensor, x in shown.of_kinds((*_INERTIAL, "depth")).items():
        channels = x.shape[2:] if shown.kinds[sensor] in _INERTIAL else (1,) * (x.ndim - 2)
        changed[sensor] = x * (1 + share * random.choice([-1, 1], size=(len(x), 1, *channels))).astype(np.float32)
    return changed


def _saturated(shown: Shown, limit_g: float, _: np.random.Generator) -> Mapping[str, np.ndarray]:
    changed = {}
    for sensor, x in shown.of_kinds(_INERTIAL).items():
        of_kind = {"accelerometer": [GRAVITY], "gyroscope": [_RADIANS_PER_S_FOR_A_G]}
        of_imu = np.repeat([GRAVITY, _RADIANS_PER_S_FOR_A_G, np.inf], 3)[: x.shape[2]]  # a compass has no such limit
        limit = limit_g * np.array(of_kind.get(shown.kinds[sensor], of_imu), np.float32)
        changed[sensor] = x.clip(-limit, limit)
    return changed


def _occluded(shown: Shown, share: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Joints near a random one stay where the tracker first saw them; a random block of the image has no depth."""
    changed = {}
    for sensor, x in shown.of_kinds(("skeleton", "depth")).items():
        if shown.kinds[sensor] == "skeleton":
            centre = x.mean(1)  # (N, joints, 3)
            drawn = random.integers(x.shape[2], size=len(x))
            distance = np.linalg.norm(centre - centre[np.arange(len(x)), drawn, None], axis=2)
            nearness = distance.argsort(1, kind="stable").argsort(1, kind="stable")
            hidden = nearness < max(1, round(share * x.shape[2]))
            changed[sensor] = np.where(hidden[:, None, :, None], x[:, :1], x)
        else:
            hidden = np.ones((len(x), 1, *x.shape[2:]), bool)
            for axis, size in ((2, x.shape[2]), (3, x.shape[3])):
                side = round(np.sqrt(share) * size)
                start = random.integers(size - side + 1, size=(len(x), 1, 1, 1))
                pixels = np.arange(size).reshape(1, 1, *((size, 1) if axis == 2 else (1, size)))
                hidden &= (pixels >= start) & (pixels < start + side)
            changed[sensor] = np.where(hidden, 0, x)
    return changed


def _empty(shown: Shown, share: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    return {
        sensor: np.where(random.random((*x.shape[:2], 1, 1)) < share, 0, x)
        for sensor, x in shown.of_kinds(("radar",)).items()
    }


def _last(x: np.ndarray, share: float) -> int:
    """The first step of the window's last ``share``."""
    return x.shape[1] - round(share * x.shape[1])


def _between(x: np.ndarray, before: np.ndarray, after: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Interpolates each window's values (N, steps, ...) by ``way``, from step ``before`` to step ``after``."""
    window = np.arange(len(x))[:, None]
    share = way.astype(np.float32).reshape(*way.shape, *[1] * (x.ndim - 2))
    return x[window, before] * (1 - share) + x[window, after] * share


def _is_signal(shown: Shown, sensor: str) -> bool:
    """Whether values can be interpolated between steps. Images and points cannot."""
    return KINDS[shown.kinds[sensor]].cut == "interpolated"


def _is_point(x: np.ndarray) -> np.ndarray:
    return np.abs(x).sum(3, keepdims=True) > 0


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption("noise", (1, 2, 4), "× 0.5 m/s², 0.1 rad/s, 2 cm of a joint, 5 cm of depth and points", _noise),
    "dead": Corruption("dead sensor", (0.25, 0.5, 1), "last share of the window, in which one sensor reads 0", _dead),
    "stuck": Corruption("stuck sensor", (0.25, 0.5, 1), "last share of the window, in which one stands still", _stuck),
    "dropped": Corruption("dropped samples", (0.2, 0.4, 0.6), "share of the time, in gaps of 0.25 s", _dropped),
    "offset": Corruption("clock offset", (0.1, 0.3, 0.5), "s that one sensor is early or late", _offset, fewest=2),
    "turned": Corruption("mounting", (15, 45, 90), "degrees that the IMU is turned", _turned, _INERTIAL),
    "gain": Corruption("gain", (0.1, 0.25, 0.5), "more or less, each channel", _gain, (*_INERTIAL, "depth")),
    "saturated": Corruption("saturation", (2, 1.5, 1), "g, and 125°/s for each g", _saturated, _INERTIAL),
    "occluded": Corruption(
        "occlusion", (0.1, 0.25, 0.5), "share of the joints or the picture", _occluded, ("skeleton", "depth")
    ),
    "empty": Corruption("empty radar frames", (0.3, 0.6, 0.9), "share of the frames", _empty, ("radar",)),
}
"""The suite, by the names that results use."""
