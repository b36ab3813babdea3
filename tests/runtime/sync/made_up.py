"""Motion that sensors would see, made up, with a shift that is known."""

from __future__ import annotations

from typing import Dict, List, Tuple

import numpy as np

from cosmo_runtime.runtime.sync.motion import Moment
from cosmo_runtime.sensors.events import Sample

BEGIN_NS = 10**12
RATES_HZ = {"imu": 100.0, "depth": 15.0, "radar": 20.0}


def bursts(seconds: float, seed: int = 0, widths_s: Tuple[float, float] = (0.06, 0.2)) -> np.ndarray:
    """Irregular motion at 1000 steps a second: bursts of all lengths."""
    rng = np.random.default_rng(seed)
    motion = np.full(round(seconds * 1000) + 6000, 0.05)
    around_s = np.arange(-2, 2, 0.001)
    for start in rng.integers(0, len(motion) - len(around_s), round(seconds)):
        burst = rng.uniform(0.3, 3) * np.exp(-0.5 * (around_s / rng.uniform(*widths_s)) ** 2)
        motion[start : start + len(burst)] += burst
    return motion[3000:-3000]


def steps(seconds: float) -> np.ndarray:
    """Motion that repeats itself exactly, twice a second."""
    return 1 + np.sin(4 * np.pi * np.arange(round(seconds * 1000)) / 1000)


def seen(
    motion: np.ndarray, noise: float = 0.1, seed: int = 1, slow_ppm: float = 0.0, **delays_s: float
) -> Dict[str, List[Moment]]:
    """What sensors of these delays see of a motion, each at its own rate and with its own noise."""
    rng = np.random.default_rng(seed)
    told = {}
    for name, delay_s in delays_s.items():
        at_s = np.arange(int((len(motion) / 1000 - 0.01) * RATES_HZ[name])) / RATES_HZ[name]
        values = np.abs(motion[np.round(at_s * 1000).astype(int)] + rng.normal(0, noise, len(at_s)))
        late_s = at_s + delay_s + (at_s * slow_ppm * 1e-6 if name == "radar" else 0)
        told[name] = [Moment(BEGIN_NS + round(at * 1e9), float(value)) for at, value in zip(late_s, values)]
    return told


def samples(moments: Dict[str, List[Moment]], begin_s: float = 0.0) -> List[Sample]:
    """Samples of an IMU that turns, and of a radar whose only point moves, as these moments say."""
    made = []
    for name, of in moments.items():
        for moment in of:
            data = np.zeros(9, np.float32) if name == "imu" else np.zeros((1, 5), np.float32)
            data[..., 3] = moment.motion
            if name == "imu":
                data[2] = 9.81
            stamp_ns = moment.stamp_ns + round(begin_s * 1e9)
            made.append(Sample(name, stamp_ns, stamp_ns, data))
    return sorted(made, key=lambda sample: sample.arrival_ns)
