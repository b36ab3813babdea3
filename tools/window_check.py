"""Compares what a model sees of simulated and of real people: `python tools/window_check.py --data PATH/utd-mhad`.

Real people are the training subjects 1 to 6 of UTD-MHAD. Simulated people are at home, or act on request as data sets
record them (``tools/train_everyday.py --only simulated`` learns from both). For each measure, the lower quartile, the
median and the upper quartile over windows of one activity are given. Pictures count only without a background.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Callable, Dict

import numpy as np

from cosmo_runtime.places import cache_folder
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.tools.train_everyday import ACTORS, PEOPLE, SECONDS
from cosmo_runtime.training.datasets.everyday import CLASSES, LIKE_NAMED, acted, real_people, simulated
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows

SUBJECTS = range(1, 7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of UTD-MHAD")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    options = parser.parse_args()
    origins = {
        "real": real_people(options.data, SUBJECTS, options.cache),
        "at home": simulated(PEOPLE, SECONDS, options.cache),
        "acting": acted(ACTORS, SECONDS, options.cache),
    }
    print("\n\n".join(f"{name}:\n\n{_table(measure, origins)}" for name, measure in MEASURES.items()))


def person_share(windows: Windows) -> np.ndarray:
    """The share of the picture that the person fills, in percent, for each window without a background."""
    return 100 * _silhouettes(windows).mean(axis=(1, 2, 3))


def flicker(windows: Windows) -> np.ndarray:
    """Blocks of the picture that the person enters or leaves from one image to the next, as a share of the person."""
    person = _silhouettes(windows)
    changed = (person[:, 1:] != person[:, :-1]).sum(axis=(2, 3)).mean(axis=1)
    return 100 * changed / person.sum(axis=(2, 3)).mean(axis=1)


def distance(windows: Windows) -> np.ndarray:
    """The median distance of the person in metres, for each window without a background."""
    return np.array([np.median(depth[depth > 0]) for depth in _bare(windows)])


def shaking(windows: Windows) -> np.ndarray:
    """The standard deviation of the acceleration's magnitude at the wrist, in m/s²."""
    worn = np.asarray(windows.features["imu"])[windows.presence[:, 0]]
    return np.asarray(np.linalg.norm(worn[..., :3], axis=-1).std(axis=1))


def points(windows: Windows) -> np.ndarray:
    """Radar points a frame."""
    return np.asarray((np.abs(windows.features["radar"]).sum(axis=3) > 0).sum(axis=2).mean(axis=1))


def speed(windows: Windows) -> np.ndarray:
    """The mean radial speed of the radar's points, in m/s."""
    radar = np.asarray(windows.features["radar"])
    there = np.abs(radar).sum(axis=3) > 0
    some = there.any(axis=(1, 2))
    total = np.where(there, np.abs(radar[..., 3]), 0).sum(axis=(1, 2))
    return np.asarray(total[some] / there.sum(axis=(1, 2))[some])


MEASURES: Dict[str, Callable[[Windows], np.ndarray]] = {
    "Person's share of the picture, %": person_share,
    "Outline changed from image to image, % of the person": flicker,
    "Distance, m": distance,
    "Wrist's acceleration, standard deviation in m/s²": shaking,
    "Radar points a frame": points,
    "Their speed, m/s": speed,
}


def _bare(windows: Windows) -> np.ndarray:
    depth = np.asarray(windows.features["depth"], np.float32)
    empty = (depth == 0).mean(axis=(1, 2, 3))
    return depth[(empty > 0.5) & (empty < 1)]


def _silhouettes(windows: Windows) -> np.ndarray:
    return np.asarray(_bare(windows) > 0)


def _table(measure: Callable[[Windows], np.ndarray], origins: Dict[str, Windows]) -> str:
    lines = [f"| | {' | '.join(origins)} |", "|" + "---|" * (1 + len(origins))]
    for activity in dict.fromkeys(LIKE_NAMED.values()):
        cells = []
        for windows in origins.values():
            values = measure(windows.where(windows.labels == CLASSES.index(activity)))
            quartiles = np.percentile(values, [50, 25, 75]) if len(values) else []
            cells.append("{:.3g} ({:.3g} to {:.3g})".format(*quartiles) if len(quartiles) else "–")
        lines.append(f"| {activity} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except (DataSetError, SensorError) as error:
        raise SystemExit(str(error)) from error
