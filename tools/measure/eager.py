"""Runs a bundle's network eagerly in torch, from its weights, as a reference for compiled engines."""

from __future__ import annotations

from typing import Mapping

import numpy as np
import torch

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.networks import load_network
from cosmo_runtime.runtime.engines.onnxruntime import EngineError


class TorchEngine:
    """An ``Engine`` like ``runtime.engines.onnxruntime``, which also takes several windows at once.

    Args:
        bundle: the bundle whose weights are run.
        device: ``cpu`` or ``cuda``.
        threads: cores that an inference may use; applies to the whole process.

    Raises:
        EngineError: the machine has no such device.
        BundleError: the weights belong to another network.
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
        """Recognises N windows at once. Inputs and outputs are those of ``infer`` with a first axis of N."""
        with torch.no_grad():
            answers = self._network(*(torch.from_numpy(inputs[name]).to(self._device) for name in self._names))
        probabilities, weights = (answer.cpu().numpy() for answer in answers)
        return probabilities, weights
