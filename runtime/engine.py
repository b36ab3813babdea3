"""Engines turn a window's features into probabilities; ONNX Runtime is the default one."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Tuple

import numpy as np
import onnxruntime


class EngineError(Exception):
    """A model that this machine cannot run; the message says why."""


class OnnxRuntimeEngine:
    """Runs a bundle's ``model.onnx`` on the CPU.

    Args:
        onnx_path: the model, whose inputs are named after sensors plus ``presence``.
        threads: cores that one inference may use; ONNX Runtime itself would take all of them.

    Raises:
        EngineError: the file cannot be run, or another provider than asked for would run it.
    """

    name = "onnxruntime"

    def __init__(self, onnx_path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle between two windows
        try:
            self._session = onnxruntime.InferenceSession(str(onnx_path), options, providers=["CPUExecutionProvider"])
            self._shapes = {item.name: item.shape for item in self._session.get_inputs()}
            self.infer({name: np.ones(shape[1:], np.float32) for name, shape in self._shapes.items()})
        except Exception as error:  # onnxruntime raises a type of its own for each cause, none of them exported
            raise EngineError(f"{onnx_path}: ONNX Runtime {onnxruntime.__version__} cannot run it: {error}") from error
        if self._session.get_providers() != ["CPUExecutionProvider"]:
            raise EngineError(f"{onnx_path}: asked for the CPU, got {self._session.get_providers()}")

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        """Recognises one window.

        Args:
            inputs: float32 arrays without a batch axis: one per modality and ``presence`` (modalities,) of 0 and 1.

        Returns:
            Probabilities (classes,) and fusion weights (modalities,), float32, each summing to 1.
        """
        feeds = {name: inputs[name][np.newaxis] for name in self._shapes}
        probabilities, weights = self._session.run(["probabilities", "weights"], feeds)
        return probabilities[0], weights[0]
