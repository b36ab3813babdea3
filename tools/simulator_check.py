"""Checks the simulated IMU against reality: `python tools/simulator_check.py PATH`, the folder that holds utd-mhad.

In actions 1 to 21 of UTD-MHAD the sensor is on the right wrist. For each of these trials, the wrist's IMU is
synthesised from the camera's skeleton, with the physics of the simulated person. The magnitude of its acceleration is
correlated with that of the real IMU. Both are low-passed, because a skeleton of about 20 frames per second with a
centimetre of noise carries no more. The Kinect's skeleton lags the IMU by a constant. The figures are therefore given
as recorded, and with the one lag that fits all trials best.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import butter, sosfiltfilt

from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.inertial import GRAVITY
from cosmo_runtime.sensors.simulation.utd import IMU_RATE_HZ, ON_THE_WRIST, load, trial_names
from cosmo_runtime.sensors.simulation.utd_imu import worn_imu

CUTOFFS_HZ = (3.0, 5.0)
LAGS_S = (0.0, 0.02, 0.04, 0.06, 0.08, 0.10, 0.12)


def correlations(folder: Path, name: str) -> np.ndarray:
    """Correlates one trial. Returns (cut-offs, lags)."""
    real = np.linalg.norm(load(folder, "inertial", name)[:, :3], axis=1) * GRAVITY
    skeleton = load(folder, "skeleton", name)
    times_s = np.arange(len(real)) / IMU_RATE_HZ
    result = np.empty((len(CUTOFFS_HZ), len(LAGS_S)))
    for column, lag_s in enumerate(LAGS_S):
        force = worn_imu(skeleton, len(real) / IMU_RATE_HZ, times_s, "wrist", lag_s)[:, :3]
        for row, cutoff_hz in enumerate(CUTOFFS_HZ):
            low_pass = butter(4, cutoff_hz, fs=IMU_RATE_HZ, output="sos")
            both = sosfiltfilt(low_pass, [np.linalg.norm(force, axis=1), real])
            result[row, column] = np.corrcoef(both)[0, 1]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir", type=Path, help="folder that holds utd-mhad")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    folder = arguments.data_dir / "utd-mhad"
    try:
        names = trial_names(folder, subjects=range(1, 9), actions=ON_THE_WRIST)
        steps = track(names, "Correlating trials", console=Console(stderr=True))
        quartiles = np.percentile([correlations(folder, name) for name in steps], [25, 50, 75], axis=0)
    except SensorError as error:
        print(error, file=sys.stderr)
        return 1

    rows: list[dict[str, float]] = []
    for cutoff_hz, by_lag in zip(CUTOFFS_HZ, quartiles.transpose(1, 2, 0)):
        for lag in (0, int(by_lag[:, 1].argmax())):
            low, median, high = (round(float(value), 3) for value in by_lag[lag])
            rows.append(
                {
                    "low_pass_hz": cutoff_hz,
                    "lag_s": LAGS_S[lag],
                    "lower_quartile": low,
                    "median": median,
                    "upper_quartile": high,
                }
            )
    if arguments.json:
        print(json.dumps({"trials": len(names), "correlation_of_acceleration_magnitude": rows}))
        return 0
    table = Table(title=f"Acceleration magnitude at the wrist, simulated and real, {len(names)} trials")
    for heading in rows[0]:
        table.add_column(heading.replace("_", " "))
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
