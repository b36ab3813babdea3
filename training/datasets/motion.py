"""Training windows from an emulated rig: simulated people, and UTD-MHAD as one live stream with rests.

Motions become events (``sensors.simulation.offline``), and events become windows as in a live run.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Iterable

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.simulation.motion import Motion
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson
from cosmo_runtime.sensors.simulation.utd import ACTIVITIES, UtdMotion
from cosmo_runtime.training.datasets.store import data_set_errors, decoded_once, in_parallel
from cosmo_runtime.training.datasets.stream import Activity, at_middle, throughout, windows_of
from cosmo_runtime.training.windows import Windows

PERSON_CLASSES = (
    "stand still", "walk", "run on the spot", "sit down", "stand up", "squat", "jump", "wave", "clap", "punch", "bend",
    "fall", "get up",
)  # fmt: skip


def person_spec() -> ModelSpec:
    """The spec of windows of the simulated person."""
    return _spec(depth=(27, 48), classes=PERSON_CLASSES)


def utd_stream_spec() -> ModelSpec:
    """The spec of windows of UTD-MHAD as a stream. ``none`` is the rest between actions."""
    return _spec(depth=(30, 40), classes=(*ACTIVITIES.values(), NONE))


def _spec(depth: tuple[int, int], classes: tuple[str, ...]) -> ModelSpec:
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="imu", rate_hz=50, shape=(6,)),
            ModalitySpec(sensor="depth", rate_hz=10, shape=depth),
            ModalitySpec(sensor="radar", rate_hz=20, shape=(32, 5)),
        ),
        window_s=2.0,
        hop_s=0.5,
        classes=classes,
        quality=(1 / 3, 1 / 3, 1 / 3),  # until they are measured
    )


def simulated_people(seeds: Iterable[int], seconds: float, spec: ModelSpec, cache: Path) -> Windows:
    """Windows of simulated people. A window has a label only if one activity fills it.

    Args:
        seeds: the people's seeds.
        seconds: how long to watch each person.
        spec: a spec with any of ``imu``, ``depth`` and ``radar``.
        cache: the folder for each person's windows.

    Returns:
        ``groups`` are the seeds.
    """
    return Windows.concatenate(in_parallel(partial(_person, spec, seconds, cache), list(seeds), "simulated people"))


def utd_streams(
    folder: Path, subjects: Iterable[int], spec: ModelSpec, cache: Path, seconds: float = math.inf
) -> Windows:
    """Windows of UTD-MHAD's trials one after another, with rests between, labelled by the activity at their middle.

    IMU and depth are real, **radar is synthesised** from the real skeletons.

    Args:
        folder: the folder with Inertial, Skeleton and Depth.
        subjects: the people; each is one stream.
        spec: a spec with any of ``imu``, ``depth`` and ``radar``; its classes may include ``none``.
        cache: the folder for each subject's windows.
        seconds: the length of each stream; infinite for the whole stream.

    Returns:
        ``groups`` are the subjects.

    Raises:
        DataSetError: a folder or file is missing or broken.
    """
    make = partial(_subject, Path(folder).resolve(), spec, seconds, cache)
    return Windows.concatenate(in_parallel(make, list(subjects), "streams of UTD-MHAD"))


def _person(spec: ModelSpec, seconds: float, cache: Path, seed: int) -> Windows:
    def make() -> Windows:
        return _windows(SimulatedPerson(seed, HALF_CAMERA), seconds, 1, spec, throughout, seed, f"person {seed}")

    return decoded_once(cache, f"person-{seed}", (spec, seconds), make)


def _subject(folder: Path, spec: ModelSpec, seconds: float, cache: Path, subject: int) -> Windows:
    def make() -> Windows:
        with data_set_errors():
            motion = UtdMotion(folder, [subject])
            return _windows(motion, seconds, 2, spec, at_middle, subject, f"utd {subject}")

    return decoded_once(cache, f"utd-stream-{subject}", (str(folder), spec, seconds), make)


def _windows(
    motion: Motion, seconds: float, decimation: int, spec: ModelSpec, activity: Activity, group: int, recording: str
) -> Windows:
    stream = events(motion, seconds, DepthConfig(decimation=decimation))
    return windows_of(stream, spec, infos_of(motion), activity, group, recording)
