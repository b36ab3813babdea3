"""Tests whether what learned from a simulated IMU knows a real one: `python tools/imu_check.py --data PATH`.

It simulates the inertial sensor of UTD-MHAD from the skeletons: on the right wrist in actions 1 to 21, on the right
thigh in 22 to 27. How the real sensor was mounted is unknown. One rotation for each place is found from the signals of
training subjects, without labels. The first table says how alike simulated and real signals of the test subjects are.
The second says how many of their trials a network recognises, by what taught it. All labels of the training subjects
are used. Rows that are "turned at random" do without the mounting: there the network learns from sensors that are worn
in any way.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Callable, Mapping, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from scipy.ndimage import gaussian_filter1d

from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.training.baselines.single_modal import single_modal
from cosmo_runtime.training.benchmark.protocol import Task
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.tables import spread, table
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.datasets.utd_imu import (
    PLACES,
    SMOOTHING_STEPS,
    calibrated,
    imu_spec,
    mounted,
    mounting,
    simulated_trials,
    turned,
    worn_on,
)
from cosmo_runtime.training.evaluate import scores
from cosmo_runtime.training.methods import Lesson
from cosmo_runtime.training.windows import Windows

REAL = replace(PROTOCOLS["utd-a"], spec=imu_spec(), published=None, steps=2800)  # turned sensors need that many
SIMULATED = replace(REAL, read=simulated_trials)

_COPIES = 64  # about as many windows as a training draws, so that each is turned in another way


class Row(NamedTuple):
    """One experiment. ``taught`` returns the windows to learn from, for a seed."""

    taught_by: str
    tested_on: str
    taught: Callable[[int], Windows]
    tested: Windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds utd-mhad")
    parser.add_argument("--held-out", type=numbers, default=(), help="training subjects to test on instead of 7 and 8")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings of each row")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    real, simulated = (
        protocol.task(options.data, options.cache, 100, 0, options.held_out) for protocol in (REAL, SIMULATED)
    )
    rotations = mounting(simulated.training, real.training)
    simulated = simulated._replace(
        training=mounted(simulated.training, rotations), test=mounted(simulated.test, rotations)
    )
    print(likeness(simulated.test, real.test), end="\n\n", flush=True)
    print(accuracies(rows(simulated, real), options.seeds))


def likeness(simulated: Windows, real: Windows) -> str:
    """How alike low-passed signals of the same trials are: medians over the trials."""
    found = []
    for place in PLACES:
        here = worn_on(real, place)
        ours, theirs = (_low_passed(windows.where(here)) for windows in (simulated, real))
        for quantity, half in (("force", slice(0, 3)), ("rate", slice(3, 6))):
            both = [np.dstack([w[..., half], np.linalg.norm(w[..., half], axis=2)]) for w in (ours, theirs)]
            centred = [w - w.mean(axis=1, keepdims=True) for w in both]
            ours_sd, theirs_sd = (w.std(axis=1) for w in both)
            correlations = (centred[0] * centred[1]).mean(axis=1) / (ours_sd * theirs_sd).clip(1e-9)
            for what, values in (("correlation", correlations), ("ratio of SD", ours_sd / theirs_sd.clip(1e-9))):
                found.append([f"{place}, {quantity}: {what}", *(f"{value:.2f}" for value in np.median(values, axis=0))])
    return table(["simulated and real", "x", "y", "z", "magnitude"], found)


def _low_passed(windows: Windows) -> np.ndarray:
    return np.asarray(gaussian_filter1d(np.asarray(windows.features["imu"], float), SMOOTHING_STEPS, axis=1))


def rows(simulated: Task, real: Task) -> list[Row]:
    """The experiments. The simulated windows are mounted as the real sensor is."""
    as_real, as_simulated = real.training, simulated.training
    strong = calibrated(as_simulated, as_simulated, as_real)
    return [
        Row("real", "real", lambda seed: as_real, real.test),
        Row("simulated", "real", lambda seed: as_simulated, real.test),
        Row("simulated, as strong as real", "real", lambda seed: strong, real.test),
        Row("simulated and real", "real", lambda seed: Windows.concatenate([as_simulated, as_real]), real.test),
        Row("simulated", "simulated", lambda seed: as_simulated, simulated.test),
        Row("real, turned at random", "real", lambda seed: turned(as_real, _COPIES, seed), real.test),
        Row("simulated, turned at random", "real", lambda seed: turned(as_simulated, _COPIES, seed), real.test),
    ]


def accuracies(experiments: list[Row], seeds: int) -> str:
    """Trains each row with each seed."""
    found = []
    with Progress(console=Console(stderr=True)) as progress:
        for row in experiments:
            runs = [_scores(row, seed, progress) for seed in range(seeds)]
            cells = [spread([100 * run[score] for run in runs]) for score in ("accuracy", "macro_f1")]
            found.append([row.taught_by, row.tested_on, str(len(row.tested)), *cells])
    return table(["taught by", "tested on", "trials", "accuracy, %", "macro F1, %"], found)


def _scores(row: Row, seed: int, progress: Progress) -> Mapping[str, float]:
    windows = row.taught(seed)
    predict = single_modal("imu")(Lesson(REAL.spec, windows, REAL.budget(windows), seed, progress))
    return scores(row.tested.labels, predict(row.tested).argmax(1))


if __name__ == "__main__":
    try:
        main()
    except DataSetError as error:
        raise SystemExit(str(error)) from error
