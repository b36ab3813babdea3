"""UTD-MHAD as a motion: real IMU and depth data, and radar synthesised from the real skeletons.

Chen, Jafari, Kehtarnavaz, "UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing a Depth Camera and a
Wearable Inertial Sensor", ICIP 2015. The data set has no radar: what ``UtdMotion.radar`` returns is simulated.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Sequence, Tuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from cosmo_runtime.names import NONE
from cosmo_runtime.sensors.data_files import TO_SI, read_inertial, read_matrix, refuse_implausible
from cosmo_runtime.sensors.sensor import SensorNotFound
from cosmo_runtime.sensors.simulation.motion import ActivityStart, Camera, noise_at
from cosmo_runtime.sensors.simulation.returns import detect

IMU_RATE_HZ = 50.0
ACTIVITIES = {
    1: "swipe left",
    2: "swipe right",
    3: "wave",
    4: "clap",
    5: "throw",
    6: "arm cross",
    7: "basketball shoot",
    8: "draw x",
    9: "draw circle (clockwise)",
    10: "draw circle (counter clockwise)",
    11: "draw triangle",
    12: "bowling",
    13: "boxing",
    14: "baseball swing",
    15: "tennis swing",
    16: "arm curl",
    17: "tennis serve",
    18: "push",
    19: "knock",
    20: "catch",
    21: "pickup throw",
    22: "jog",
    23: "walk",
    24: "sit to stand",
    25: "stand to sit",
    26: "lunge",
    27: "squat",
}
"""Published names of the actions a1 to a27."""
ON_THE_WRIST, ON_THE_THIGH = range(1, 22), range(22, 28)
"""The actions with the IMU on the right wrist, and those with it on the right thigh."""

_NAME = "UTD-MHAD"

# Bones of the Kinect v1 skeleton as capsules: two joints, radius in metres.
_BONES = np.array(
    [
        *([0, 1], [1, 2], [2, 3]),
        *([1, 4], [4, 5], [5, 6], [6, 7]),
        *([1, 8], [8, 9], [9, 10], [10, 11]),
        *([3, 12], [12, 13], [13, 14], [14, 15]),
        *([3, 16], [16, 17], [17, 18], [18, 19]),
    ]
)
_ARM, _LEG = (0.07, 0.046, 0.037, 0.038), (0.1, 0.074, 0.05, 0.04)
_RADII = np.array([0.09, 0.14, 0.14, *_ARM, *_ARM, *_LEG, *_LEG])


class Trial(NamedTuple):
    """One trial on the motion's time axis. ``name`` is that of its files: ``a1_s7_t1``."""

    name: str
    start_s: float
    end_s: float
    action: str

    @property
    def place(self) -> str:
        """Where the IMU is worn."""
        return place_of(self.name)


def place_of(name: str) -> str:
    """Where the IMU is worn in the trial of this name: on the right ``wrist`` or on the right ``thigh``."""
    return "thigh" if trial_numbers(name)[0] in ON_THE_THIGH else "wrist"


def trial_numbers(name: str) -> Tuple[int, int, int]:
    """Action, subject and repeat of a trial: 1, 7 and 2 of ``a1_s7_t2``."""
    action, subject, repeat = (int(part[1:]) for part in name.split("_"))
    return action, subject, repeat


def frame_times(frames: int, seconds: float) -> np.ndarray:
    """The times of a trial's camera frames, spread evenly over the trial."""
    return (np.arange(frames) + 0.5) * seconds / frames


def load(folder: Path, kind: str, name: str) -> np.ndarray:
    """Reads one modality of one trial, as it is in the data set.

    Args:
        folder: the data set's folder, with Inertial, Skeleton and Depth in it.
        kind: ``inertial`` (T, 6) in g and deg/s, ``skeleton`` (20, 3, frames) in metres, ``depth``
            (240, 320, frames) in millimetres.
        name: for example ``a1_s7_t1``.

    Raises:
        SensorNotFound: the file is missing or is not one of UTD-MHAD's.
    """
    path = folder / kind.capitalize() / f"{name}_{kind}.mat"
    if kind == "inertial":
        return read_inertial(path, "d_iner", _NAME)
    if kind == "skeleton":
        joints = read_matrix(path, "d_skel", (20, 3, None), _NAME)
        refuse_implausible(path, "its joints", joints, -10, 10, "metres")
        return joints
    images = read_matrix(path, "d_depth", (240, 320, None), _NAME)
    refuse_implausible(path, "its distances", images, 0, 10_000, "millimetres")
    refuse_implausible(path, "the largest of its distances", images.max(), 500, 10_000, "millimetres, and not metres")
    return images.astype(np.uint16, copy=False)


def trial_names(
    folder: Path, subjects: Sequence[int], actions: Sequence[int] | None = None, repeats: Sequence[int] | None = None
) -> list[str]:
    """Lists the trials of a data set by action, subject and repeat. None stands for all.

    Raises:
        SensorNotFound: the folder is missing or holds no such trial.
    """
    inertial = folder / "Inertial"
    if not inertial.is_dir():
        raise SensorNotFound(
            f"{inertial}: no such folder. Name the folder of UTD-MHAD that holds Inertial, Skeleton and Depth."
        )
    matches = [re.fullmatch(r"a(\d+)_s(\d+)_t(\d+)_inertial", path.stem) for path in inertial.glob("*.mat")]
    numbers = sorted((int(m[1]), int(m[2]), int(m[3])) for m in matches if m)
    chosen = [
        f"a{action}_s{subject}_t{repeat}"
        for action, subject, repeat in numbers
        if subject in subjects
        and (actions is None or action in actions)
        and (repeats is None or repeat in repeats)
        and action in ACTIVITIES
    ]
    if not chosen:
        wanted = f"subjects {list(subjects)}, actions {actions or 'any'}, repeats {repeats or 'any'}"
        raise SensorNotFound(f"{inertial}: no trial of {wanted}. UTD-MHAD has subjects 1-8, actions 1-27, repeats 1-4.")
    return chosen


def in_room(skeleton: np.ndarray) -> np.ndarray:
    """Turns a skeleton into the room's axes: x to the right as the camera looks, y away from it, z up.

    The pictures of UTD-MHAD are those of a mirror, and its skeletons have the axes of these pictures: x to the camera's
    left, y up, z away. Where these people move their right arm, it is on the right of the picture, although they face
    the camera. Their inertial sensor agrees with skeletons that are turned back, and not with mirrored ones.

    Args:
        skeleton: (20, 3, frames) in metres, as in the data set.

    Returns:
        (frames, 20, 3) in metres.
    """
    return skeleton[:, [0, 2, 1]].transpose(2, 0, 1) * np.array([-1.0, 1.0, 1.0])


def joint_paths(folder: Path, name: str, seconds: float) -> CubicSpline:
    """Smoothed joint positions during a trial, mirrored as in its pictures (``in_room``).

    Args:
        folder: the data set's folder.
        name: the trial's name.
        seconds: how long the trial lasts.

    Returns:
        A function from times (n,) within its frames to positions (n, 20, 3) in the radar's axes: x to the right of the
        picture, y away, z up, in metres.

    Raises:
        SensorNotFound: the skeleton's file is missing or broken.
    """
    skeleton = load(folder, "skeleton", name)
    joints = gaussian_filter1d(skeleton[:, [0, 2, 1]].transpose(2, 0, 1), 1.0, axis=0, mode="nearest")
    return CubicSpline(frame_times(len(joints), seconds), joints)


def simulated_radar(paths: CubicSpline, time_s: float, moving: bool, rng: np.random.Generator) -> np.ndarray:
    """What a radar would detect in a trial, **simulated** from the skeleton.

    Args:
        paths: the result of ``joint_paths``.
        time_s: the trial's own time. Before the first frame the body has the first pose, after the last frame the last.
        moving: False for someone who holds the pose.
        rng: draws this frame's noise.

    Returns:
        (n, 5) float32: x, y, z (m), radial speed (m/s), SNR (dB).
    """
    time_s = float(np.clip(time_s, paths.x[0], paths.x[-1]))
    speeds = paths(time_s, 1) if moving else np.zeros((20, 3))
    return detect(paths(time_s)[_BONES], speeds[_BONES], _RADII, rng)


class UtdMotion:
    """Trials of UTD-MHAD one after another, with rests before, between and after. Implements ``motion.Motion``.

    IMU: the real samples at their exact times (50 Hz), linearly interpolated. The magnetic field is NaN. Where it
    is worn depends on the action (``ON_THE_WRIST``). Depth: the real frames of the Kinect v1, mirrored and with
    background 0 as published. A trial lasts as long as its IMU samples, and its frames are spread evenly over that,
    because the camera dropped some. **Radar is simulated** from the real skeleton's motion, and mirrored as the frames
    are. During a rest the IMU passes smoothly from one trial to the next, the images switch half-way, and the radar
    sees no motion.

    Args:
        path: the folder with Inertial, Skeleton and Depth.
        subjects: the people whose trials to play.
        actions, repeats: which trials to play; None plays all.
        rest_s: the length of a rest.
        seed: seed of the trials' order and of the radar's noise; None keeps the order of the files.

    Attributes:
        trials: all trials with their times.

    Raises:
        SensorNotFound: a folder or file is missing or unreadable, or no trial remains.
    """

    camera = Camera(320, 240, 285.6, 285.6, 159.5, 119.5, 15.0, 0.001)
    imu_places: Tuple[str, ...] = ("imu",)  # wrist or thigh, whichever the action's trials have
    imu_rate_hz = IMU_RATE_HZ
    radar_rate_hz = 20.0

    def __init__(
        self,
        path: Path,
        subjects: Sequence[int] = (7, 8),
        actions: Sequence[int] | None = None,
        repeats: Sequence[int] | None = None,
        rest_s: float = 1.0,
        seed: int | None = None,
    ) -> None:
        self._folder = Path(path)
        self._seed = seed or 0
        names = trial_names(self._folder, subjects, actions, repeats)
        if seed is not None:
            np.random.default_rng(seed).shuffle(names)
        self.trials: list[Trial] = []
        times, values = [], []
        now_s = rest_s
        for name in names:
            for kind in ("Skeleton", "Depth"):
                if not (self._folder / kind / f"{name}_{kind.lower()}.mat").is_file():
                    load(self._folder, kind.lower(), name)  # raises if something is missing
            samples = load(self._folder, "inertial", name)
            end_s = now_s + len(samples) / IMU_RATE_HZ
            self.trials.append(Trial(name, now_s, end_s, ACTIVITIES[trial_numbers(name)[0]]))
            times.append(now_s + np.arange(len(samples)) / IMU_RATE_HZ)
            values.append(samples)
            now_s = end_s + rest_s
        self.duration_s = now_s
        self._times_s = np.concatenate(times)
        self._imu = np.concatenate(values) * TO_SI
        self._switch_s = np.array([trial.start_s - rest_s / 2 for trial in self.trials[1:]])
        self._images = lru_cache(maxsize=2)(lambda name: load(self._folder, "depth", name))
        self._paths = lru_cache(maxsize=4)(
            lambda trial: joint_paths(self._folder, trial.name, trial.end_s - trial.start_s)
        )

    def imu(self, times_s: np.ndarray, place: str = "imu") -> np.ndarray:
        """Returns (n, 9): specific force in m/s², angular rate in rad/s, magnetic field NaN."""
        times_s = np.clip(times_s, self._times_s[0], self._times_s[-1])
        left = (np.searchsorted(self._times_s, times_s, side="right") - 1).clip(0, len(self._times_s) - 2)
        gap = self._times_s[left + 1] - self._times_s[left]
        share = (times_s - self._times_s[left]) / gap
        resting = gap > 1.5 / IMU_RATE_HZ
        share = np.where(resting, share * share * (3 - 2 * share), share)[:, None]
        values = (1 - share) * self._imu[left] + share * self._imu[left + 1]
        return np.hstack([values, np.full((len(values), 3), np.nan)])

    def depth(self, time_s: float) -> np.ndarray:
        """Returns (240, 320) uint16 millimetres; 0 where nothing is measured and for the background."""
        trial = self._trial_at(time_s)
        images = self._images(trial.name)
        share = (time_s - trial.start_s) / (trial.end_s - trial.start_s)
        return np.ascontiguousarray(images[..., int(np.clip(share * images.shape[2], 0, images.shape[2] - 1))])

    def radar(self, time_s: float) -> np.ndarray:
        """Returns (n, 5) float32, simulated from the skeleton: x, y, z (m), radial speed (m/s), SNR (dB)."""
        trial = self._trial_at(time_s)
        moving = trial.start_s <= time_s < trial.end_s
        return simulated_radar(self._paths(trial), time_s - trial.start_s, moving, noise_at(self._seed, 51, time_s))

    def activities(self, until_s: float) -> list[ActivityStart]:
        """Returns every action and rest that starts before ``until_s``, oldest first."""
        starts = [ActivityStart(0.0, NONE)]
        for trial in self.trials:
            starts += [ActivityStart(trial.start_s, trial.action), ActivityStart(trial.end_s, NONE)]
        return [start for start in starts if start.start_s < until_s]

    def _trial_at(self, time_s: float) -> Trial:
        return self.trials[int(np.searchsorted(self._switch_s, time_s, side="right"))]
