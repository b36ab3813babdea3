"""Chooses how the model of everyday activities is read with each set of its sensors.

    python tools/choose_readings.py --data PATH/utd-mhad

Subjects 1 and 2, 3 and 4, 5 and 6 of UTD-MHAD are left out in turn, and a model learns from the other four as
``tools/train_everyday.py`` teaches it. The answers about those left out, and about simulated people who taught none of
the models, give the readings (``training.readings``). Subjects 7 and 8 have no part in it. The file is
``tools/everyday_readings.json``. The command also prints what is right in the windows of those left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable, Sequence

import torch
from rich.progress import Progress

from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.places import cache_folder
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.tools.train_everyday import READINGS, RISK, STEPS, beginnings, lessons
from cosmo_runtime.training.any_subset import learn
from cosmo_runtime.training.benchmark.everyday import of_real_people
from cosmo_runtime.training.datasets.everyday import everyday_spec, real_people, simulated
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.pretrained import PretrainedError
from cosmo_runtime.training.readings import HeldOut, ReadingsError, choose_readings

PAIRS = (1, 2), (3, 4), (5, 6)
PEOPLE, SECONDS = range(880, 904), 150.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    torch.set_num_threads(1)  # another order of sums gives other weights
    made_up = simulated(PEOPLE, SECONDS, options.cache)
    with Progress() as progress:
        task = progress.add_task("learning", total=len(PAIRS) * STEPS)
        held_out = [
            HeldOut(
                _taught(options, pair, lambda *_: progress.advance(task)),
                real_people(options.data, pair, options.cache),
                made_up,
            )
            for pair in PAIRS
        ]
    readings = choose_readings(everyday_spec(), held_out, RISK)
    rows = [reading.model_dump(mode="json") for reading in readings]
    write_whole(READINGS, (json.dumps(rows, indent=1) + "\n").encode())
    print(READINGS)
    spec = everyday_spec().model_copy(update={"readings": readings})
    for pair, one in zip(PAIRS, held_out):
        found = of_real_people(one.network, one.real, spec)
        print(f"subjects {pair}:", ", ".join(f"{name} {scores['right']:.1%}" for name, scores in found.items()))


def _taught(
    options: argparse.Namespace, left_out: Sequence[int], on_step: Callable[[int, float], None]
) -> CosmoNetwork:
    """A model of four of subjects 1 to 6."""
    subjects = [subject for pair in PAIRS for subject in pair if subject not in left_out]
    origins = lessons(options.data, subjects, "", (), options.cache, seed=0)
    return learn(everyday_spec(), origins, steps=STEPS, seed=0, start=beginnings(), on_step=on_step)


if __name__ == "__main__":
    try:
        main()
    except (DataSetError, PretrainedError, ReadingsError, SensorError) as error:
        raise SystemExit(str(error)) from error
