"""How good a network is on windows it has not learned from."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score

from models.reference import AnyNetwork
from training.finetune import embed
from training.windows import Windows


@torch.no_grad()
def predict(network: AnyNetwork, windows: Windows) -> np.ndarray:
    """Probabilities (N, classes) of all windows."""
    network.eval()
    z, presence, _ = embed(network.encoders, windows)
    logits, _ = network.classifier(z, presence)
    return torch.softmax(logits, dim=1).numpy()


def evaluate(network: AnyNetwork, windows: Windows) -> dict[str, float]:
    """Accuracy and macro F1 (over the classes that occur) on labelled windows."""
    answers = predict(network, windows).argmax(1)
    return {
        "windows": len(windows),
        "accuracy": float(accuracy_score(windows.labels, answers)),
        "macro_f1": float(f1_score(windows.labels, answers, labels=np.unique(windows.labels), average="macro")),
    }
