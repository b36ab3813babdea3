"""Trains a bundle for an emulated rig: the simulated person, whose bundle ships, or UTD-MHAD.

    python tools/train_bundle.py person --out models/bundles/person
    python tools/train_bundle.py person --without squat,punch --out PATH/never-saw-them
    python tools/train_bundle.py utd --data PATH/utd-mhad --out PATH/utd-bundle
    python tools/train_bundle.py utd --data PATH/utd-mhad --start models/pretrained/utd --out PATH/utd-bundle
    python tools/train_bundle.py utd --data PATH/utd-mhad --train 1-4 --test 5,6 --out PATH/choosing

Motions become events, events become windows in the runtime's own aligner, and windows become features as in a live
run; both stages of Cosmo learn from them. People (subjects) that test the bundle are never trained on. The bundle for
UTD-MHAD is then run over their stream as the runtime would, only without waiting, and the runtime's summary printed.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Sequence, Tuple

import numpy as np
import torch

from models.bundle import Bundle, BundleError, refuse_other
from runtime.aligner import Aligner
from runtime.cli.common import CACHE
from runtime.engine import OnnxRuntimeEngine
from runtime.loop import recognise
from runtime.recognizer import Recognizer
from runtime.summary import Summary
from sensors.config import DepthConfig
from sensors.emulation.motion import Motion
from sensors.emulation.offline import events
from sensors.emulation.utd import UtdMotion, parse_subjects
from sensors.sensor import SensorError, SensorInfo
from training.augment import OF_A_MOMENT
from training.cosmo import Cosmo
from training.datasets import utd
from training.datasets.motion import person_spec, simulated_people, utd_stream_spec, utd_streams
from training.datasets.store import DataSetError
from training.methods import Budget
from training.pretrained import PretrainedError, load_pretrained
from training.train import train_bundle
from training.windows import UNLABELLED, Windows

PERSON_TRAIN, PERSON_TEST = range(40), range(900, 908)
PERSON_MINUTES = 2.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("person", "utd"))
    parser.add_argument("--out", type=Path, required=True, help="the bundle's folder")
    parser.add_argument(
        "--without", type=lambda text: text.split(","), default=[], help="leave activities out (person only)"
    )
    parser.add_argument("--data", type=Path, default=Path(), help="folder of UTD-MHAD (utd only)")
    parser.add_argument("--train", type=_subjects, default=(1, 2, 3, 4, 5, 6), help="subjects of UTD-MHAD")
    parser.add_argument("--test", type=_subjects, default=(7, 8), help="subjects of UTD-MHAD")
    parser.add_argument("--cache", type=Path, default=CACHE, help="of windows")
    parser.add_argument("--start", type=Path, help="encoders of `cosmo-runtime pretrain`, in place of stage 1")
    parser.add_argument("--seed", type=int, default=0)
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
    torch.set_num_threads(1)  # sums in another order give other weights; they must not depend on the machine's cores
    if options.kind == "person":
        cosmo, budget = Cosmo(), Budget(pretrain_epochs=6, epochs=25, batch=32)
        train, test = (
            simulated_people(people, 60 * PERSON_MINUTES, spec, options.cache) for people in (PERSON_TRAIN, PERSON_TEST)
        )
        train = train.where(np.arange(0, len(train), 2))  # neighbours share three quarters
        if options.without:
            known = [name for name in spec.classes if name not in options.without]
            train, test = (_of_alone(windows, spec.classes, known) for windows in (train, test))
            spec = spec.model_copy(update={"classes": tuple(known)})
        about = {
            "about": "Recognises what a simulated person does, for trying cosmo-runtime out with no hardware.",
            "data": f"simulated people {PERSON_TRAIN[0]} to {PERSON_TRAIN[-1]}, {PERSON_MINUTES:g} minutes each; "
            f"{PERSON_TEST[0]} to {PERSON_TEST[-1]} test it"
            + "".join(f"; none of them does {name}" for name in options.without),
            "licence": "Apache-2.0, as the simulator's",
            "limits": "what it says of a real person means nothing",
        }
    else:
        # chosen with subjects 1 to 4 against 5 and 6
        cosmo, budget = Cosmo(warp=OF_A_MOMENT), Budget(pretrain_epochs=4, epochs=20, batch=64)
        train, test = (
            utd_streams(options.data, people, spec, options.cache) for people in (options.train, options.test)
        )
        about = {
            "about": "Recognises the 27 actions of UTD-MHAD in a live stream, and the rests between them.",
            "data": f"UTD-MHAD, subjects {_listed(options.train)}; {_listed(options.test)} test it. IMU and depth are "
            "real, the radar is synthesised from the skeletons. All windows are labelled, by the action at their "
            "middle",
            "licence": utd.LICENCE,
            "limits": utd.LIMITS,
        }
    bundle = train_bundle(
        spec,
        train,
        options.out,
        held_out={"test people": test.labelled},
        provenance={"command": shlex.join(["python", *sys.argv]), **about},
        budget=budget,
        cosmo=cosmo,
        seed=options.seed,
        encoders=start.encoders if start else None,
    )
    print(json.dumps(bundle.metrics, indent=2))
    if options.kind == "utd":
        print(json.dumps(summary_of(bundle, UtdMotion(options.data, options.test)).as_dict(), indent=2))


def summary_of(bundle: Bundle, motion: Motion, seconds: float = math.inf) -> Summary:
    """What the runtime would say of itself after a motion, without waiting for it."""
    rates_hz = {"imu": motion.imu_rate_hz, "depth": motion.camera.rate_hz, "radar": motion.radar_rate_hz}
    infos = {name: SensorInfo(name, "emulated", rate) for name, rate in rates_hz.items()}
    infos["depth"].depth_scale_m = motion.camera.depth_scale_m
    summary = Summary({})
    recognise(
        events(motion, seconds, DepthConfig(decimation=2)),
        Aligner(bundle.spec, rates_hz),
        Recognizer(bundle, OnnxRuntimeEngine(bundle.onnx)),
        infos,
        [summary],
        live=False,
    )
    return summary


def _of_alone(windows: Windows, classes: Sequence[str], known: Sequence[str]) -> Windows:
    """The windows of these activities; those without a label go, too, for they may show one of the others."""
    label = np.array([known.index(name) if name in known else UNLABELLED for name in [*classes, ""]])
    return replace(windows, labels=label[windows.labels]).labelled


def _subjects(text: str) -> Tuple[int, ...]:
    try:
        return parse_subjects(text)
    except SensorError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _listed(subjects: Sequence[int]) -> str:
    return ", ".join(map(str, subjects))


if __name__ == "__main__":
    try:
        main()
    except (BundleError, DataSetError, PretrainedError, SensorError) as error:
        raise SystemExit(str(error)) from error
