"""Compares the simulated person with real people: `python tools/mocap_check.py PATH`, a folder of motion capture.

For walking, running, jumping, punching and getting up, it prints what an IMU at the wrist measures in clips of real
motion and of simulated people who do the same: the duration of a get-up, the force and the speed of rotation at the
wrist, its main rhythm, and the spectrum of its acceleration. For simulated people, it prints the median and the 10th
and 90th percentiles.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.signal import welch

from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.inertial import GRAVITY
from cosmo_runtime.sensors.simulation.mocap.motion import MocapMotion
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson

_RATE_HZ = 100.0
_PAIRS = {  # clips of the folder, by the simulated person's name for the activity
    "walk": ("walk",),
    "run on the spot": ("run", "jog"),
    "jump": ("jump",),
    "punch": ("punch",),
    "get up": ("getup facedown", "getup faceup"),
}
_BANDS_HZ = ((0.3, 1.5), (1.5, 3.0), (3.0, 6.0), (6.0, 12.0), (12.0, 25.0))
_SETTLING_S = 0.8  # at the start of an activity, when the previous one may still be visible


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of motion capture, such as DeepMimic's")
    parser.add_argument("--people", type=int, default=20, help="number of simulated people")
    options = parser.parse_args()
    try:
        real = MocapMotion(options.folder, camera=HALF_CAMERA)
    except SensorError as error:
        raise SystemExit(str(error)) from error
    people = [SimulatedPerson(seed, HALF_CAMERA) for seed in range(options.people)]
    table = Table("", box=None)
    for heading in _figures(np.ones((200, 9)), 2.0):
        table.add_column(heading, justify="right")
    for activity, clips in _PAIRS.items():
        for clip in clips:
            for figures in _of(real, clip, real.duration_s, 0.0):
                table.add_row(f"{clip} (real)", *(f"{value:.2g}" for value in figures.values()))
        settling_s = 0.0 if activity == "get up" else _SETTLING_S  # its start is what it is about
        simulated = [figures for person in people for figures in _of(person, activity, 120.0, settling_s)]
        table.add_row(f"{activity} (simulated)", *_spread(simulated))
    Console(width=160).print(table)


def _of(motion: Motion, name: str, until_s: float, settling_s: float) -> List[Dict[str, float]]:
    """The figures of each time the activity of this name is done."""
    starts = motion.activities(until_s)
    found = []
    for start, after in zip(starts, starts[1:]):
        if start.activity == name:
            times_s = np.arange(start.start_s + settling_s, after.start_s, 1 / _RATE_HZ)
            felt = motion.imu(times_s, motion.imu_places[0])
            found.append(_figures(felt, after.start_s - start.start_s))
    return found


def _figures(felt: np.ndarray, seconds: float) -> Dict[str, float]:
    size = np.linalg.norm(felt[:, :3], axis=1) - GRAVITY
    frequencies, power = welch(size, _RATE_HZ, nperseg=min(len(size), 256), detrend="linear")
    inside = (frequencies >= _BANDS_HZ[0][0]) & (frequencies <= _BANDS_HZ[-1][1])
    total = max(float(power[inside].sum()), 1e-12)
    shares = {
        f"{low:g}-{high:g} Hz": float(power[(frequencies >= low) & (frequencies < high)].sum()) / total
        for low, high in _BANDS_HZ
    }
    return {
        "s": seconds,
        "force m/s²": float(size.std()),
        "peak m/s²": float(np.quantile(np.abs(size), 0.99)),
        "turn rad/s": float(np.sqrt((felt[:, 3:6] ** 2).sum(axis=1).mean())),
        "rhythm Hz": float(frequencies[inside][power[inside].argmax()]),
        **shares,
    }


def _spread(found: Sequence[Mapping[str, float]]) -> List[str]:
    cells = []
    for heading in found[0]:
        low, middle, high = np.quantile([figures[heading] for figures in found], [0.1, 0.5, 0.9])
        cells.append(f"{middle:.2g} ({low:.2g}-{high:.2g})")
    return cells


if __name__ == "__main__":
    main()
