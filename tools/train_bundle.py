"""Trains a bundle for an emulated rig: the simulated person, whose bundle ships, or UTD-MHAD.

    python tools/train_bundle.py person --out models/bundles/person
    python tools/train_bundle.py utd --data PATH/utd-mhad --out PATH/utd-bundle

Motions become events, events become windows in the runtime's own aligner, and windows become features as in a live
run; both stages of Cosmo learn from them. People (subjects) that test the bundle are never trained on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Tuple

import numpy as np
import torch

from models.spec import ModalitySpec, ModelSpec
from sensors.emulation.utd import ACTIVITIES, REST
from training.datasets.motion import simulated_people, utd_streams
from training.methods import Budget
from training.train import train_bundle

PERSON_CLASSES = (
    "stand still", "walk", "run on the spot", "sit down", "stand up", "squat", "jump", "wave", "clap", "punch", "bend",
    "fall", "get up",
)  # fmt: skip
PERSON_TRAIN, PERSON_TEST = range(40), range(900, 908)
PERSON_MINUTES = 2.5
UTD_TRAIN, UTD_TEST = range(1, 7), range(7, 9)
TRAIN_EVERY = 2  # window: neighbours share three quarters and more, and the augmentation shifts them in time


def person_spec() -> ModelSpec:
    return _spec(depth=(27, 48), window_s=2.0, classes=PERSON_CLASSES)


def utd_spec() -> ModelSpec:
    return _spec(depth=(30, 40), window_s=3.0, classes=(*ACTIVITIES.values(), REST))


def _spec(depth: Tuple[int, int], window_s: float, classes: Tuple[str, ...]) -> ModelSpec:
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="imu", rate_hz=50, shape=(6,)),
            ModalitySpec(sensor="depth", rate_hz=10, shape=depth),
            ModalitySpec(sensor="radar", rate_hz=20, shape=(32, 5)),
        ),
        window_s=window_s,
        hop_s=0.5,
        classes=classes,
        quality=(1 / 3, 1 / 3, 1 / 3),  # until they are measured
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("person", "utd"))
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--data", type=Path, default=Path(), help="folder of UTD-MHAD (utd only)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "cosmo-runtime", help="of windows")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums in another order give other weights; they must not depend on the machine's cores
    if options.kind == "person":
        spec, budget = person_spec(), Budget(pretrain_epochs=6, epochs=25, batch=32)
        train, test = (
            simulated_people(people, 60 * PERSON_MINUTES, spec, options.cache) for people in (PERSON_TRAIN, PERSON_TEST)
        )
        data = f"simulated people {PERSON_TRAIN[0]} to {PERSON_TRAIN[-1]}, {PERSON_MINUTES:g} minutes each"
    else:
        spec, budget = utd_spec(), Budget(pretrain_epochs=8, epochs=30, batch=64)  # chosen with 1 to 4 against 5 and 6
        train, test = (utd_streams(options.data, people, spec, options.cache) for people in (UTD_TRAIN, UTD_TEST))
        data = "UTD-MHAD subjects 1 to 6: real IMU and depth, radar synthesised from the skeleton"
    bundle = train_bundle(
        spec,
        train.where(np.arange(0, len(train), TRAIN_EVERY)),
        options.out,
        held_out={"test people": test.labelled},
        provenance={"command": shlex.join(["python", *sys.argv]), "data": data},
        budget=budget,
        seed=options.seed,
    )
    print(json.dumps(bundle.metrics, indent=2))


if __name__ == "__main__":
    main()
