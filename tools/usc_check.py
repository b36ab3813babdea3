"""Shows why USC-HAD is hard: how people wore the sensor, and which activities Cosmo takes for others.

    python tools/usc_check.py --data PATH --held-out 8,9,10

The first table is the direction of gravity in the accelerometer while each subject sleeps. The second says how the
windows of held-out training subjects are answered: Cosmo learns from the other training subjects, with 10 % of their
labels. Subjects 11 to 14, who test the comparison, appear in the first table only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.tables import table
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.methods import Lesson
from cosmo_runtime.training.windows import Windows

_RATE = 10
_PROTOCOL = PROTOCOLS["usc"]
_CLASSES = _PROTOCOL.spec.classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds usc-had")
    parser.add_argument("--held-out", type=numbers, default=(8, 9, 10), help="training subjects to test on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(gravity(_PROTOCOL.windows(options.data, options.cache), "sleep"), end="\n\n", flush=True)
    task = _PROTOCOL.task(options.data, options.cache, _RATE, options.seed, options.held_out)
    with Progress(console=Console(stderr=True)) as progress:
        trained = Cosmo().train(Lesson(_PROTOCOL.spec, task.training, task.budget, options.seed, progress))
    print(answers(task.test.labels, trained.predict(task.test).argmax(1)))


def gravity(windows: Windows, activity: str) -> str:
    """The mean acceleration of each subject in an activity, in m/s² along the sensor's axes."""
    doing = windows.labels == _CLASSES.index(activity)
    rows = [[f"subject, {activity}", "x", "y", "z"]]
    for subject in np.unique(windows.groups):
        mean = windows.features["accelerometer"][doing & (windows.groups == subject)].mean((0, 1))
        rows.append([str(subject), *(f"{axis:.1f}" for axis in mean)])
    return table(rows[0], rows[1:])


def answers(labels: np.ndarray, predicted: np.ndarray) -> str:
    """How often each activity is right, and what it is taken for otherwise."""
    rows = [["activity", "windows", "right", "mostly taken for"]]
    for label in np.unique(labels):
        said = np.bincount(predicted[labels == label], minlength=len(_CLASSES)) / (labels == label).sum()
        others = [other for other in np.argsort(-said)[:3] if other != label and said[other] >= 0.02]
        taken = ", ".join(f"{_CLASSES[other]} {said[other]:.0%}" for other in others)
        rows.append([_CLASSES[label], str((labels == label).sum()), f"{said[label]:.0%}", taken])
    rows.append(["all", str(len(labels)), f"{(predicted == labels).mean():.1%}", ""])
    return table(rows[0], rows[1:])


if __name__ == "__main__":
    try:
        main()
    except DataSetError as error:
        raise SystemExit(str(error)) from error
