"""Applies a temperature to probabilities, so that they match how often the model is right."""

from __future__ import annotations

import numpy as np

_LEAST = 1e-8  # half precision turns smaller probabilities into 0


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Softens (above 1) or sharpens (below 1) probabilities, as if the network's logits were divided by T.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The logarithms of
    probabilities serve as well as the logits, because softmax only loses a constant that all logits share.

    Args:
        probabilities: (..., classes), each with sum 1.
        temperature: T; 1 changes nothing.
    """
    if temperature == 1:
        return probabilities
    logits = np.log(np.maximum(probabilities, _LEAST)) / temperature
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    answer: np.ndarray = shares / shares.sum(axis=-1, keepdims=True)
    return answer.astype(probabilities.dtype)
