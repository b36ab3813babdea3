"""Measures bundles of `tools/train_everyday.py`, and writes the figures and their page.

    python tools/everyday.py --data PATH/utd-mhad --models PATH --json everyday.json --page everyday.md

Each folder in PATH is a bundle, named after its kind and its seed: ``everyday-0``, ``everyday-1``, ``zero-shot-0``,
``without-rotation-0``. The figures of a kind are means over its seeds. No model has seen the people in the figures:
real people are subjects 7 and 8 of UTD-MHAD, or the bundle's test people if it names others.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np
import torch

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.networks import load_network
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.training.benchmark.everyday import (
    falls_called,
    of_real_people,
    of_simulated_people,
    require_strangers,
)
from cosmo_runtime.training.benchmark.tables import table
from cosmo_runtime.training.datasets.everyday import real_people, simulated
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.datasets.utd import SUBJECTS

_COMMAND = "python tools/everyday.py --data PATH/utd-mhad --models PATH --json everyday.json --page everyday.md"
_LAST_LINES = f"{_COMMAND}\n```"

_LEARNED_FROM = {
    "everyday": "real and simulated people: `everyday`",
    "zero-shot": "simulated people alone",
    "zero-shot-mocap": "simulated people and motion capture",
    "zero-shot-mocap-without-acting": "simulated people and motion capture, none acts on request",
    "zero-shot-without-acting": "simulated people, none acts on request",
    "zero-shot-without-calibration": "simulated people, signals not calibrated",
    "zero-shot-without-camera": "simulated people, always the same camera",
    "zero-shot-without-room": "simulated people, never cut out of their room",
    "zero-shot-without-rotation": "simulated people, sensors never turned",
}

UNSEEN, SECONDS = range(904, 928), 150.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    parser.add_argument("--models", type=Path, required=True, help="folder of bundles")
    parser.add_argument("--test", type=numbers, default=(7, 8), help="subjects of UTD-MHAD")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--page", type=Path, help="file for the page; what people wrote below its commands stays")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [path for path in sorted(options.models.iterdir()) if re.fullmatch(r".+-\d+", path.name)]
    figures = {path.name: measured(load_bundle(path), options.data, options.test, options.cache) for path in found}
    write_whole(options.json, (json.dumps(figures, indent=1) + "\n").encode())
    if options.page:
        before = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
        write_whole(options.page, (page(figures) + below_the_commands(before)).encode())


def measured(bundle: Bundle, data: Path, test: Sequence[int], cache: Path) -> Dict[str, Any]:
    """All figures of one bundle.

    Raises:
        BundleError: it learned from the subjects that test.
    """
    require_strangers(bundle, test)
    network = load_network(bundle)
    everybody, strangers = list(SUBJECTS), list(test)
    return {
        "command": _anywhere(bundle),
        "real people": of_real_people(network, real_people(data, strangers, cache), bundle.spec),
        "windows called fall": {
            "subjects that test": falls_called(network, real_people(data, strangers, cache), bundle.spec),
            "all subjects": falls_called(network, real_people(data, everybody, cache), bundle.spec),
            "all subjects, the sensor on the thigh": falls_called(
                network, real_people(data, everybody, cache, True), bundle.spec
            ),
        },
        "simulated people": of_simulated_people(network, simulated(UNSEEN, SECONDS, cache), bundle.spec),
    }


def _anywhere(bundle: Bundle) -> str:
    """The command that made a bundle, without paths of this machine."""
    command = re.sub(r" --cache \S+", "", bundle.provenance["command"])
    command = re.sub(r"--data \S+", "--data PATH/utd-mhad", command)
    command = re.sub(r"--mocap \S+", "--mocap PATH/deepmimic/data/motions", command)
    return re.sub(r"--out \S+", f"--out PATH/{bundle.path.name}", command)


def page(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    seeds: Dict[str, List[Any]] = defaultdict(list)
    for name, found in figures.items():
        seeds[name.rpartition("-")[0]].append(found)
    shipped = seeds["everyday"]
    others = {name: found for name, found in seeds.items() if name != "everyday"}
    return "\n\n".join(
        [
            "# Everyday activities",
            "How well a model recognises two people whom it has never seen: subjects 7 and 8 of UTD-MHAD. Figures are "
            f"means of {len(shipped)} seeds, with the lowest and the highest in brackets. A window lasts two seconds, "
            "and its true activity is the one at its middle. Two windows begin each second, and nothing is smoothed.",
            "## Real people",
            _real(shipped),
            _by_activity(shipped),
            "## Falls",
            _falls(shipped),
            *(["## Learned from less", _less({"everyday": shipped, **others})] if others else []),
            "## Commands",
            "\n".join(["```sh", *_commands(figures), _LAST_LINES]),
        ]
    )


def _commands(figures: Mapping[str, Any]) -> List[str]:
    """The commands that made the models, one for all seeds of a kind."""
    of_any_seed: Dict[str, List[str]] = defaultdict(list)
    for name, found in figures.items():
        seed = name.rpartition("-")[2]
        command = re.sub(r" --seed \d+", "", found["command"])
        of_any_seed[re.sub(rf" (--out \S+-){seed}(?=\s|$)", r" --seed $seed \1$seed", command)].append(seed)
    by_seeds: Dict[str, List[str]] = defaultdict(list)
    for command, seeds in of_any_seed.items():
        by_seeds[" ".join(seeds)].append(command)
    lines: List[str] = []
    for seeds_of_all, commands in by_seeds.items():
        lines += [f"for seed in {seeds_of_all}; do", *(f"  {command}" for command in commands), "done"]
    return lines


def below_the_commands(page: str) -> str:
    """What people wrote on a page, below what this tool writes."""
    return page.partition(_LAST_LINES)[2] or "\n"


def _real(seeds: Sequence[Any]) -> str:
    right = "its activities: right", "right and said", "wave, clap, punch: right"
    unsure = "`uncertain`", "wrong of the others"
    rows = [["sensors", "windows", *right, "other actions called its own", *unsure, "ECE"]]
    for subset, first in seeds[0]["real people"].items():
        of = [found["real people"][subset] for found in seeds]
        rows.append(
            [
                subset,
                f"{first['like-named windows']} + {first['windows'] - first['like-named windows']}",
                _mean([one["right"] for one in of]),
                f"{np.mean([one['right and said'] for one in of]):.1%}",
                *(_mean([one[key] for one in of]) for key in ("right, wrist actions", "called ours")),
                f"{1 - np.mean([one['answered'] for one in of]):.0%}",
                f"{np.mean([one['wrong of the answered'] for one in of]):.1%}",
                f"{np.mean([one['ECE'] for one in of]):.3f}",
            ]
        )
    return table(rows[0], rows[1:])


def _by_activity(seeds: Sequence[Any]) -> str:
    subsets = ("all sensors", "without the IMU", "with depth alone", "with the IMU alone")
    names = list(seeds[0]["real people"]["all sensors"]["by activity"])
    rows = [["right, of", *subsets]]
    for name in names:
        shares = [[one["real people"][subset]["by activity"].get(name) for one in seeds] for subset in subsets]
        rows.append([name, *("–" if None in share else f"{np.mean(share):.0%}" for share in shares)])
    return table(rows[0], rows[1:])


def _falls(seeds: Sequence[Any]) -> str:
    rows = [
        [
            "sensors",
            "simulated falls found",
            "false falls per hour",
            "windows of UTD-MHAD called fall",
            "the same, IMU on the thigh",
        ]
    ]
    for subset, first in seeds[0]["simulated people"].items():
        made_up = [found["simulated people"][subset] for found in seeds]
        called = [found["windows called fall"] for found in seeds]
        rows.append(
            [
                subset,
                f"{np.mean([one['falls found'] for one in made_up]):.1%} of {first['falls']}",
                f"{np.mean([one['false falls an hour'] for one in made_up]):.1f} in {first['hours']:.1f} h",
                ", ".join(str(one["all subjects"][subset]) for one in called),
                ", ".join(str(one["all subjects, the sensor on the thigh"][subset]) for one in called),
            ]
        )
    return table(rows[0], rows[1:])


def _less(groups: Mapping[str, Sequence[Any]]) -> str:
    subsets = ("all sensors", "without the IMU", "with depth alone", "with the IMU alone")
    rows = [["learned from", "seeds", *(f"right, {subset}" for subset in subsets)]]
    for name, seeds in groups.items():
        rows.append(
            [
                _LEARNED_FROM.get(name, name),
                str(len(seeds)),
                *(_mean([one["real people"][subset]["right"] for one in seeds]) for subset in subsets),
            ]
        )
    return table(rows[0], rows[1:])


def _mean(values: Sequence[float]) -> str:
    spread = f" ({min(values):.1%} to {max(values):.1%})" if len(values) > 1 else ""
    return f"{np.mean(values):.1%}{spread}"


if __name__ == "__main__":
    try:
        main()
    except (BundleError, DataSetError, SensorError) as error:
        raise SystemExit(str(error)) from error
