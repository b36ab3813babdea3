"""USC-HAD: 12 daily activities of 14 people, with accelerometer and gyroscope at the right hip.

Zhang, Sawchuk, "USC-HAD: A Daily Activity Dataset for Ubiquitous Activity Recognition Using Wearable Sensors",
UbiComp 2012 workshops.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from rich.progress import track

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.sensors.data_files import TO_SI, read_inertial
from cosmo_runtime.training.datasets.store import DataSetError, data_set_errors, decoded_once
from cosmo_runtime.training.windows import Windows

RATE_HZ = 100
CLASSES = (
    "walk forward", "walk left", "walk right", "walk upstairs", "walk downstairs", "run forward", "jump up", "sit",
    "stand", "sleep", "elevator up", "elevator down",
)  # fmt: skip
"""Published names of activities 1 to 12."""

_CHANNELS = {"accelerometer": slice(0, 3), "gyroscope": slice(3, 6), "imu": slice(0, 6)}


def usc_spec(stride_s: float = 1.0) -> ModelSpec:
    """Accelerometer and gyroscope in windows of 2 s, 200 steps each, one every ``stride_s``."""
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="accelerometer", rate_hz=RATE_HZ, shape=(3,)),
            ModalitySpec(sensor="gyroscope", rate_hz=RATE_HZ, shape=(3,)),
        ),
        window_s=2.0,
        hop_s=stride_s,
        classes=CLASSES,
        quality=(0.5, 0.5),  # until it is measured
    )


def windows(folder: Path, spec: ModelSpec, cache: Path, subjects: Optional[Sequence[int]] = None) -> Windows:
    """Windows of every trial from its start. The rest at a trial's end is too short for a window.

    The activity is that of the file's name, because one file contradicts its name inside.

    Args:
        folder: the folder with Subject1 to Subject14.
        spec: a spec at 100 Hz with any of ``accelerometer`` (m/s²), ``gyroscope`` (rad/s), and ``imu`` for both in
            one. Its ``hop_s`` is the stride, its classes are ``CLASSES``.
        cache: the folder for decoded windows.
        subjects: their numbers; all if None.

    Returns:
        All windows, labelled. ``groups`` are the subjects' numbers, ``recordings`` the trials' names (``s3_a2_t4``).

    Raises:
        DataSetError: a folder or file is missing or broken.
    """
    folder = Path(folder).resolve()
    key = (str(folder), spec, subjects if subjects is None else list(subjects))
    return decoded_once(cache, "usc", key, lambda: _decode(folder, spec, subjects))


def _decode(folder: Path, spec: ModelSpec, subjects: Optional[Sequence[int]]) -> Windows:
    for modality in spec.modalities:
        if modality.sensor not in _CHANNELS or modality.rate_hz != RATE_HZ:
            raise DataSetError(f"USC-HAD has {', '.join(_CHANNELS)} at {RATE_HZ} Hz, not {modality!r}")
    length, stride = round(spec.window_s * RATE_HZ), round(spec.hop_s * RATE_HZ)
    cut: list[np.ndarray] = []
    labels, groups, recordings = [], [], []
    for subject, activity, trial, path in track(_trials(folder, subjects), "USC-HAD"):
        readings = (_read(path) * TO_SI).astype(np.float32)
        starts = range(0, len(readings) - length + 1, stride)
        cut += [readings[start : start + length] for start in starts]
        labels += [spec.classes.index(CLASSES[activity - 1])] * len(starts)
        groups += [subject] * len(starts)
        recordings += [f"s{subject}_a{activity}_t{trial}"] * len(starts)
    if not cut:
        raise DataSetError(
            f"{folder}: no trial is as long as a window of {spec.window_s:g} s. Fetch the data set again."
        )
    features = [{name: window[:, _CHANNELS[name]] for name in spec.sensors} for window in cut]
    presence = np.ones((len(features), len(spec.modalities)), bool)
    return Windows.stack(spec, features, presence, labels, groups, recordings)


def _trials(folder: Path, subjects: Optional[Sequence[int]]) -> list[tuple[int, int, int, Path]]:
    """Subject, activity, trial and file of each trial, sorted."""
    trials = []
    for path in folder.glob("Subject*/*.mat"):
        match = re.fullmatch(r"Subject(\d+)/a(\d+)t(\d+)\.mat", path.relative_to(folder).as_posix())
        if match and (subjects is None or int(match[1]) in subjects) and 1 <= int(match[2]) <= len(CLASSES):
            trials.append((int(match[1]), int(match[2]), int(match[3]), path))
    if not trials:
        wanted = "" if subjects is None else f" of subjects {list(subjects)}"
        raise DataSetError(f"{folder}: no trial{wanted}. Give the folder of USC-HAD that holds Subject1 to Subject14.")
    return sorted(trials)


@data_set_errors()
def _read(path: Path) -> np.ndarray:
    """The readings (n, 6) of one trial, in g and deg/s."""
    return read_inertial(path, "sensor_readings", "USC-HAD")
