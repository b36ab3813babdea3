"""Measures how useful confidence and novelty are on people and actions that a model has never seen.

    python tools/confidence_check.py --data PATH          # PATH/utd-mhad, IMU and skeleton, all labels

Five times, five other actions of UTD-MHAD's 27 are left out of training, so 25 of them are new once. The draw is fixed.
Subjects 1 to 5 are for training. Subject 6 gives the temperature, the threshold of certainty and the limit of novelty.
Subjects 7 and 8 are the test: how well novelty separates the left-out actions from the others, how many of them are
refused, how large the calibration error is, and how many of the answers above the threshold are wrong.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from sklearn.metrics import roc_auc_score

from cosmo_runtime.models.confidence import tempered
from cosmo_runtime.places import cache_folder
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.calibration import calibrate, expected_calibration_error
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.methods import Budget, Lesson
from cosmo_runtime.training.novelty import learn_novelty
from cosmo_runtime.training.windows import Windows

_TRAIN, _HELD_OUT, _TEST = (1, 2, 3, 4, 5), (6,), (7, 8)
_FOLDS, _AWAY = 5, 5
_PRETRAIN_STEPS, _STEPS = 300, 450


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds utd-mhad")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    parser.add_argument("--risk", type=float, default=0.02, help="largest share of wrong answers to accept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    windows = PROTOCOLS["utd-a"].windows(options.data, options.cache)
    order = np.random.default_rng(0).permutation(windows.labels.max() + 1)
    found: List[Dict[str, float]] = []
    for fold in range(_FOLDS):
        found.append(_measured(windows, order[fold * _AWAY : (fold + 1) * _AWAY], options.seed, options.risk))
        print(json.dumps(found[-1]), flush=True)
    print(json.dumps({"mean": {key: round(float(np.mean([f[key] for f in found])), 4) for key in found[0]}}))


def _measured(windows: Windows, away: np.ndarray, seed: int, risk: float) -> Dict[str, float]:
    known = np.setdiff1d(np.unique(windows.labels), away)
    index = np.full(windows.labels.max() + 1, -1)
    index[known] = np.arange(len(known))
    windows = replace(windows, labels=index[windows.labels])
    spec = PROTOCOLS["utd-a"].spec
    spec = spec.model_copy(update={"classes": tuple(spec.classes[number] for number in known)})
    train = windows.where(np.isin(windows.groups, _TRAIN)).labelled
    batches = -(-len(train) // Budget.pretrain_batch), -(-len(train) // Budget.batch)
    budget = Budget(max(1, round(_PRETRAIN_STEPS / batches[0])), max(1, round(_STEPS / batches[1])))
    with Progress(console=Console(stderr=True)) as progress:
        trained = Cosmo(mined=True).train(Lesson(spec, train, budget, seed, progress))

    def of(people: Tuple[int, ...]) -> Tuple[np.ndarray, np.ndarray]:
        chosen = windows.where(np.isin(windows.groups, people))
        return trained.predict(chosen), chosen.labels

    held, held_labels = of(_HELD_OUT)
    held, held_labels = held[held_labels >= 0], held_labels[held_labels >= 0]
    calibration = calibrate(np.log(held.clip(1e-12)), held_labels, risk)
    novelty = learn_novelty(trained.predict(train), train.labels, held)
    shares, labels = of(_TEST)
    new, distance = labels < 0, np.array([novelty.of(row) for row in shares])
    calibrated = tempered(shares[~new], calibration.temperature)
    answered = calibrated.max(1) >= calibration.min_confidence
    wrong = calibrated.argmax(1) != labels[~new]
    return {
        "accuracy": float(1 - wrong.mean()),
        "auroc": float(roc_auc_score(new, distance)),
        "auroc_of_the_probability": float(roc_auc_score(new, -shares.max(1))),
        "refused_at_95_accepted": float((distance[new] > np.quantile(distance[~new], 0.95)).mean()),
        "refused_by_the_limit": float((distance[new] > 1).mean()),
        "accepted_by_the_limit": float((distance[~new] <= 1).mean()),
        "temperature": calibration.temperature,
        "ece_before": expected_calibration_error(shares[~new], labels[~new]),
        "ece": expected_calibration_error(calibrated, labels[~new]),
        "min_confidence": calibration.min_confidence,
        "answered": float(answered.mean()),
        "wrong_of_the_answered": float(wrong[answered].mean()) if answered.any() else 0.0,
    }


if __name__ == "__main__":
    main()
