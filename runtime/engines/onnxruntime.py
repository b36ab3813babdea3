"""Engines turn a window's features into probabilities. Every machine has ONNX Runtime on the CPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Protocol, Tuple

import numpy as np
import onnxruntime

PROVIDERS = {
    "onnxruntime": "CPUExecutionProvider",
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
}
"""ONNX Runtime's name for the provider of each engine."""


class EngineError(Exception):
    """This machine cannot run the model with the chosen engine. The message says why."""


class Engine(Protocol):
    """Runs a bundle's model.

    Attributes:
        name: one of ``runtime.engines.choose.ENGINES``.
        precision: the arithmetic inside, ``fp32`` or ``fp16``. Inputs and outputs are always float32.
    """

    name: str
    precision: str

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        """Recognises one window.

        Args:
            inputs: float32 arrays without a batch axis: one per modality and ``presence`` (modalities,) of 0 and 1.

        Returns:
            Probabilities (classes,) and fusion weights (modalities,), float32, each summing to 1.
        """


class OnnxRuntimeEngine:
    """Runs an ONNX file with ONNX Runtime: on the CPU, or on a GPU with the CUDA or TensorRT provider.

    Args:
        onnx_path: the model, whose inputs are named after sensors plus ``presence``.
        threads: cores that one inference may use. By default ONNX Runtime would use all of them.
        name: ``onnxruntime`` (the CPU), ``onnxruntime-cuda`` or ``onnxruntime-tensorrt``.
        precision: the file's precision. With ``fp16``, the TensorRT provider computes in half precision in any case.
        cache: folder in which the TensorRT provider stores its engines.

    Raises:
        EngineError: the file cannot be run, or another provider than the requested one would run it.
    """

    def __init__(
        self,
        onnx_path: Path,
        threads: int = 1,
        name: str = "onnxruntime",
        precision: str = "fp32",
        cache: Optional[Path] = None,
    ) -> None:
        self.name = name
        self.precision = precision
        if PROVIDERS[name] not in onnxruntime.get_available_providers():
            raise EngineError(f"{name}: needs onnxruntime-gpu instead of onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # do not spin between two windows
        try:
            self._session = onnxruntime.InferenceSession(
                str(onnx_path), options, providers=_providers(name, precision, cache)
            )
            self._session.disable_fallback()  # ONNX Runtime would silently use the CPU when the GPU fails
            self._shapes = {item.name: item.shape for item in self._session.get_inputs()}
            self.infer({item: np.ones(shape[1:], np.float32) for item, shape in self._shapes.items()})
        except Exception as error:  # onnxruntime raises a different type for each cause, and exports none of them
            raise EngineError(f"{onnx_path}: ONNX Runtime {onnxruntime.__version__} cannot run it: {error}") from error
        used = self._session.get_providers()
        if used[0] != PROVIDERS[name]:
            raise EngineError(
                f"{onnx_path}: asked ONNX Runtime for {PROVIDERS[name]}, got {', '.join(used)}: its libraries do not "
                "load here, and its messages above say which"
            )

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray]:
        """Recognises one window, see ``Engine``."""
        feeds = {name: inputs[name][np.newaxis] for name in self._shapes}
        probabilities, weights = self._session.run(["probabilities", "weights"], feeds)
        return probabilities[0], weights[0]


def _providers(name: str, precision: str, cache: Optional[Path]) -> List[Any]:
    """Returns an engine's provider, and the ones for operators that it lacks."""
    cuda: Dict[str, str] = {}
    if tuple(map(int, re.findall(r"\d+", onnxruntime.__version__)[:2])) >= (1, 18):
        cuda["use_tf32"] = "0"  # single precision means that; an older one cannot be told
    tensorrt = {"trt_fp16_enable": str(precision == "fp16")}
    if cache:
        tensorrt.update(trt_engine_cache_enable="True", trt_engine_cache_path=str(cache))
    wanted = {
        "CPUExecutionProvider": {},
        "CUDAExecutionProvider": cuda,
        "TensorrtExecutionProvider": tensorrt,
    }
    chain = list(wanted)[: list(wanted).index(PROVIDERS[name]) + 1][::-1]
    return [(provider, wanted[provider]) for provider in chain]
