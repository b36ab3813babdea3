"""Trains a bundle for an emulated rig: the simulated person, whose bundle ships, or UTD-MHAD.

    python tools/train_bundle.py person --out models/bundles/person
    python tools/train_bundle.py person --without squat,punch --out PATH/never-saw-them
    python tools/train_bundle.py utd --data PATH/utd-mhad --out PATH/utd-bundle
    python tools/train_bundle.py utd --data PATH/utd-mhad --start models/pretrained/utd --out PATH/utd-bundle
    python tools/train_bundle.py utd --data PATH/utd-mhad --train 1-4 --test 5,6 --out PATH/choosing

Motions become events. The runtime's own aligner cuts windows from the events, and the windows become features as in a
live run. The simulated person's model learns from them by both stages of Cosmo, that of UTD-MHAD by stage 1 and then by
all parts at once. The people (subjects) that test the bundle are never trained on. A bundle for UTD-MHAD is then run
over their stream as the runtime would run it, only faster, and a summary is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
import torch

from cosmo_runtime.models.bundle import SIMULATED, Bundle, BundleError, refuse_other
from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.models.outputs import try_folder
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NONE
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
from cosmo_runtime.training.any_subset import Origin, learn
from cosmo_runtime.training.augment import OF_A_MOMENT
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.datasets import utd
from cosmo_runtime.training.datasets.motion import person_spec, simulated_people, utd_stream_spec, utd_streams
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.methods import Budget, Lesson
from cosmo_runtime.training.pretrained import PretrainedError, load_pretrained
from cosmo_runtime.training.progress import bars
from cosmo_runtime.training.train import train_bundle, write_bundle
from cosmo_runtime.training.windows import UNLABELLED, Windows

PERSON_TRAIN, PERSON_TEST = range(40), range(900, 908)
PERSON_MINUTES = 2.5

CLOSE_HOP_S, STEPS = 0.125, 1500
"""Of UTD-MHAD: windows four times as close as a run's, and minibatches."""
READING = Reading(sensors=utd_stream_spec().sensors, expected={NONE: 0.5}, temperature=0.5, min_confidence=0.35)
"""How that model is read with all its sensors."""
TEST = "test people"


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
    learn_from = _person if options.kind == "person" else _utd
    bundle = learn_from(spec, options, start.encoders if start else None)
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


def _person(spec: ModelSpec, options: argparse.Namespace, start: Optional[Encoders]) -> Bundle:
    """The simulated person, perhaps without some activities, by both stages of Cosmo."""
    train, test = (
        simulated_people(people, 60 * PERSON_MINUTES, spec, options.cache) for people in (PERSON_TRAIN, PERSON_TEST)
    )
    train = train.where(np.arange(0, len(train), 2))  # neighbouring windows share three quarters
    if options.without:
        known = [name for name in spec.classes if name not in options.without]
        train, test = (_of_alone(windows, spec.classes, known) for windows in (train, test))
        spec = spec.model_copy(update={"classes": tuple(known)})
    about = {
        "command": _command(),
        "people": SIMULATED,
        "about": "Recognises what a simulated person does, for trying cosmo-runtime out with no hardware.",
        "data": f"simulated people {PERSON_TRAIN[0]} to {PERSON_TRAIN[-1]}, {PERSON_MINUTES:g} minutes each; "
        f"{PERSON_TEST[0]} to {PERSON_TEST[-1]} test it"
        + "".join(f"; none of them does {name}" for name in options.without),
        "licence": "Apache-2.0, as the simulator's",
        "limits": "what it says of a real person means nothing",
    }
    return train_bundle(
        spec,
        train,
        options.out,
        held_out={TEST: test.labelled},
        provenance=about,
        budget=Budget(pretrain_epochs=6, epochs=25, batch=32),
        cosmo=Cosmo(),
        seed=options.seed,
        encoders=start,
    )


def _utd(spec: ModelSpec, options: argparse.Namespace, start: Optional[Encoders]) -> Bundle:
    """UTD-MHAD as live streams: stage 1 of Cosmo, then all parts at once from windows that follow closely.

    Method, steps and reading were chosen with subjects 1 to 4 against 5 and 6.
    """
    train, test = (utd_streams(options.data, people, spec, options.cache) for people in (options.train, options.test))
    close = utd_streams(options.data, options.train, spec.model_copy(update={"hop_s": CLOSE_HOP_S}), options.cache)
    started = time.monotonic()
    with bars() as progress:
        lesson = Lesson(spec, train, Budget(pretrain_epochs=4, epochs=0), options.seed, progress)
        encoders = start or Cosmo(warp=OF_A_MOMENT).pretrain(lesson)
        task = progress.add_task("all parts", total=STEPS)
        network = learn(
            spec,
            [Origin(close, 1.0, mirrored=0.0)],  # some actions differ in left and right alone
            steps=STEPS,
            seed=options.seed,
            start=dict(encoders.by_sensor.items()),
            on_step=lambda _, loss: progress.update(task, advance=1, description=f"all parts: loss {loss:.3f}"),
        )
    record = {
        "command": _command(),
        "about": "Recognises the 27 actions of UTD-MHAD in a live stream, and the rests between them.",
        "data": f"UTD-MHAD, subjects {_listed(options.train)}; {_listed(options.test)} test it. IMU and depth are "
        "real, the radar is synthesised from the skeletons. All windows are labelled, by the action at their "
        "middle",
        "licence": utd.LICENCE,
        "limits": utd.LIMITS,
        "subjects": list(options.train),
        "method": "Encoders begun by stage 1 of Cosmo, then all parts at once from labels, each window with several "
        "subsets of its sensors",
        "seed": options.seed,
        "steps": STEPS,
        "windows": len(close),
    }
    metrics = {"seconds": round(time.monotonic() - started, 1)}
    spec = spec.model_copy(update={"readings": (READING,)})
    return write_bundle(options.out, spec, network, close, {TEST: test.labelled}, record, metrics)


def _command() -> str:
    return shlex.join(["python", *sys.argv])


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
