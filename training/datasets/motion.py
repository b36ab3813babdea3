"""What an emulated rig would see, as training windows: simulated people, and UTD-MHAD as one live stream with rests.

Motions become events (``sensors.emulation.offline``), and events become windows as in a live run.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Iterable

from models.spec import ModalitySpec, ModelSpec
from sensors.config import DepthConfig
from sensors.emulation.motion import Motion
from sensors.emulation.offline import events
from sensors.emulation.person import HALF_CAMERA, SimulatedPerson
from sensors.emulation.utd import ACTIVITIES, REST, UtdMotion
from sensors.sensor import SensorNotFound
from training.datasets.store import DataSetError, decoded_once, in_parallel
from training.datasets.stream import Activity, at_middle, throughout, windows_of
from training.windows import Windows

PERSON_CLASSES = (
    "stand still", "walk", "run on the spot", "sit down", "stand up", "squat", "jump", "wave", "clap", "punch", "bend",
    "fall", "get up",
)  # fmt: skip


def person_spec() -> ModelSpec:
    """Windows of the simulated person."""
    return _spec(depth=(27, 48), classes=PERSON_CLASSES)


def utd_stream_spec() -> ModelSpec:
    """Windows of UTD-MHAD as a stream; ``none`` is the rest between actions."""
    return _spec(depth=(30, 40), classes=(*ACTIVITIES.values(), REST))


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
    """Windows of simulated people; one has a label only when it lies wholly inside one activity.

    Args:
        seeds: of the people.
        seconds: of each.
        spec: any of ``imu``, ``depth`` and ``radar``.
        cache: where each person's windows are kept.

    Returns:
        ``groups`` are the seeds.
    """
    return Windows.concatenate(in_parallel(partial(_person, spec, seconds, cache), list(seeds), "simulated people"))


def utd_streams(
    folder: Path, subjects: Iterable[int], spec: ModelSpec, cache: Path, seconds: float = math.inf
) -> Windows:
    """Windows of UTD-MHAD's trials one after another with rests between, labelled by the activity at their middle.

    IMU and depth are real, **radar is synthesised** from the real skeletons.

    Args:
        folder: with Inertial, Skeleton and Depth.
        subjects: whose trials, a stream each.
        spec: any of ``imu``, ``depth`` and ``radar``; its classes may include ``none``.
        cache: where each subject's windows are kept.
        seconds: of each stream; to its end when infinite.

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
        try:
            motion = UtdMotion(folder, [subject])
            return _windows(motion, seconds, 2, spec, at_middle, subject, f"utd {subject}")
        except SensorNotFound as error:  # the data set's files; what else fails is the emulated camera
            raise DataSetError(str(error)) from error

    return decoded_once(cache, f"utd-stream-{subject}", (str(folder), spec, seconds), make)


def _windows(
    motion: Motion, seconds: float, decimation: int, spec: ModelSpec, activity: Activity, group: int, recording: str
) -> Windows:
    stream = events(motion, seconds, DepthConfig(decimation=decimation))
    rates_hz = {"imu": motion.imu_rate_hz, "depth": motion.camera.rate_hz, "radar": motion.radar_rate_hz}
    return windows_of(stream, spec, rates_hz, motion.camera.depth_scale_m, activity, group, recording)
