"""Measures how many spread labels are right, by the training people's true labels, which no method sees.

    python tools/measure/spreading.py utd-b --data PATH
    python tools/measure/spreading.py utd-b --data PATH --held-out 1,2

Each form of Cosmo spreads the few labels from the same stage 1. Windows that no label reaches count as wrong.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.training.benchmark.comparison import PARTS, ROWS
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.tables import table
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.methods import Lesson
from cosmo_runtime.training.windows import UNLABELLED, Windows

_FORMS = {
    row.title: row.learner
    for row in {**ROWS, **PARTS}.values()
    if isinstance(row.learner, Cosmo) and row.learner.spread and not row.learner.mined
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--rate", type=int, default=5, help="percentage of the windows with a label (default: 5)")
    parser.add_argument("--held-out", type=numbers, default=(), help="training people to leave out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    protocol = PROTOCOLS[options.protocol]
    task = protocol.task(options.data, options.cache, options.rate, options.seed, options.held_out)
    windows, all_windows = task.training, protocol.windows(options.data, options.cache)
    people = protocol.people(all_windows)
    truth = all_windows.where(np.isin(people, protocol.train) & ~np.isin(people, options.held_out)).labels
    with Progress(console=Console(stderr=True)) as progress:
        encoders = Cosmo().pretrain(Lesson(protocol.spec, windows, task.budget, options.seed, progress))
    z, presence, _ = embed(encoders, windows)
    right = {title: share_right(form, protocol.spec, windows, truth, z, presence) for title, form in _FORMS.items()}
    count = np.count_nonzero(windows.labels == UNLABELLED)
    print(table([f"right of {count} spread labels", ""], [[title, f"{share:.1%}"] for title, share in right.items()]))


def share_right(
    form: Cosmo, spec: ModelSpec, windows: Windows, truth: np.ndarray, z: Tensor, presence: Tensor
) -> float:
    """The share of the windows without a label that get the right one; ``truth`` (N,) is all labels."""
    numbered = replace(windows, recordings=np.arange(len(windows)).astype(str))
    spread, _ = form.spread_labels(spec, numbered, z, presence)
    right = np.zeros(len(windows), bool)
    reached = spread.recordings.astype(int)
    right[reached] = spread.labels == truth[reached]
    return float(right[windows.labels == UNLABELLED].mean())


if __name__ == "__main__":
    try:
        main()
    except DataSetError as error:
        raise SystemExit(str(error)) from error
