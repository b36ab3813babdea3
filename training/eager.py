"""A bundle's network run eagerly by torch, from its weights: what a compiled engine is compared with."""

from __future__ import annotations

from typing import Mapping

import numpy as np
import torch

from models.bundle import Bundle
from models.networks import load_network
from runtime.engine import EngineError


class TorchEngine:
    """An ``Engine`` of ``runtime.engine``, which also takes several windows at once.

    Args:
        bundle: whose weights are run.
        device: ``cpu`` or ``cuda``.
        threads: cores that an inference may use; of the whole process.

    Raises:
        EngineError: the machine has no such device.
        BundleError: the weights are of another network.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int = 1) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise EngineError(f"torch {torch.__version__} finds no GPU")
        torch.set_num_threads(threads)
        self._network = load_network(bundle).to(device)
        self.name, self.precision = ("torch" if device == "cpu" else f"torch-{device}"), "fp32"
        self._names = [*bundle.spec.sensors, "presence"]
        self._device = device

    def infer(self, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Recognises one window."""
        probabilities, weights = self.infer_batch({name: inputs[name][np.newaxis] for name in self._names})
        return probabilities[0], weights[0]

    def infer_batch(self, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Recognises N windows at once: the arrays of ``infer`` behind an axis of N, in and out."""
        with torch.no_grad():
            answers = self._network(*(torch.from_numpy(inputs[name]).to(self._device) for name in self._names))
        probabilities, weights = (answer.cpu().numpy() for answer in answers)
        return probabilities, weights
