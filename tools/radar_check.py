"""Asks the everyday model about a real radar whose configuration differs from the shipped one: RadHAR's.

    python tools/radar_check.py --data PATH/radhar

RadHAR's IWR1443 keeps the echoes of walls and furniture, and tells speeds apart in steps of 0.61 m/s. The model learned
from moving points alone, in steps of 0.13 m/s. It is asked twice: about all points, and about those that move. RadHAR
has no camera and no IMU.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from cosmo_runtime.models.bundle import BundleError, load_bundle
from cosmo_runtime.models.networks import CosmoNetwork, load_network
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NONE
from cosmo_runtime.places import cache_folder
from cosmo_runtime.training.benchmark.everyday import SUBSETS, Answers
from cosmo_runtime.training.benchmark.tables import table
from cosmo_runtime.training.datasets import radhar
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.evaluate import read
from cosmo_runtime.training.windows import Windows

_NAMES = {"boxing": "punch", "jumping jacks": NONE, "jumping": "jump", "squats": "squat", "walking": "walk"}
_ALONE = "with radar alone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="RadHAR's archive, or its folder")
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE, help="the model (default: the shipped one)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(options.bundle)
    recorded = radhar.windows(options.data, radhar.radhar_spec(), options.cache)
    points = recorded.features["radar"]
    still = (np.abs(points).sum(-1) > 0) & (points[..., 3] == 0)
    moving = np.where(still[..., None], 0, points)
    print(f"{still.sum() / (np.abs(points).sum(-1) > 0).sum():.0%} of all points stand still\n")
    network = load_network(bundle)
    said = [answers(network, bundle.spec, as_windows(bundle.spec, some, recorded)) for some in (points, moving)]
    print(compared(np.array(radhar.CLASSES)[recorded.labels], *said))


def as_windows(spec: ModelSpec, points: np.ndarray, recorded: Windows) -> Windows:
    """Windows of a model with three sensors, from points (N, steps, points, 5) of RadHAR's radar; the others absent."""
    modality = next(m for m in spec.modalities if m.sensor == "radar")
    every = round(radhar.RATE_HZ / modality.rate_hz)
    taken = np.asarray(points)[:, every - 1 :: every]
    first = np.argsort(np.abs(taken).sum(-1) == 0, axis=2, kind="stable")  # points before empty places, in their order
    strongest = np.take_along_axis(taken, first[..., None], axis=2)[:, :, : modality.shape[0]]
    n = len(taken)
    features = {m.sensor: np.zeros((n, spec.steps(m), *m.shape), np.float32) for m in spec.modalities}
    return Windows(
        features={**features, "radar": strongest.astype(np.float32)},
        kinds=spec.kinds,
        presence=np.array([[m.sensor == "radar" for m in spec.modalities]] * n),
        labels=recorded.labels,
        groups=recorded.groups,
        recordings=recorded.recordings,
    )


def answers(network: CosmoNetwork, spec: ModelSpec, windows: Windows) -> np.ndarray:
    """The most probable activity of each window, by name."""
    probabilities, there = Answers(network, windows)(SUBSETS[_ALONE])
    return np.array(spec.classes)[read(spec, probabilities, there)[0].argmax(1)]


def compared(true: np.ndarray, *said: np.ndarray) -> str:
    """How often each activity is right, and what it is mostly taken for."""
    head = ["activity", "windows"]
    head += [cell for points in ("all points", "moving points")[: len(said)] for cell in (f"right, {points}", "mostly")]
    rows = [[name, str((true == name).sum()), *_cells(true == name, ours, said)] for name, ours in _NAMES.items()]
    named = np.array([_NAMES[name] for name in true])
    of_ours = named != NONE
    total = [cell for answer in said for cell in (f"{(answer == named)[of_ours].mean():.1%}", "")]
    return table(head, [*rows, ["the four that it has a name for", str(of_ours.sum()), *total]])


def _cells(these: np.ndarray, ours: str, said: tuple[np.ndarray, ...]) -> list[str]:
    cells = []
    for answer in said:
        ((name, count),) = Counter(answer[these]).most_common(1)
        cells += [f"{(answer[these] == ours).mean():.1%}", f"{name}, {count / these.sum():.0%}"]
    return cells


if __name__ == "__main__":
    try:
        main()
    except (BundleError, DataSetError) as error:
        raise SystemExit(str(error)) from error
