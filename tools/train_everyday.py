r"""Trains the model of everyday activities that ships.

    python tools/train_everyday.py --data PATH/utd-mhad --out models/bundles/everyday
    python tools/train_everyday.py --data PATH/utd-mhad --train 1-6 --out PATH/everyday-0
    python tools/train_everyday.py --data PATH/utd-mhad --only simulated --out PATH/zero-shot-0
    python tools/train_everyday.py --data PATH/utd-mhad --only simulated --fixed rotation --out PATH/without-rotation-0
    python tools/train_everyday.py --data PATH/utd-mhad --only simulated --mocap PATH/deepmimic/data/motions \
        --out PATH/zero-shot-mocap-0

It learns from real people of UTD-MHAD and from simulated ones together (``training.datasets.everyday``). The network
answers each window several times, each time with other sensors (``training.any_subset``). What ships learns from all
eight subjects. Its figures are those of a twin that learned in the same way, but not from the subjects that test:
whoever teaches cannot test. The second command keeps such a twin. All are measured after the last step. How
probabilities are read with each set of sensors is in ``everyday_readings.json``. ``tools/choose_readings.py`` wrote
it, with models of its own that learned from subjects 1 to 6. ``tools/everyday.py`` measures several such bundles
together.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from rich.progress import Progress
from torch import nn

from cosmo_runtime.models.bundle import SIMULATED, BundleError, refuse_other
from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.outputs import try_folder
from cosmo_runtime.models.shelf import SHIPPED_ENCODERS
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.training.adapt.memory import build_memory
from cosmo_runtime.training.any_subset import Origin, learn
from cosmo_runtime.training.benchmark.everyday import falls_called, of_real_people
from cosmo_runtime.training.datasets import utd
from cosmo_runtime.training.datasets.everyday import (
    Variety,
    acted,
    calibrated,
    captured,
    empty_rooms,
    everyday_spec,
    in_rooms,
    misplaced,
    real_people,
    simulated,
)
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.export import export
from cosmo_runtime.training.pretrained import PretrainedError, load_pretrained
from cosmo_runtime.training.windows import Windows

PEOPLE, SECONDS = range(48), 60.0
ACTORS = range(100, 130)
"""Simulated people who act on request; only zero-shot training learns from them."""
PLAYERS = range(200, 224)
"""Those who play motion capture; only zero-shot training learns from them."""
CAPTURED_SHARE = 0.1
"""Of all drawn windows. Of 0, 0.1 and 0.2, it was right most often about subjects 5 and 6, taught by 1 to 4."""
ROOMS = range(2000, 2040)
STEPS = 3000
RISK = 0.05
"""The accepted share of wrong answers among the answered windows."""
READINGS = Path(__file__).with_name("everyday_readings.json")
ZERO_SHOT = {"none": -0.5, "fall": -2.0}
"""What is added to the logits of models that learned from simulated people alone, which cannot know real ones: `none`
is drawn more often than it should be answered, and falls far more often than people fall."""

MOCAP_LICENCE = (
    "the motion capture is DeepMimic's (Peng et al., SIGGRAPH 2018), MIT License, Copyright (c) 2018 Xue Bin Peng, and "
    "is not redistributed here"
)

_LEFT_OUT = ("calibration", "acting")

STRANGERS = "test people"  # like that of the other bundles
ABOUT = (
    "Recognises everyday activities of one person from an IMU on a wrist, a depth camera and a mmWave radar, or "
    "from any of them. Learned from real people, and from simulated ones what no real person showed it: bending, "
    "jumping, falling, getting up, standing still."
)
LIMITS = (
    "Not a medical device, and never the only one to watch over somebody: an alarm that does not come proves "
    "nothing. Its real people are eight healthy young adults in one laboratory, who did one action at a time, on "
    "request, facing a camera 2.9 m away at 1.1 m height. Nobody in the data is old, ill, a child, or uses a "
    "walking aid, and nobody is joined by a second person or a pet. It has never seen a real fall. With a real "
    "IMU it has seen waving, clapping, punching and other actions of the arms; walking, running, sitting down, "
    "standing up and squatting only with a camera. Its radar was always synthesised. Whoever wants to rely on it "
    "must first measure it on their own people, in their own rooms, with consent"
)
ABOUT_ZERO_SHOT = "Recognises everyday activities. No sensor showed it a real person: it learned from simulated people"
LIMITS_ZERO_SHOT = "it is often wrong about real people, because no recording of one taught it"


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    unknown = [name for name in options.fixed if name not in (*Variety._fields, *_LEFT_OUT)]
    if unknown:
        parser.error(f"--fixed: nothing is called {', '.join(unknown)}")
    if options.mocap and options.only != "simulated":
        parser.error("--mocap needs --only simulated: the other models learn from real people as sensors saw them")
    refuse_other(options.out)
    try:
        try_folder(options.out)
    except OSError as error:
        parser.error(f"--out {options.out} cannot be written: {error.strerror}")
    torch.set_num_threads(1)  # another order of sums gives other weights, and must not depend on the machine's cores
    spec = read_spec(options.only)
    test = real_people(options.data, options.test, options.cache)
    strangers = [subject for subject in options.train if subject not in options.test]
    twin, origins, seconds = _taught(options, strangers)
    metrics = {**_measured(options, spec, twin, test), "seconds": seconds}
    network = twin
    if set(strangers) != set(options.train):
        network, origins, metrics["seconds"] = _taught(options, options.train)
    learned = Windows.concatenate([origin.windows.labelled for origin in origins])
    bundle = export(
        options.out,
        spec,
        network,
        memory=build_memory(network.encoders, learned, options.seed),
        provenance=_provenance(options, strangers, metrics, len(learned)),
        metrics=metrics,
    )
    print(json.dumps(bundle.metrics, indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument("--train", type=numbers, default=tuple(range(1, 9)), help="subjects of UTD-MHAD")
    parser.add_argument("--test", type=numbers, default=(7, 8), help="subjects of UTD-MHAD")
    parser.add_argument("--only", choices=("real", "simulated"), help="learn from these people alone")
    parser.add_argument(
        "--fixed",
        type=lambda text: text.split(","),
        default=[],
        help=f"what does not vary between simulated people ({', '.join(Variety._fields)}), or is left out "
        f"({', '.join(_LEFT_OUT)})",
    )
    parser.add_argument("--mocap", type=Path, metavar="FOLDER", help="learn from DeepMimic's motion capture, too")
    parser.add_argument("--steps", type=int, default=STEPS, help="minibatches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="of windows")
    return parser


def _provenance(
    options: argparse.Namespace, strangers: Sequence[int], metrics: Mapping[str, Any], labelled: int
) -> Dict[str, Any]:
    """How the bundle was made, for its record and its card."""
    knows_real_people = options.only != "simulated"
    return {
        **({} if knows_real_people else {"people": SIMULATED}),
        "command": shlex.join(["python", *sys.argv]),
        "about": ABOUT if knows_real_people else ABOUT_ZERO_SHOT + (" and motion capture." if options.mocap else "."),
        "data": _data_described(options, strangers),
        "licence": utd.LICENCE
        + "; the simulated people are part of this project (Apache-2.0)"
        + (f"; {MOCAP_LICENCE}" if options.mocap else "")
        + ". What ships are weights and, for later fine-tuning, some embeddings of 64 numbers a sensor; no recordings",
        "limits": LIMITS if knows_real_people else LIMITS_ZERO_SHOT,
        "found": findings(metrics),
        "method": "Encoders of camera and radar begun by stage 1 of Cosmo (`utd`), then all parts at once from labels, "
        "each window with several subsets of its sensors"
        if knows_real_people
        else "All parts at once from labels, each window with several subsets of its sensors",
        "subjects": list(options.train) if knows_real_people else [],
        "seed": options.seed,
        "steps": options.steps,
        "labelled_windows": labelled,
        "torch": torch.__version__,
    }


def read_spec(only: str = "") -> ModelSpec:
    """The spec with its readings. Who learned from simulated people alone cannot know what to expect of real ones."""
    readings = [Reading.model_validate(reading) for reading in json.loads(READINGS.read_text(encoding="utf-8"))]
    if only == "simulated":
        readings = [reading.model_copy(update={"expected": ZERO_SHOT}) for reading in readings]
    return everyday_spec().model_copy(update={"risk": RISK, "readings": tuple(readings)})


def _taught(options: argparse.Namespace, subjects: Sequence[int]) -> Tuple[CosmoNetwork, List[Origin], float]:
    """Returns the network that the subjects taught, what it learned from, and the seconds it took."""
    origins = lessons(options.data, subjects, options.only, options.fixed, options.cache, options.seed, options.mocap)
    started = time.monotonic()
    with Progress() as progress:
        task = progress.add_task("learning", total=options.steps)
        network = learn(
            everyday_spec(),
            origins,
            steps=options.steps,
            seed=options.seed,
            start={} if options.only == "simulated" else beginnings(),
            on_step=lambda _, loss: progress.update(task, advance=1, description=f"loss {loss:.2f}"),
        )
    return network, origins, round(time.monotonic() - started, 1)


def beginnings() -> Dict[str, nn.Module]:
    """The shipped encoders of camera and radar. The inertial one knows a place of the body by heart."""
    by_sensor = load_pretrained(SHIPPED_ENCODERS / "utd").encoders.by_sensor
    return {sensor: by_sensor[sensor] for sensor in ("depth", "radar")}


def _measured(options: argparse.Namespace, spec: ModelSpec, network: CosmoNetwork, test: Windows) -> Dict[str, Any]:
    """The figures of a network that learned nothing from the subjects that test."""
    measured = of_real_people(network, test, spec)
    return {
        STRANGERS: measured.pop("all sensors"),
        "the same with fewer sensors": measured,
        "windows called fall": {
            "subjects that test": falls_called(network, test, spec),
            "the same, the sensor on the thigh": falls_called(
                network, real_people(options.data, options.test, options.cache, thigh=True), spec
            ),
        },
    }


def findings(metrics: Mapping[str, Any]) -> List[str]:
    """The figures in words, for the card."""

    def unsure(of: Mapping[str, Any]) -> str:
        return f"{1 - of['answered']:.0%}"

    def wrong(of: Mapping[str, Any]) -> str:
        return f"{of['wrong of the answered']:.1%}"

    every, fewer, called = metrics[STRANGERS], metrics["the same with fewer sensors"], metrics["windows called fall"]
    right = [f"{every['right']:.1%} with all sensors"]
    right += [f"{fewer[name]['right']:.1%} {name}" for name in ("without the IMU", "with depth alone")]
    wrist, alone = fewer["with the IMU alone"]["right, wrist actions"], fewer["with depth alone"]
    return [
        f"Windows of actions that it has a name for, right: {', '.join(right)}.",
        f"Windows of waving, clapping and punching, right by the wrist alone: {wrist:.1%}.",
        f"Windows of other actions, called one of its own: {every['called ours']:.1%}.",
        f"Windows of these people called a fall: {called['subjects that test']['all sensors']}; with the sensor worn "
        f"on the thigh: {called['the same, the sensor on the thigh']['all sensors']}.",
        f"Not sure enough, so `uncertain`: {unsure(every)} of all windows with all sensors, {unsure(alone)} with depth "
        f"alone. Wrong among the others: {wrong(every)} and {wrong(alone)}.",
        f"Confidence is off by {every['ECE']:.3f} on average (expected calibration error).",
    ]


def lessons(
    data: Path,
    subjects: Sequence[int],
    only: str,
    fixed: Sequence[str],
    cache: Path,
    seed: int,
    mocap: Optional[Path] = None,
) -> List[Origin]:
    """The sources that the model learns from, and how much it learns from each."""
    rooms = empty_rooms(ROOMS, cache)
    nobody = Origin(rooms, 0.05)
    real = real_people(data, subjects, cache)
    variety = Variety(**{name: False for name in fixed if name not in _LEFT_OUT})

    def made_up(people: Windows, seed: int, share: float) -> Origin:
        if "calibration" not in fixed:
            people = calibrated(people, real)
        return Origin(in_rooms(people, rooms, seed, 0.3), share)

    at_home = made_up(simulated(PEOPLE, SECONDS, cache, variety), seed + 1, 0.4)
    if only == "simulated":
        turned = 0.0 if "rotation" in fixed else 0.3
        if "acting" in fixed:
            people = [at_home._replace(share=0.95)]
        else:
            acting = made_up(acted(ACTORS, SECONDS, cache, variety), seed + 2, 0.6)
            people = [at_home._replace(share=0.35, turned=turned), acting._replace(turned=turned)]
        if mocap:
            players = made_up(captured(mocap, PLAYERS, cache, variety), seed + 3, CAPTURED_SHARE)
            people = [
                origin._replace(share=(1 - CAPTURED_SHARE / (1 - nobody.share)) * origin.share) for origin in people
            ]
            people.append(players._replace(turned=turned))
        return [*people, nobody]
    recorded = Origin(in_rooms(real, rooms, seed), 0.5, turned=0.3)
    wrongly = Origin(misplaced(data, subjects, cache), 0.05, turned=0.5)
    if only == "real":
        return [recorded._replace(share=0.9), nobody, wrongly]
    return [recorded, at_home, nobody, wrongly]


def _data_described(options: argparse.Namespace, strangers: Sequence[int]) -> str:
    def listed(subjects: Sequence[int]) -> str:
        return ", ".join(map(str, subjects))

    tests = f"{listed(options.test)} test it"
    if set(strangers) != set(options.train):
        tests = (
            f"{listed(options.test)} test a twin that learned from {listed(strangers)}, whose figures are on this page"
        )
    real = (
        f"UTD-MHAD, subjects {listed(options.train)} ({tests}): IMU and depth are real, the radar is synthesised from "
        "the skeletons"
    )
    made_up = f"{len(PEOPLE)} simulated people, {SECONDS:g} s each, every one in another room with another rig"
    if options.only == "simulated" and "acting" not in options.fixed:
        made_up += f"; {len(ACTORS)} more who act on request, cut out of the background, as data sets record people"
    if options.mocap:
        made_up += f"; motion capture of real people, each clip played {len(PLAYERS)} times before emulated sensors"
    return {"real": real, "simulated": made_up}.get(options.only, f"{real}; {made_up}")


if __name__ == "__main__":
    try:
        main()
    except (BundleError, DataSetError, PretrainedError, SensorError) as error:
        raise SystemExit(str(error)) from error
