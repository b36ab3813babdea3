"""Trains a bundle for an emulated rig: the simulated person, whose bundle ships, or UTD-MHAD.

    python tools/train_bundle.py person --out models/bundles/person
    python tools/train_bundle.py person --without squat,punch --out PATH/never-saw-them
    python tools/train_bundle.py utd --data PATH/utd-mhad --out PATH/utd-bundle
    python tools/train_bundle.py utd --data PATH/utd-mhad --start models/pretrained/utd --out PATH/utd-bundle
    python tools/train_bundle.py utd --data PATH/utd-mhad --train 1-4 --test 5,6 --out PATH/choosing

Motions become events. The runtime's own aligner cuts windows from the events, and the windows become features as in a
live run. Both stages of Cosmo learn from them. The people (subjects) that test the bundle are never trained on. A
bundle for UTD-MHAD is then run over their stream as the runtime would run it, only faster, and a summary is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np
import torch

from cosmo_runtime.models.bundle import SIMULATED, Bundle, BundleError, refuse_other
from cosmo_runtime.models.outputs import try_folder
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import numbers
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.sensors.simulation.utd import UtdMotion
from cosmo_runtime.training.augment import OF_A_MOMENT
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.datasets import utd
from cosmo_runtime.training.datasets.motion import person_spec, simulated_people, utd_stream_spec, utd_streams
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.methods import Budget
from cosmo_runtime.training.pretrained import PretrainedError, load_pretrained
from cosmo_runtime.training.train import train_bundle
from cosmo_runtime.training.windows import UNLABELLED, Windows

PERSON_TRAIN, PERSON_TEST = range(40), range(900, 908)
PERSON_MINUTES = 2.5


class Lesson(NamedTuple):
    """What a kind of bundle learns from, and how.

    Attributes:
        spec: the spec of the windows.
        train, test: windows of different people.
        cosmo: the method, with its variations.
        budget: for how long.
        about: what the bundle's record says of it.
    """

    spec: ModelSpec
    train: Windows
    test: Windows
    cosmo: Cosmo
    budget: Budget
    about: Mapping[str, Any]


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    spec = person_spec() if options.kind == "person" else utd_stream_spec()
    if options.without and options.kind != "person":
        parser.error("--without goes with person only")
    unknown = [name for name in options.without if name not in spec.classes]
    if unknown:
        parser.error(f"--without: nobody does {', '.join(unknown)}; give any of {', '.join(spec.classes)}")
    start = load_pretrained(options.start) if options.start else None
    if start and start.spec.modalities != spec.modalities:
        parser.error(f"--start: the encoders in {options.start} are of other inputs; pretrain on {options.kind}")
    refuse_other(options.out)
    try:
        try_folder(options.out)
    except OSError as error:
        parser.error(f"--out {options.out} cannot be written: {error.strerror}")
    torch.set_num_threads(1)  # another order of sums gives other weights, and must not depend on the machine's cores
    lesson = _person(spec, options) if options.kind == "person" else _utd(spec, options)
    bundle = train_bundle(
        lesson.spec,
        lesson.train,
        options.out,
        held_out={"test people": lesson.test.labelled},
        provenance={"command": shlex.join(["python", *sys.argv]), **lesson.about},
        budget=lesson.budget,
        cosmo=lesson.cosmo,
        seed=options.seed,
        encoders=start.encoders if start else None,
    )
    print(json.dumps(bundle.metrics, indent=2))
    if options.kind == "utd":
        print(json.dumps(summary_of(bundle, UtdMotion(options.data, options.test)).as_dict(), indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("person", "utd"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the bundle")
    parser.add_argument(
        "--without",
        type=lambda text: text.split(","),
        default=[],
        help="activities to leave out, separated by commas (person only)",
    )
    parser.add_argument("--data", type=Path, default=Path(), help="folder of UTD-MHAD (utd only)")
    parser.add_argument(
        "--train", type=numbers, default=(1, 2, 3, 4, 5, 6), help="subjects to train on (utd only; default: 1-6)"
    )
    parser.add_argument("--test", type=numbers, default=(7, 8), help="subjects to test on (utd only; default: 7,8)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows (default: %(default)s)")
    parser.add_argument(
        "--start", type=Path, help="encoders of `cosmo-runtime pretrain` to start from instead of stage 1"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    return parser


def _person(spec: ModelSpec, options: argparse.Namespace) -> Lesson:
    """The simulated person, perhaps without some activities."""
    train, test = (
        simulated_people(people, 60 * PERSON_MINUTES, spec, options.cache) for people in (PERSON_TRAIN, PERSON_TEST)
    )
    train = train.where(np.arange(0, len(train), 2))  # neighbouring windows share three quarters
    if options.without:
        known = [name for name in spec.classes if name not in options.without]
        train, test = (_of_alone(windows, spec.classes, known) for windows in (train, test))
        spec = spec.model_copy(update={"classes": tuple(known)})
    about = {
        "people": SIMULATED,
        "about": "Recognises what a simulated person does, for trying cosmo-runtime out with no hardware.",
        "data": f"simulated people {PERSON_TRAIN[0]} to {PERSON_TRAIN[-1]}, {PERSON_MINUTES:g} minutes each; "
        f"{PERSON_TEST[0]} to {PERSON_TEST[-1]} test it"
        + "".join(f"; none of them does {name}" for name in options.without),
        "licence": "Apache-2.0, as the simulator's",
        "limits": "what it says of a real person means nothing",
    }
    return Lesson(spec, train, test, Cosmo(), Budget(pretrain_epochs=6, epochs=25, batch=32), about)


def _utd(spec: ModelSpec, options: argparse.Namespace) -> Lesson:
    """UTD-MHAD as live streams. Method and budget were chosen with subjects 1 to 4 against 5 and 6."""
    train, test = (utd_streams(options.data, people, spec, options.cache) for people in (options.train, options.test))
    about = {
        "about": "Recognises the 27 actions of UTD-MHAD in a live stream, and the rests between them.",
        "data": f"UTD-MHAD, subjects {_listed(options.train)}; {_listed(options.test)} test it. IMU and depth are "
        "real, the radar is synthesised from the skeletons. All windows are labelled, by the action at their "
        "middle",
        "licence": utd.LICENCE,
        "limits": utd.LIMITS,
        "subjects": list(options.train),
    }
    budget = Budget(pretrain_epochs=4, epochs=20, batch=64)
    return Lesson(spec, train, test, Cosmo(warp=OF_A_MOMENT), budget, about)


def summary_of(bundle: Bundle, motion: Motion, seconds: float = math.inf) -> Summary:
    """The summary that the runtime would give after a motion, without waiting for it."""
    infos = infos_of(motion)
    summary = Summary({})
    recognise(
        events(motion, seconds, DepthConfig(decimation=2)),
        Aligner(bundle.spec, infos),
        Recognizer(bundle, OnnxRuntimeEngine(bundle.onnx)),
        infos,
        [summary],
        live=False,
    )
    return summary


def _of_alone(windows: Windows, classes: Sequence[str], known: Sequence[str]) -> Windows:
    """The windows of these activities. Unlabelled windows are left out, because they may show one of the others."""
    label = np.array([known.index(name) if name in known else UNLABELLED for name in [*classes, ""]])
    return replace(windows, labels=label[windows.labels]).labelled


def _listed(subjects: Sequence[int]) -> str:
    return ", ".join(map(str, subjects))


if __name__ == "__main__":
    try:
        main()
    except (BundleError, DataSetError, PretrainedError, SensorError) as error:
        raise SystemExit(str(error)) from error
