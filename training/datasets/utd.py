"""UTD-MHAD as published: 861 trials of 27 actions, each one window.

Chen, Jafari, Kehtarnavaz, "UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing a Depth Camera and a
Wearable Inertial Sensor", ICIP 2015. For its trials as one live stream, with rests, see ``training.datasets.motion``.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Mapping, NamedTuple, Optional, Sequence

import numpy as np

from cosmo_runtime.models.features import depth_features, radar_features
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.sensors.data_files import TO_SI
from cosmo_runtime.sensors.simulation.utd import (
    ACTIVITIES,
    IMU_RATE_HZ,
    frame_times,
    joint_paths,
    load,
    simulated_radar,
    trial_names,
    trial_numbers,
)
from cosmo_runtime.training.datasets.store import DataSetError, data_set_errors, decoded_once, in_parallel
from cosmo_runtime.training.windows import Windows

LICENCE = "UTD-MHAD is free for research with citation (Chen et al., ICIP 2015) and is not redistributed here"
LIMITS = (
    "young people in one room, each action on its own and on the right side; the IMU is on the right wrist in "
    "actions 1 to 21 and on the right thigh in 22 to 27"
)
CLASSES = tuple(ACTIVITIES[action] for action in sorted(ACTIVITIES))
SUBJECTS = range(1, 9)

_IMU = ModalitySpec(sensor="imu", rate_hz=40, shape=(6,))
_SKELETON = ModalitySpec(sensor="skeleton", rate_hz=40 / 3, shape=(20, 3))
_DEPTH = ModalitySpec(sensor="depth", rate_hz=10, shape=(30, 40))
_SPLITS = "label_splits.json"
_TRIAL = re.compile(r"a\d+_s\d+_t\d+")
_DEPTH_SCALE_M = 0.001


class Split(NamedTuple):
    """Who trains, who tests, and which training trials have a label, as in the Cosmo paper's code for UTD-MHAD.

    Attributes:
        train_subjects, test_subjects: numbers, as in ``Windows.groups``.
        labelled: for each label rate in percent, the names of trials, as in ``Windows.recordings``.
    """

    train_subjects: tuple[int, ...]
    test_subjects: tuple[int, ...]
    labelled: Mapping[int, tuple[str, ...]]


def utd_a_spec() -> ModelSpec:
    """IMU and skeleton: 120 and 40 steps per trial."""
    return _spec(_IMU, _SKELETON)


def utd_b_spec(radar: bool = False) -> ModelSpec:
    """IMU and depth, optionally the radar synthesised from the skeletons: 120, 30 and 60 steps per trial."""
    synthesised = (ModalitySpec(sensor="radar", rate_hz=20, shape=(32, 5)),) if radar else ()
    return _spec(_IMU, _DEPTH, *synthesised)


def utd_c_spec() -> ModelSpec:
    """All real sensors: IMU, skeleton and depth, 120, 40 and 30 steps per trial."""
    return _spec(_IMU, _SKELETON, _DEPTH)


def _spec(*modalities: ModalitySpec) -> ModelSpec:
    share = 1 / len(modalities)  # until quality is measured
    return ModelSpec(
        modalities=modalities, window_s=3.0, hop_s=3.0, classes=CLASSES, quality=(share,) * len(modalities)
    )


def published_split(folder: Path) -> Split:
    """Reads ``label_splits.json`` in the data set's folder.

    It has the form ``{"train_subjects": [1, …], "test_subjects": [7, …], "labelled_trials_by_rate_percent":
    {"5": ["a1_s1_t1", …], …}}``.

    Raises:
        DataSetError: the file is missing or has other content.
    """
    path = Path(folder) / _SPLITS
    try:
        content = json.loads(path.read_text())
        labelled = {int(rate): tuple(names) for rate, names in content["labelled_trials_by_rate_percent"].items()}
        split = Split(tuple(content["train_subjects"]), tuple(content["test_subjects"]), labelled)
        strangers = [name for names in labelled.values() for name in names if not _TRIAL.fullmatch(name)]
        strangers += [
            str(subject) for subject in (*split.train_subjects, *split.test_subjects) if subject not in SUBJECTS
        ]
        if strangers:
            raise ValueError(f"no trial or subject of UTD-MHAD: {', '.join(strangers)}")
        return split
    except OSError as error:
        raise DataSetError(f"{path} cannot be read ({error.strerror}). Put it beside Inertial and Depth.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataSetError(f"{path} is not a list of labelled trials ({error!r}). Fetch it again.") from error


def trials(folder: Path, spec: ModelSpec, cache: Path, names: Optional[Sequence[str]] = None) -> Windows:
    """Returns every trial as one window. A trial is stretched to the spec's window, however long it lasted.

    IMU, skeleton and depth are real. The data set has no radar, so **radar is synthesised** from the real skeletons,
    with the same points each time. The camera dropped frames, so each modality is spread evenly over the trial's whole
    interval, never by its nominal rate. IMU and skeleton are interpolated linearly; depth is the nearest frame.

    Args:
        folder: the folder with Inertial, Skeleton and Depth.
        spec: a spec with any of ``imu``, ``skeleton``, ``depth`` and ``radar``, and the classes ``CLASSES``.
        cache: the folder for decoded windows.
        names: the trials' names (``a1_s7_t2``); all if None.

    Returns:
        All windows, labelled. ``groups`` are the subjects' numbers, ``recordings`` the trials' names.

    Raises:
        DataSetError: a folder or file is missing or broken.
    """
    folder = Path(folder).resolve()
    key = (str(folder), spec, names if names is None else list(names))
    return decoded_once(cache, "utd-trials", key, lambda: _decode(folder, spec, names))


def _decode(folder: Path, spec: ModelSpec, names: Optional[Sequence[str]]) -> Windows:
    if names is None:
        with data_set_errors():
            names = trial_names(folder, SUBJECTS)
    numbers = np.array([trial_numbers(name) for name in names])
    labels = [spec.classes.index(ACTIVITIES[action]) for action in numbers[:, 0]]
    features = in_parallel(partial(_trial, folder, spec), names, "UTD-MHAD")
    return Windows.stack(
        spec, features, np.ones((len(names), len(spec.modalities)), bool), labels, numbers[:, 1].tolist(), names
    )


def _trial(folder: Path, spec: ModelSpec, name: str) -> dict[str, np.ndarray]:
    """One trial's features, in the precision in which they are stored."""
    inertial = _read(folder, "inertial", name)
    made: dict[str, np.ndarray] = {}
    for modality in spec.modalities:
        steps = spec.steps(modality)
        if modality.sensor == "imu":
            made["imu"] = stretched(inertial * TO_SI, steps)
        elif modality.sensor == "skeleton":
            made["skeleton"] = stretched(_read(folder, "skeleton", name).transpose(2, 0, 1), steps)
        elif modality.sensor == "depth":
            images = _read(folder, "depth", name)
            nearest = frame_times(steps, images.shape[2]).astype(int)
            rows, columns = modality.shape
            images = np.ascontiguousarray(images[..., nearest].transpose(2, 0, 1))
            made["depth"] = depth_features(images, (rows, columns), _DEPTH_SCALE_M)
        elif modality.sensor == "radar":
            made["radar"] = radar_features(_radar(folder, name, steps, len(inertial) / IMU_RATE_HZ), modality.shape[0])
        else:
            raise DataSetError(f"UTD-MHAD has no {modality.sensor}; it has imu, skeleton, depth and synthesised radar")
    return made


def _radar(folder: Path, name: str, steps: int, seconds: float) -> list[np.ndarray]:
    """Frames of the trial's synthetic radar at evenly spaced times. Noise depends only on the trial and the step."""
    with data_set_errors():
        paths = joint_paths(folder, name, seconds)
    return [
        simulated_radar(paths, time_s, True, np.random.default_rng((*trial_numbers(name), step)))
        for step, time_s in enumerate(frame_times(steps, seconds))
    ]


@data_set_errors()
def _read(folder: Path, kind: str, name: str) -> np.ndarray:
    return load(folder, kind, name)


def stretched(samples: np.ndarray, steps: int) -> np.ndarray:
    """Resamples samples (n, ...) that fill an interval evenly to ``steps``, by linear interpolation."""
    at = (frame_times(steps, len(samples)) - 0.5).clip(0, len(samples) - 1)
    left = at.astype(int).clip(max=len(samples) - 2)
    share = (at - left).reshape(-1, *[1] * (samples.ndim - 1))
    return (1 - share) * samples[left] + share * samples[left + 1]
