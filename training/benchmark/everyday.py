"""Measures a model of everyday activities on real people, with some sensors missing, on falls, and its calibration.

Real people are subjects of UTD-MHAD that the model was not trained on. Windows are those of the live stream, two a
second, each labelled with the activity at its middle. Probabilities are read as the spec says for the sensors that are
asked, and not smoothed. The answer is the most probable activity; a fall counts only where a run would say so, which
answers ``uncertain`` below the threshold.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np
import torch
from sklearn.metrics import f1_score

from cosmo_runtime.models.bundle import Bundle, BundleError
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.adapt.base import Base
from cosmo_runtime.training.calibration import expected_calibration_error
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.datasets.everyday import CLASSES, WRIST_ACTIONS
from cosmo_runtime.training.evaluate import read
from cosmo_runtime.training.windows import Windows

FALL_LABEL, NONE_LABEL, STILL_LABEL = (CLASSES.index(name) for name in ("fall", "none", "still"))
SUBSETS = {
    "all sensors": (True, True, True),
    "without the IMU": (False, True, True),
    "with depth alone": (False, True, False),
    "with radar alone": (False, False, True),
    "with the IMU alone": (True, False, False),
    "without the radar": (True, True, False),
    "without the camera": (True, False, True),
}
_NEAR = 3  # windows; a call this near to a fall is no false alarm


def taught_by(model: Union[Bundle, Base], subjects: Sequence[int]) -> List[int]:
    """Those of these subjects of UTD-MHAD that taught a model, so that it is no test of strangers."""
    return sorted(set(subjects) & set(model.provenance.get("subjects", [])))


def require_strangers(model: Union[Bundle, Base], subjects: Sequence[int]) -> None:
    """Refuses to test a model on subjects of UTD-MHAD that taught it.

    Raises:
        BundleError: it learned from one of them.
    """
    known = taught_by(model, subjects)
    if known:
        raise BundleError(
            f"{model.path}: learned from subjects {', '.join(map(str, known))}, so they cannot test it; test a twin,"
            " which `python tools/train_everyday.py --train …` makes without them"
        )


class Answers:
    """A network's answers about windows, with any subset of their sensors. Windows are embedded only once."""

    def __init__(self, network: CosmoNetwork, windows: Windows) -> None:
        self._classifier = network.eval().classifier
        self._z, self._presence, _ = embed(network.encoders, windows)

    @torch.no_grad()
    def __call__(self, subset: Sequence[bool]) -> Tuple[np.ndarray, np.ndarray]:
        """Returns probabilities (N, classes), and which of these sensors each window has (N, M)."""
        presence = self._presence * torch.tensor(subset, dtype=torch.float32)
        logits, _ = self._classifier(self._z, presence)
        return torch.softmax(logits, dim=1).numpy(), presence.numpy() > 0


def of_real_people(network: CosmoNetwork, people: Windows, spec: ModelSpec) -> Dict[str, Dict[str, Any]]:
    """Scores on windows of people that the model was not trained on. An IMU that is not on the wrist counts as absent.

    Returns:
        For each subset of the sensors: ``right``, the share of correct answers for actions that the model has a name
        for, and ``right and said``, the share that is not ``uncertain``, either; ``called ours``, the share of other
        windows that are called anything but ``none``; ``answered``, the share of all windows that are not
        ``uncertain``, and ``wrong of the answered``; ``ECE``; the numbers of windows.
    """
    labelled = people.labelled
    answers = Answers(network, labelled)
    figures: Dict[str, Dict[str, Any]] = {}
    for name, subset in SUBSETS.items():
        probabilities, presence = answers(subset)
        there = presence.any(axis=1)
        labels = labelled.labels[there]
        probabilities, thresholds = read(spec, probabilities[there], presence[there])
        predicted, named = probabilities.argmax(axis=1), labels != NONE_LABEL
        sure = probabilities.max(axis=1) >= thresholds
        figures[name] = {
            "windows": len(labels),
            "accuracy": float((predicted == labels).mean()),
            "macro_f1": float(f1_score(labels, predicted, labels=np.unique(labels), average="macro")),
            "like-named windows": int(named.sum()),
            "right": float((predicted == labels)[named].mean()),
            "right and said": float(((predicted == labels) & sure)[named].mean()),
            "called ours": float((predicted != NONE_LABEL)[~named].mean()),
            "called ours, still apart": float((~np.isin(predicted, [NONE_LABEL, STILL_LABEL]))[~named].mean()),
            "answered": float(sure.mean()),
            "wrong of the answered": float((predicted != labels)[sure].mean()) if sure.any() else 0.0,
            "ECE": expected_calibration_error(probabilities, labels),
            "by activity": {
                CLASSES[label]: float((predicted == label)[labels == label].mean())
                for label in np.unique(labels).tolist()
            },
        }
        wrist = np.isin(labels, [CLASSES.index(action) for action in WRIST_ACTIONS])
        figures[name]["right, wrist actions"] = float((predicted == labels)[wrist].mean())
    return figures


def falls_called(network: CosmoNetwork, windows: Windows, spec: ModelSpec) -> Dict[str, int]:
    """How many windows, labelled or not, are called ``fall``, for each subset of the sensors."""
    answers = Answers(network, windows)
    called = {}
    for name, subset in SUBSETS.items():
        probabilities, presence = answers(subset)
        called[name] = int(says_fall(spec, probabilities, presence)[presence.any(axis=1)].sum())
    return called


def says_fall(spec: ModelSpec, probabilities: np.ndarray, presence: np.ndarray) -> np.ndarray:
    """Which windows (N,) a run calls a fall, by the network's probabilities (N, classes) and their sensors (N, M)."""
    probabilities, thresholds = read(spec, probabilities, presence)
    answer: np.ndarray = (probabilities.argmax(axis=1) == FALL_LABEL) & (probabilities.max(axis=1) >= thresholds)
    return answer


class Falls(NamedTuple):
    """Falls in the truth, those that were found, and calls of a fall that were false."""

    true: int
    found: int
    false: int


def falls_among(people: Windows, calls: np.ndarray) -> Falls:
    """Compares calls of a fall (N,) with the truth.

    A fall is found if any of its windows is called one. A false one is a run of windows that are called falls and are
    all far from any fall.
    """
    true = found = false = 0
    for group in np.unique(people.groups):
        here = people.groups == group
        truth, called = people.labels[here] == FALL_LABEL, calls[here]
        for start, end in runs_of(truth):
            true += 1
            found += bool(called[start:end].any())
        false += sum(not truth[max(0, start - _NEAR) : end + _NEAR].any() for start, end in runs_of(called))
    return Falls(true, found, false)


def of_simulated_people(network: CosmoNetwork, people: Windows, spec: ModelSpec) -> Dict[str, Dict[str, float]]:
    """Scores on simulated people that the model was not trained on: correct windows, falls found, and false falls."""
    answers = Answers(network, people)
    hours = len(people) * spec.hop_s / 3600
    known = people.labels >= 0
    figures = {}
    for name, subset in SUBSETS.items():
        probabilities, presence = answers(subset)
        predicted = read(spec, probabilities, presence)[0].argmax(axis=1)
        falls = falls_among(people, says_fall(spec, probabilities, presence))
        figures[name] = {
            "windows": int(known.sum()),
            "right": float((predicted == people.labels)[known].mean()),
            "falls": falls.true,
            "falls found": falls.found / max(1, falls.true),
            "false falls an hour": falls.false / hours,
            "hours": hours,
        }
    return figures


def runs_of(flags: np.ndarray) -> List[Tuple[int, int]]:
    """Where flags (N,) are set without a break: first position, and the one after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))
