"""UTD-MHAD as a motion: the real IMU and depth of its trials, and radar synthesised from their real skeletons.

Chen, Jafari, Kehtarnavaz, "UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing a Depth Camera and a
Wearable Inertial Sensor", ICIP 2015. The data set has no radar: what ``UtdMotion.radar`` returns is simulated.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Sequence

import numpy as np
import scipy.io
from scipy.interpolate import CubicSpline
from scipy.io.matlab import MatReadError
from scipy.ndimage import gaussian_filter1d

from sensors.emulation.inertial import GRAVITY
from sensors.emulation.motion import ActivityStart, Camera
from sensors.emulation.returns import detect
from sensors.sensor import SensorError, SensorNotFound

IMU_RATE_HZ = 50.0
REST = "none"
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

_KEYS = {"inertial": "d_iner", "skeleton": "d_skel", "depth": "d_depth"}

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
    """One trial on the motion's time axis; ``name`` is that of its files: ``a1_s7_t1``."""

    name: str
    start_s: float
    end_s: float
    action: str


def parse_subjects(text: str) -> tuple[int, ...]:
    """Reads ``7,8`` or ``1-6`` or ``1-3,7``.

    Raises:
        SensorError: anything else.
    """
    subjects: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise SensorError(f"subjects {text!r}: expected numbers such as 7,8 or 1-6")
        subjects += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(subjects)


def frame_times(frames: int, seconds: float) -> np.ndarray:
    """When each of a trial's camera frames was taken, spread evenly over the trial."""
    return (np.arange(frames) + 0.5) * seconds / frames


def load(folder: Path, kind: str, name: str) -> np.ndarray:
    """Reads one trial of one modality as the data set has it.

    Args:
        folder: of the data set, with Inertial, Skeleton and Depth in it.
        kind: ``inertial`` (T, 6) in g and deg/s, ``skeleton`` (20, 3, frames) in metres, ``depth``
            (240, 320, frames) in millimetres.
        name: for example ``a1_s7_t1``.

    Raises:
        SensorNotFound: the file is missing or is none of UTD-MHAD's.
    """
    path = folder / kind.capitalize() / f"{name}_{kind}.mat"
    try:
        return scipy.io.loadmat(str(path))[_KEYS[kind]]
    except FileNotFoundError:
        raise SensorNotFound(
            f"{path}: no such file. UTD-MHAD has Inertial, Skeleton and Depth of every trial."
        ) from None
    except (KeyError, ValueError, TypeError, OSError, zlib.error, NotImplementedError, MatReadError) as error:
        raise SensorNotFound(f"{path}: not a file of UTD-MHAD ({error}). Fetch the data set again.") from error


def trial_names(
    folder: Path, subjects: Sequence[int], actions: Sequence[int] | None = None, repeats: Sequence[int] | None = None
) -> list[str]:
    """Lists the trials of a data set, by action, subject and repeat; None takes all there are.

    Raises:
        SensorNotFound: the folder is not there, or holds no such trial.
    """
    inertial = folder / "Inertial"
    if not inertial.is_dir():
        raise SensorNotFound(
            f"{inertial}: no such folder. Give the folder of UTD-MHAD that holds Inertial, Skeleton and Depth."
        )
    found = [re.fullmatch(r"a(\d+)_s(\d+)_t(\d+)_inertial", path.stem) for path in inertial.glob("*.mat")]
    numbers = sorted((int(m[1]), int(m[2]), int(m[3])) for m in found if m)
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


def joint_paths(folder: Path, name: str, seconds: float) -> CubicSpline:
    """Smoothed joint positions of a trial over its own seconds.

    Args:
        folder: of the data set.
        name: of the trial.
        seconds: how long it lasts.

    Returns:
        From times (n,) within its frames' to (n, 20, 3) as the radar has them: x right, y away, z up; metres.

    Raises:
        SensorNotFound: the skeleton's file is missing or broken.
    """
    skeleton = load(folder, "skeleton", name)
    joints = gaussian_filter1d(skeleton[:, [0, 2, 1]].transpose(2, 0, 1), 1.0, axis=0, mode="nearest")
    return CubicSpline(frame_times(len(joints), seconds), joints)


def simulated_radar(paths: CubicSpline, time_s: float, moving: bool, rng: np.random.Generator) -> np.ndarray:
    """What a radar would detect of a trial's person, **simulated** from the skeleton.

    Args:
        paths: from ``joint_paths``.
        time_s: the trial's own time; before its first frame the body is that of the first one, likewise at the end.
        moving: False for someone who keeps the pose.
        rng: of this frame's noise.

    Returns:
        (n, 5) float32: x, y, z (m), radial speed (m/s), SNR (dB).
    """
    time_s = float(np.clip(time_s, paths.x[0], paths.x[-1]))
    speeds = paths(time_s, 1) if moving else np.zeros((20, 3))
    return detect(paths(time_s)[_BONES], speeds[_BONES], _RADII, rng)


class UtdMotion:
    """Trials of UTD-MHAD one after another, with a rest before, between and after; implements ``motion.Motion``.

    IMU: the real samples at exactly their times (50 Hz), straight lines between; the magnetic field is NaN. Actions 1
    to 21 have it on the right wrist, 22 to 27 on the right thigh. Depth: the real frames of the Kinect v1, background
    0 as published; a trial lasts as long as its IMU samples, and its frames are spread evenly over that, since the
    camera dropped some. **Radar is simulated** from the real skeleton's motion. In a rest the sensors of the trials on
    either side pass into each other: the IMU smoothly, the images half-way, the radar sees nothing move.

    Args:
        path: the folder with Inertial, Skeleton and Depth.
        subjects: whose trials.
        actions, repeats: which of them; all when None.
        rest_s: the rest's length.
        seed: of the order of the trials and of the radar's noise; None keeps the order of the files.

    Attributes:
        trials: every trial with its times.

    Raises:
        SensorNotFound: a folder or file is missing or unreadable, or no trial is left.
    """

    camera = Camera(320, 240, 285.6, 285.6, 159.5, 119.5, 15.0, 0.001)
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
                    load(self._folder, kind.lower(), name)  # says what is missing
            samples = load(self._folder, "inertial", name)
            end_s = now_s + len(samples) / IMU_RATE_HZ
            self.trials.append(Trial(name, now_s, end_s, ACTIVITIES[int(name[1 : name.index("_")])]))
            times.append(now_s + np.arange(len(samples)) / IMU_RATE_HZ)
            values.append(samples)
            now_s = end_s + rest_s
        self.duration_s = now_s
        self._times_s = np.concatenate(times)
        self._imu = np.concatenate(values) * np.repeat([GRAVITY, np.pi / 180], 3)
        self._switch_s = np.array([trial.start_s - rest_s / 2 for trial in self.trials[1:]])
        self._images = lru_cache(maxsize=2)(lambda name: load(self._folder, "depth", name))
        self._paths = lru_cache(maxsize=4)(
            lambda trial: joint_paths(self._folder, trial.name, trial.end_s - trial.start_s)
        )

    def imu(self, times_s: np.ndarray) -> np.ndarray:
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
        rng = np.random.default_rng((self._seed, 51, round(time_s * 1e6) & 0xFFFFFFFFFFFF))
        return simulated_radar(self._paths(trial), time_s - trial.start_s, moving, rng)

    def activities(self, until_s: float) -> list[ActivityStart]:
        """Returns every action and rest that starts before ``until_s``, oldest first."""
        starts = [ActivityStart(0.0, REST)]
        for trial in self.trials:
            starts += [ActivityStart(trial.start_s, trial.action), ActivityStart(trial.end_s, REST)]
        return [start for start in starts if start.start_s < until_s]

    def _trial_at(self, time_s: float) -> Trial:
        return self.trials[int(np.searchsorted(self._switch_s, time_s, side="right"))]
