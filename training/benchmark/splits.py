"""Selects windows: those with a label, those of one repeat, and those of one part of the data set."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.training.windows import Windows


def balanced_draw(labels: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """A mask (N,) of ``rate`` percent of the windows, as many of each label, and at least one of each.

    A label with too few windows gets all of them. 100 % is all windows, however many each label has.
    """
    if rate >= 100:
        return np.ones(len(labels), bool)
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    each = max(1, round(rate / 100 * len(labels) / len(classes)))
    chosen = np.zeros(len(labels), bool)
    for label in classes:
        chosen[random.permutation(np.flatnonzero(labels == label))[:each]] = True
    return chosen


def draw_in_turns(labels: np.ndarray, people: np.ndarray, each: int, seed: int) -> np.ndarray:
    """A mask (N,) of ``each`` windows of every label, drawn from its people in turns. Larger masks include smaller."""
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        drawn = random.permutation(np.flatnonzero(labels == label))
        turns = np.array([np.count_nonzero(people[drawn[:i]] == people[window]) for i, window in enumerate(drawn)])
        chosen[drawn[np.argsort(turns, kind="stable")][:each]] = True
    return chosen


def repeats(windows: Windows) -> np.ndarray:
    """(N,) int: the number of each window's trial, which ends the recording's name (``a1_s7_t2``)."""
    return np.array([int(name.rsplit("_t", 1)[1]) for name in windows.recordings], int)


def radhar_quarters(windows: Windows) -> np.ndarray:
    """(N,) 1 to 4, in turns over the recordings of each activity, sorted by name."""
    quarters = np.zeros(len(windows), int)
    for label in np.unique(windows.labels):
        ours = windows.labels == label
        quarters[ours] = np.unique(windows.recordings[ours], return_inverse=True)[1] % 4 + 1
    return quarters


def radhar_parts(windows: Windows) -> np.ndarray:
    """(N,) 1 for recordings in the published folder Train, 2 for Test, 0 elsewhere."""
    parts = {"train": 1, "test": 2}
    return np.array([parts.get(name.split("/")[0].lower(), 0) for name in windows.recordings], int)


def one_person(windows: Windows, turn: int) -> np.ndarray:
    """(N,) bool: the windows of one person, another one in each turn."""
    people = np.unique(windows.groups)
    return windows.groups == people[turn % len(people)]


def a_fifth_of_the_trials(windows: Windows, turn: int) -> np.ndarray:
    """(N,) bool: a random fifth of each activity's recordings; in five turns, each recording is drawn once."""
    chosen = np.zeros(len(windows), bool)
    for label in np.unique(windows.labels):
        ours = windows.labels == label
        recordings = np.random.default_rng(0).permutation(np.unique(windows.recordings[ours]))
        chosen |= ours & np.isin(windows.recordings, recordings[turn % 5 :: 5])
    return chosen
