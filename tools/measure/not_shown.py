"""Measures what a fine-tuned model makes of what its session did not show: falls, and other activities of strangers.

    python tools/measure/not_shown.py utd --data PATH/utd-mhad --people 7,8 --base PATH/everyday-0 --windows 2,8,100
    python tools/measure/not_shown.py simulated --people 930 --base PATH/everyday-0 --show squat,punch --windows 4,100

The base learns windows of one person, as ``few_examples.py`` draws them, and is then asked about simulated people whom
nobody has learned from: 24 of them, 150 s each. ``alone`` is the new classifier without the one before it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cosmo_runtime.models.bundle import BundleError
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.mixture import Mixture
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.tools.measure.few_examples import Person, drawn, people
from cosmo_runtime.training.adapt.base import Base, load_base
from cosmo_runtime.training.adapt.finetune import FineTuned, fine_tune
from cosmo_runtime.training.benchmark.everyday import of_simulated_people, require_strangers
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.datasets.everyday import CLASSES, simulated
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import UNLABELLED, Windows

UNSEEN, SECONDS = range(904, 928), 150.0


def alone(model: FineTuned) -> tuple[CosmoNetwork, ModelSpec]:
    """The new classifier without the one before it, and how it would be read."""
    mixture = model.network.classifier
    assert isinstance(mixture, Mixture), "the session shows all that the base knows"
    network = CosmoNetwork(model.spec, model.network.fusion, examples=1)
    network.encoders, network.classifier = model.network.encoders, mixture.new  # type: ignore[assignment]
    usual, of_sets = mixture.new_read.temperatures()
    readings = tuple(
        reading.model_copy(update={"temperature": temperature})
        for reading, temperature in zip(model.spec.readings, of_sets)
    )
    return network.eval(), model.spec.model_copy(update={"temperature": usual, "readings": readings})


def showing(person: Person, activities: Sequence[str]) -> Person:
    """The same person, with labels for some activities only; for all if none are named."""
    if not activities:
        return person
    shown = [number for number, name in enumerate(person.activities) if name in activities]
    labels = np.where(np.isin(person.windows.labels, shown), person.windows.labels, UNLABELLED)
    return person._replace(windows=replace(person.windows, labels=labels))


def measure(options: argparse.Namespace, base: Base, strangers: Windows) -> List[Dict[str, Any]]:
    """One row for each person and number of windows, and one for the base."""
    assert base.network is not None
    rows = [{"session": "none", "before": of_simulated_people(base.network, strangers, base.spec)}]
    for person in people(options, base):
        z = embed(base.encoders, person.windows)[0]
        for each in options.windows:
            draw = drawn(showing(person, options.show), z, base, each, 0)
            session = replace(draw.session, windows=draw.session.windows.labelled_only_where(draw.chosen))
            model = fine_tune(base, session, draw.chosen, 0, lambda share: None)
            network, spec = alone(model)
            rows.append(
                {
                    "session": f"{person.name}, {each}",
                    "way": "compared" if model.compares else "trained",
                    "alone": of_simulated_people(network, strangers, spec),
                    "after": of_simulated_people(model.network, strangers, model.spec),
                }
            )
    return rows


def table(rows: Sequence[Dict[str, Any]]) -> Table:
    """Right, falls found and false falls an hour, for each set of sensors."""
    shown = Table("person, windows", "classifier", "sensors", "right, %", "falls found", "false an hour", box=None)
    for row in rows:
        for part in ("before", "alone", "after"):
            for subset, of in row.get(part, {}).items():
                found = f"{of['falls found'] * of['falls']:.0f} of {of['falls']}"
                right, false = f"{of['right']:.1%}", f"{of['false falls an hour']:.1f}"
                name = part if part == "before" else f"{row['way']}, {part}"
                shown.add_row(row["session"], name, subset, right, found, false)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("utd", "simulated"))
    parser.add_argument(
        "--people", type=numbers, required=True, help="subjects of UTD-MHAD, or seeds of simulated ones"
    )
    parser.add_argument("--base", type=Path, required=True, help="bundle of everyday activities to start from")
    parser.add_argument("--data", type=Path, default=Path(), help="folder of UTD-MHAD (utd only)")
    parser.add_argument("--windows", type=numbers, default=(2, 8, 100), help="most labelled windows of each activity")
    parser.add_argument("--show", type=lambda text: text.split(","), default=[], help="label only these activities")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        base = load_base(options.base)
        if base.spec.classes != CLASSES:
            parser.error(f"--base: {options.base} is not a model of everyday activities")
        if options.kind == "utd":
            require_strangers(base, options.people)
    except BundleError as error:
        parser.error(f"--base: {error}")
    rows = measure(options, base, simulated(UNSEEN, SECONDS, options.cache))
    Console().print(table(rows))
    if options.json:
        write_whole(options.json, json.dumps(rows, indent=1).encode() + b"\n")


if __name__ == "__main__":
    try:
        main()
    except (DataSetError, SensorError) as error:
        raise SystemExit(str(error)) from error
