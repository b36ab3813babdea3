"""Trains a bundle for an emulated rig: the simulated person, whose bundle ships, or UTD-MHAD.

    python tools/train_bundle.py person --out models/bundles/person
    python tools/train_bundle.py utd --data PATH/utd-mhad --out PATH/utd-bundle

Motions become events, events become windows in the runtime's own aligner, and windows become features as in a live
run; both stages of Cosmo learn from them. People (subjects) that test the bundle are never trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Iterable, NamedTuple, Tuple

import numpy as np
import torch
from rich.progress import track

from models.features import features
from models.spec import ModalitySpec, ModelSpec
from runtime.aligner import Aligner
from runtime.truth import TruthLine
from sensors.config import DepthConfig
from sensors.emulation.motion import Motion
from sensors.emulation.offline import events
from sensors.events import Truth
from training.train import train_bundle
from training.windows import UNLABELLED, Windows

PERSON_CLASSES = (
    "stand still", "walk", "run on the spot", "sit down", "stand up", "squat", "jump", "wave", "clap", "punch", "bend",
    "fall", "get up",
)  # fmt: skip
PERSON_TRAIN, PERSON_TEST = range(40), range(900, 908)
PERSON_MINUTES = 2.5
UTD_TRAIN, UTD_TEST = range(1, 7), range(7, 9)
TRAIN_EVERY = 2  # window: neighbours share three quarters and more, and the augmentation shifts them in time


class Job(NamedTuple):
    """One person's windows to be made."""

    kind: str
    person: int
    spec: ModelSpec
    data: Path
    seconds: float


def person_spec() -> ModelSpec:
    return _spec(depth=(27, 48), window_s=2.0, classes=PERSON_CLASSES)


def utd_spec() -> ModelSpec:
    from sensors.emulation.utd import ACTIVITIES, REST

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


def motion_of(job: Job) -> Motion:
    if job.kind == "utd":
        from sensors.emulation.utd import UtdMotion

        return UtdMotion(job.data, [job.person])
    from sensors.emulation.person import CAMERA, SimulatedPerson

    camera = CAMERA._replace(  # rendered as decimated by two, four times as fast
        width=CAMERA.width // 2,
        height=CAMERA.height // 2,
        **{name: getattr(CAMERA, name) / 2 for name in ("fx", "fy", "cx", "cy")},
    )
    return SimulatedPerson(job.person, camera)


def windows_of(job: Job) -> Windows:
    """Makes one person's windows. A window of UTD-MHAD has the label of the activity at its middle, one of the
    simulated person a label only when it lies wholly inside one activity."""
    motion = motion_of(job)
    depth = DepthConfig(decimation=2 if job.kind == "utd" else 1)
    rates = {"imu": motion.imu_rate_hz, "depth": motion.camera.rate_hz, "radar": motion.radar_rate_hz}
    aligner = Aligner(job.spec, rates)
    truths = TruthLine()
    inputs, presence, labels = [], [], []
    for event in events(motion, job.seconds, depth):
        if isinstance(event, Truth):
            truths.add(event)
        for window in aligner.feed(event):
            start_ns = window.end_ns - job.spec.window_ns
            middle_ns = window.end_ns - job.spec.window_ns // 2
            activity = truths.at(middle_ns) if job.kind == "utd" else truths.throughout(start_ns, window.end_ns)
            inputs.append(features(job.spec, window.arrays, motion.camera.depth_scale_m))
            presence.append([window.present[name] for name in job.spec.sensors])
            labels.append(job.spec.classes.index(activity) if activity else UNLABELLED)
    return Windows.stack(
        job.spec, inputs, presence, labels, [job.person] * len(labels), [f"{job.kind} {job.person}"] * len(labels)
    )


def make(kind: str, people: Iterable[int], spec: ModelSpec, data: Path, seconds: float, cache: Path) -> Windows:
    """Windows of several people, each person's made once and kept in ``cache``."""
    jobs = [Job(kind, person, spec, data, seconds) for person in people]
    with ProcessPoolExecutor(2) as pool:
        made = list(track(pool.map(_cached, jobs, [cache] * len(jobs)), f"windows of {kind}", len(jobs)))
    return Windows(
        {name: np.concatenate([windows.features[name] for windows in made]) for name in spec.sensors},
        *(
            np.concatenate([getattr(windows, part) for windows in made])
            for part in ("presence", "labels", "groups", "recordings")
        ),
    )


def _cached(job: Job, cache: Path) -> Windows:
    key = hashlib.sha256(repr((job.spec, job.seconds)).encode()).hexdigest()[:16]
    file = cache / f"{job.kind}-{job.person}-{key}.npz"
    if not file.is_file():
        windows = windows_of(job)
        cache.mkdir(parents=True, exist_ok=True)
        rest = {part: getattr(windows, part) for part in ("presence", "labels", "groups", "recordings")}
        np.savez(file, **windows.features, **rest)
    with np.load(file) as held:
        parts = {name: held[name] for name in job.spec.sensors}
        return Windows(parts, held["presence"], held["labels"], held["groups"], held["recordings"])


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
        spec, train, test, seconds = person_spec(), PERSON_TRAIN, PERSON_TEST, 60 * PERSON_MINUTES
        epochs, rounds = 6, 5
        data = f"simulated people {train[0]} to {train[-1]}, {PERSON_MINUTES:g} minutes each"
    else:
        spec, train, test, seconds = utd_spec(), UTD_TRAIN, UTD_TEST, float("inf")
        epochs, rounds = 10, 8  # chosen with subjects 1 to 4 against 5 and 6
        data = "UTD-MHAD subjects 1 to 6: real IMU and depth, radar synthesised from the skeleton"
    windows = make(options.kind, train, spec, options.data, seconds, options.cache)
    bundle = train_bundle(
        spec,
        windows.where(np.arange(0, len(windows), TRAIN_EVERY)),
        options.out,
        held_out={"test people": make(options.kind, test, spec, options.data, seconds, options.cache).labelled},
        provenance={"command": shlex.join(["python", *sys.argv]), "data": data},
        seed=options.seed,
        pretrain_epochs=epochs,
        finetune_rounds=rounds,
    )
    print(json.dumps(bundle.metrics, indent=2))


if __name__ == "__main__":
    main()
