"""Trials of UTD-MHAD with an inertial sensor that is simulated from the skeletons, in the form of the real ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Dict, Mapping

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.sensors.simulation.inertial import GRAVITY, InertialSensor
from cosmo_runtime.sensors.simulation.utd import IMU_RATE_HZ, frame_times, load, place_of, trial_names, trial_numbers
from cosmo_runtime.sensors.simulation.utd_imu import worn_imu
from cosmo_runtime.training.datasets.everyday import as_strong
from cosmo_runtime.training.datasets.store import DataSetError, data_set_errors, decoded_once, in_parallel
from cosmo_runtime.training.datasets.utd import CLASSES, SUBJECTS, stretched, utd_a_spec
from cosmo_runtime.training.windows import Windows

PLACES = ("wrist", "thigh")
SMOOTHING_STEPS = 2.0
"""Standard deviation of the low-pass below which simulated and real signals are compared."""

_RATE_UNIT = 2.0  # radians a second that count as much as the acceleration of gravity


def imu_spec() -> ModelSpec:
    """The IMU alone, as in ``utd_a_spec``."""
    spec = utd_a_spec()
    return spec.model_copy(update={"modalities": spec.modalities[:1], "quality": (1.0,)})


def simulated_trials(folder: Path, spec: ModelSpec, cache: Path) -> Windows:
    """Returns every trial as one window, as ``datasets.utd.trials``, with a simulated ``imu``.

    The skeleton is real. A trial lasts as long as its inertial samples, and they are not used otherwise. Each trial has
    a sensor with errors of its own.

    Args:
        folder: the folder with Inertial and Skeleton.
        spec: ``imu_spec()``.
        cache: the folder for decoded windows.

    Raises:
        DataSetError: a folder or file is missing or broken.
    """
    folder = Path(folder).resolve()
    return decoded_once(cache, "utd-simulated-imu", (str(folder), spec), partial(_decode, folder, spec))


def _decode(folder: Path, spec: ModelSpec) -> Windows:
    with data_set_errors():
        names = trial_names(folder, SUBJECTS)
    numbers = np.array([trial_numbers(name) for name in names])
    steps = spec.steps(spec.modalities[0])
    features = in_parallel(partial(_trial, folder, steps), names, "UTD-MHAD, simulated")
    labels = [spec.classes.index(CLASSES[action - 1]) for action in numbers[:, 0]]
    return Windows.stack(spec, features, np.ones((len(names), 1), bool), labels, numbers[:, 1].tolist(), names)


def _trial(folder: Path, steps: int, name: str) -> Dict[str, np.ndarray]:
    with data_set_errors():
        samples = len(load(folder, "inertial", name))
        skeleton = load(folder, "skeleton", name)
    seconds = samples / IMU_RATE_HZ
    at_s = frame_times(samples, seconds)
    ideal = np.hstack([worn_imu(skeleton, seconds, at_s, place_of(name)), np.zeros((samples, 3))])
    action, subject, repeat = trial_numbers(name)
    measured = InertialSensor(1000 * action + 10 * subject + repeat).measure(at_s, ideal)
    return {"imu": stretched(measured[:, :6], steps)}


def worn_on(windows: Windows, place: str) -> np.ndarray:
    """(N,) bool: the windows of trials in which the sensor is worn on a place."""
    return np.array([place_of(name) == place for name in windows.recordings])


def mounting(simulated: Windows, real: Windows) -> Mapping[str, Rotation]:
    """How the real sensor is turned against the simulated one: one rotation for each place, for all people and trials.

    It brings the low-passed simulated signals as near as possible to the real ones (Wahba's problem, solved as by
    Kabsch). It uses no labels, except for where the sensor is worn.

    Args:
        simulated, real: windows of the same trials, in the same order.

    Raises:
        DataSetError: no trial has the sensor on one of the places.
    """
    found = {}
    for place in PLACES:
        here = worn_on(real, place)
        if not here.any():
            raise DataSetError(f"UTD-MHAD: no trial has the sensor on the {place}. Fetch all of the data set.")
        wanted, given = (_directions(windows.where(here)) for windows in (real, simulated))
        found[place], _ = Rotation.align_vectors(wanted, given)
    return found


def _directions(windows: Windows) -> np.ndarray:
    """Force and rate of all steps as vectors (n, 3), in units in which they count equally."""
    slow = gaussian_filter1d(np.asarray(windows.features["imu"], float), SMOOTHING_STEPS, axis=1)
    return np.concatenate([(slow[..., :3] / GRAVITY).reshape(-1, 3), (slow[..., 3:] / _RATE_UNIT).reshape(-1, 3)])


def mounted(windows: Windows, rotations: Mapping[str, Rotation]) -> Windows:
    """Turns a simulated sensor into the axes of the real one."""
    imu = np.array(windows.features["imu"])
    for place, rotation in rotations.items():
        here = worn_on(windows, place)
        imu[here] = rotation.apply(imu[here].reshape(-1, 3)).reshape(imu[here].shape)
    return replace(windows, features={"imu": imu})


def turned(windows: Windows, copies: int, seed: int) -> Windows:
    """Copies of all windows, each turned at random: a sensor that may be worn in any way."""
    many = windows.where(np.tile(np.arange(len(windows)), copies))
    turns = Rotation.random(len(many), random_state=seed).as_matrix()
    halves = many.features["imu"].reshape(len(many), -1, 2, 3)
    imu = np.einsum("nij,nshj->nshi", turns, halves).reshape(many.features["imu"].shape)
    return replace(many, features={"imu": imu.astype(np.float32)})


def calibrated(windows: Windows, simulated: Windows, real: Windows) -> Windows:
    """Simulated windows whose signals are as strong as real ones.

    Args:
        windows: the windows to change.
        simulated, real: trials that define how strong signals are before and after, place by place.
    """
    imu = np.array(windows.features["imu"])
    for place in PLACES:
        here = worn_on(windows, place)
        had, wanted = (w.features["imu"][worn_on(w, place)] for w in (simulated, real))
        imu[here] = as_strong(imu[here], had, wanted)
    return replace(windows, features={"imu": imu})
