"""How good a network is on windows it has not learned from."""

from __future__ import annotations

from typing import Optional

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score

from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.windows import Windows


@torch.no_grad()
def predict(network: CosmoNetwork, windows: Windows, spec: Optional[ModelSpec] = None) -> np.ndarray:
    """Probabilities (N, classes) of all windows: the network's own, or as a spec reads them with a window's sensors."""
    network.eval()
    z, presence, _ = embed(network.encoders, windows)
    logits, _ = network.classifier(z, presence)
    probabilities: np.ndarray = torch.softmax(logits, dim=1).numpy()
    return read(spec, probabilities, windows.presence)[0] if spec else probabilities


def read(spec: ModelSpec, probabilities: np.ndarray, presence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reads a network's probabilities as a run does.

    Args:
        spec: says how.
        probabilities: (N, classes).
        presence: (N, M), which sensors took part.

    Returns:
        probabilities (N, classes), and the threshold (N,) below which an answer is ``uncertain``.
    """
    probabilities, thresholds = probabilities.copy(), np.empty(len(probabilities))
    for there in np.unique(presence, axis=0):
        alike, reading = (presence == there).all(axis=1), spec.reading(there)
        probabilities[alike] = reading.of(probabilities[alike], spec.classes)
        thresholds[alike] = reading.threshold
    return probabilities, thresholds


def evaluate(network: CosmoNetwork, windows: Windows) -> dict[str, float]:
    """Accuracy and macro F1 (over the classes that occur) on labelled windows."""
    return {"windows": len(windows), **scores(windows.labels, predict(network, windows).argmax(1))}


def scores(labels: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """Accuracy and macro F1 over the classes that occur: labels (N,), answers (N,)."""
    return {
        "accuracy": float(accuracy_score(labels, answers)),
        "macro_f1": float(f1_score(labels, answers, labels=np.unique(labels), average="macro")),
    }
