"""Measures how many falls raise their alarm, with each set of sensors and different times of an episode.

    python tools/measure/fall_alarms.py --bundle PATH/everyday-0 --data PATH/utd-mhad --subjects 7,8 --people 904-927
    python tools/measure/fall_alarms.py --bundle PATH/choosing-0 --data PATH/utd-mhad --subjects 5,6 --people 880-903

Simulated people fall among other things, 150 s each; subjects of UTD-MHAD never fall. Their windows go through the
recogniser, the rule of episodes and the rule of the alarm, as in a run at home. An alarm is right within a fall, or up
to four seconds after it.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.runtime.config import EpisodesConfig, HoldConfig
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.tools.episode_check import FALL, Answer, episodes_of, of_falls, raised_at
from cosmo_runtime.training.benchmark.everyday import FALL_LABEL, SUBSETS, require_strangers, runs_of
from cosmo_runtime.training.datasets.everyday import real_people, simulated
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows

SECONDS = 150.0
TIMES = (2.0, 2.0), (1.0, 2.0), (1.0, 1.0), (0.5, 1.0), (0.5, 0.5)
"""``on_s`` and ``least_s`` of a fall, and ``held_s`` of its alarm."""
PROMPT_OR_LATE_NS = 4 * 10**9
"""How long after a fall its alarm is right here. ``episode_check`` takes only prompt alarms for right. But the slowest
of ``TIMES`` raise an alarm a second later, and few sensors may show a fall late. Such an alarm is late, not false."""


class Answered(NamedTuple):
    """A model's answers about a person's windows, and the starts and ends of the true falls."""

    windows: List[Answer]
    falls: List[Tuple[int, int]]


def answers(bundle: Bundle, people: Windows, subset: Sequence[bool]) -> Iterator[Answered]:
    """Recognises each person's windows with these sensors."""
    spec = bundle.spec
    engine = OnnxRuntimeEngine(bundle.onnx)
    for group in np.unique(people.groups):
        rows = np.flatnonzero(people.groups == group)
        recognizer, found = Recognizer(bundle, engine), []
        for number, row in enumerate(rows):
            inputs = {name: array[row].astype(np.float32) for name, array in people.features.items()}
            present = dict(zip(spec.sensors, np.logical_and(people.presence[row] > 0, subset).tolist()))
            if any(present.values()):
                middle_ns, end_ns = _times(spec, number)
                told = recognizer.answer(inputs, present, end_ns, 0)
                found.append(Answer(end_ns, middle_ns, told.activity, told.confidence))
        falls = runs_of(people.labels[rows] == FALL_LABEL)
        yield Answered(found, [(_times(spec, first)[0], _times(spec, after - 1)[1]) for first, after in falls])


def _times(spec: ModelSpec, number: int) -> Tuple[int, int]:
    """The middle and the end of a person's window, counted from 0."""
    end_ns = spec.window_ns + number * spec.hop_ns
    return end_ns - spec.window_ns // 2, end_ns


def alarms(answered: Answered, hop_ns: int, on_s: float, held_s: float) -> List[int]:
    """When the alarm of a fall was raised."""
    config = EpisodesConfig(activities={"fall": HoldConfig(on_s=on_s, least_s=on_s)})
    alarm = FALL.model_copy(update={"held_s": held_s})
    return raised_at(answered.windows, episodes_of(answered.windows, hop_ns, config, alarm)[1])


def measure(bundle: Bundle, options: argparse.Namespace) -> List[Dict[str, Any]]:
    """One row for each set of sensors and each pair of times."""
    sources = {
        "simulated": simulated(options.people, SECONDS, options.cache),
        "real": real_people(options.data, options.subjects, options.cache),
    }
    rows = []
    for name, subset in track(SUBSETS.items(), "sets of sensors", console=Console(stderr=True)):
        found = {kind: list(answers(bundle, people, subset)) for kind, people in sources.items()}
        for on_s, held_s in TIMES:
            row: Dict[str, Any] = {"sensors": name, "on_s": on_s, "held_s": held_s}
            for kind, persons in found.items():
                counts = [_compared(person, alarms(person, bundle.spec.hop_ns, on_s, held_s)) for person in persons]
                falls, told, false = np.sum(counts, axis=0).tolist()
                windows = sum(len(person.windows) for person in persons)
                hours = round(windows * bundle.spec.hop_s / 3600, 2)
                row[kind] = {"hours": hours, "falls": falls, "alarms": told, "false alarms": false}
            rows.append(row)
    return rows


def _compared(person: Answered, raised: Sequence[int]) -> Tuple[int, int, int]:
    """The number of falls, of those that raised an alarm, and of false alarms."""
    found = of_falls(person.falls, raised, PROMPT_OR_LATE_NS)
    return len(person.falls), len(found.delays_s), found.false


def table(rows: Sequence[Dict[str, Any]]) -> Table:
    shown = Table("sensors", "on_s, held_s", "falls that raised it", "false, simulated", "false, real", box=None)
    for _, of in itertools.groupby(rows, key=lambda row: row["sensors"]):
        for row in of:
            people, real = row["simulated"], row["real"]
            shown.add_row(
                row["sensors"],
                f"{row['on_s']:g}, {row['held_s']:g}",
                f"{people['alarms']} of {people['falls']}",
                f"{people['false alarms']} in {people['hours']} h",
                f"{real['false alarms']} in {real['hours']} h",
            )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="folder of a model of everyday activities")
    parser.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    parser.add_argument("--subjects", type=numbers, required=True, help="of UTD-MHAD")
    parser.add_argument("--people", type=numbers, required=True, help="seeds of simulated people")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="of windows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    require_strangers(bundle, options.subjects)
    rows = measure(bundle, options)
    Console().print(table(rows))
    if options.json:
        write_whole(options.json, json.dumps(rows, indent=1).encode() + b"\n")


if __name__ == "__main__":
    try:
        main()
    except (BundleError, DataSetError, SensorError) as error:
        raise SystemExit(str(error)) from error
