"""Compares how simulated people act with how real ones do: `python tools/acting_check.py --data PATH/utd-mhad`.

Real people are the training subjects 1 to 6 of UTD-MHAD, whose skeletons a Kinect tracked. Simulated ones are those who
act on request (``sensors/simulation/acting.py``), from whom ``tools/train_everyday.py --only simulated`` learns. Each
cell has the medians over the trials of an activity. Lengths count in trunks, from the hips to the shoulders, because
bodies differ.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

import numpy as np
from rich.progress import track

from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation import body, utd
from cosmo_runtime.sensors.simulation.person import SimulatedPerson
from cosmo_runtime.sensors.simulation.setting import acted_setting
from cosmo_runtime.sensors.simulation.takes import Takes
from cosmo_runtime.tools.train_everyday import ACTORS, SECONDS
from cosmo_runtime.training.datasets.everyday import LIKE_NAMED

SUBJECTS = range(1, 7)

Trials = Mapping[str, Sequence[Dict[str, float]]]

_RATE_HZ = 30.0
_KINECT = np.array([[4, 5, 6, 12, 13, 14], [8, 9, 10, 16, 17, 18]])
_SIMULATED = np.array([body.UPPER_ARM, body.FOREARM, body.HAND, body.THIGH, body.SHANK, body.FOOT]).T
_STRIDE = 15.0  # degrees by which one knee is bent more than the other
_SHOULDER, _ELBOW, _WRIST, _HIP, _KNEE, _ANKLE = range(6)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0] + ".")
    parser.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    options = parser.parse_args()
    print(_table(real(options.data, SUBJECTS), simulated(ACTORS, SECONDS)))


def real(folder: Path, subjects: Sequence[int]) -> Trials:
    """The figures of each trial of UTD-MHAD whose action has a name here, by activity."""
    found: Dict[str, List[Dict[str, float]]] = {}
    numbers = [number for number, name in utd.ACTIVITIES.items() if name in LIKE_NAMED]
    for name in utd.trial_names(folder, subjects, numbers):
        joints = utd.in_room(utd.load(folder, "skeleton", name))
        seconds = len(utd.load(folder, "inertial", name)) / utd.IMU_RATE_HZ
        activity = LIKE_NAMED[utd.ACTIVITIES[utd.trial_numbers(name)[0]]]
        found.setdefault(activity, []).append(figures(joints[:, _KINECT], len(joints) / seconds))
    return found


def simulated(seeds: Sequence[int], seconds: float) -> Trials:
    """The figures of each take of simulated people who act, by activity."""
    found: Dict[str, List[Dict[str, float]]] = {}
    for seed in track(seeds, "simulated people who act"):
        person = SimulatedPerson(seed, setting=acted_setting(seed))
        for take in Takes(person, seconds, seed).takes:
            times_s = take.from_s + np.arange(0, take.end_s - take.start_s, 1 / _RATE_HZ)
            joints = person.frames(times_s).positions[:, _SIMULATED]
            found.setdefault(take.activity, []).append(figures(joints, _RATE_HZ))
    return found


def figures(joints: np.ndarray, rate_hz: float) -> Dict[str, float]:
    """How somebody holds themselves during a trial.

    Args:
        joints: (frames, 2, 6, 3) in metres, z up, the person facing along y: of the left side and the right, shoulder,
            elbow, wrist, hip, knee, ankle.
        rate_hz: frames a second.
    """
    count = len(joints)
    middle = slice(count // 4, max(count // 4 + 1, 3 * count // 4))
    trunk = np.median(np.linalg.norm(np.diff(joints[:, :, [_HIP, _SHOULDER]].mean(axis=1), axis=1), axis=-1))
    reach = (joints[:, :, _WRIST] - joints[:, :, _SHOULDER]) / trunk
    hand = int(np.argmax(reach[..., 2].max(axis=0)))
    hips = joints[:, :, _HIP, 2].mean(axis=1) - joints[:, :, _ANKLE, 2].min()
    elbows, knees = (np.degrees(_bent(joints, *limb)) for limb in ((_SHOULDER, _ELBOW, _WRIST), (_HIP, _KNEE, _ANKLE)))
    apart = np.linalg.norm(joints[:, 0, _WRIST] - joints[:, 1, _WRIST], axis=1)[middle] / trunk
    stride = knees[:, 0] - knees[:, 1]
    steps = np.quantile(np.abs(stride), 0.75) > _STRIDE
    power = np.abs(np.fft.rfft((stride - stride.mean()) * np.hanning(count), 8 * count))
    return {
        "lasts, s": count / rate_hz,
        "hips at their lowest, % of upright": float(100 * np.quantile(hips, 0.03) / np.quantile(hips, 0.95)),
        "knee at its most bent, °": float(np.quantile(knees.max(axis=1), 0.95)),
        "strides a second": float(np.fft.rfftfreq(8 * count, 1 / rate_hz)[power.argmax()]) if steps else np.nan,
        "higher hand above its shoulder, trunks": float(np.quantile(reach[:, hand, 2], 0.9)),
        "its elbow at its most bent, °": float(np.quantile(elbows[middle, hand], 0.95)),
        "hand farthest ahead, trunks": float(np.quantile(np.abs(reach[middle, :, 1]).max(axis=1), 0.95)),
        "hands nearest, trunks": float(np.quantile(apart, 0.05)),
        "hands farthest, trunks": float(np.quantile(apart, 0.95)),
    }


def _bent(joints: np.ndarray, above: int, joint: int, below: int) -> np.ndarray:
    """By how much (frames, 2) a joint is bent, in radians; 0 is straight."""
    upper, lower = joints[:, :, joint] - joints[:, :, above], joints[:, :, below] - joints[:, :, joint]
    cosine = (upper * lower).sum(axis=-1) / np.linalg.norm(upper, axis=-1) / np.linalg.norm(lower, axis=-1)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)))


def _table(real_people: Trials, acting: Trials) -> str:
    activities = [activity for activity in dict.fromkeys(LIKE_NAMED.values()) if activity in real_people]
    names = list(next(iter(real_people.values()))[0])
    lines = [f"| real / acting, medians | {' | '.join(activities)} |", "|" + "---|" * (1 + len(activities))]
    for name in names:
        cells = []
        for activity in activities:
            sides = [[trial[name] for trial in trials.get(activity, [])] for trials in (real_people, acting)]
            rare = any(np.isnan(side).mean() > 0.5 for side in sides)
            cells.append("–" if rare else " / ".join(f"{np.nanmedian(side):.3g}" for side in sides))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except SensorError as error:
        raise SystemExit(str(error)) from error
