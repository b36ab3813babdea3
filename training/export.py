"""From a trained network to a bundle, checked in ONNX Runtime before it is written."""

from __future__ import annotations

import io
from inspect import signature
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save
from torch.onnx.symbolic_helper import parse_args

from models.bundle import Bundle, write_bundle
from models.reference import AnyNetwork
from models.spec import ModelSpec

OPSET = 13  # the newest that TensorRT 8.2 and onnxruntime 1.8 read,
IR_VERSION = 7  # and its file version
TOLERANCE, HALF_TOLERANCE = 1e-4, 2e-2

try:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel
except ImportError:  # before 1.9; JetPack 4's TensorRT makes half precision of the other file by itself
    convert_float_to_float16 = None


def export(
    path: Path, spec: ModelSpec, network: AnyNetwork, *, provenance: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Bundle:
    """Write the network as a bundle.

    Raises:
        RuntimeError: the exported model is not of the opset or answers otherwise than the network.
    """
    network.eval()
    model = to_onnx(spec, network)
    verify(spec, network, model)
    half = in_half_precision(model) if convert_float_to_float16 else None
    if half:
        verify(spec, network, half, HALF_TOLERANCE)
    weights = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    return write_bundle(path, spec, onnx=model, onnx_fp16=half, weights=weights, provenance=provenance, metrics=metrics)


def to_onnx(spec: ModelSpec, network: AnyNetwork) -> bytes:
    """The network for one window, static shapes of batch 1.

    Inputs are named after the sensors, and ``presence``; outputs are ``probabilities`` and ``weights``.
    """
    file = io.BytesIO()
    # Newer releases of torch export by other means, which write a newer opset, unless told not to.
    legacy: dict[str, Any] = {"dynamo": False} if "dynamo" in signature(torch.onnx.export).parameters else {}
    if not legacy:
        torch.onnx.register_custom_op_symbolic("::amax", _amax, OPSET)  # torch 1.11 does not know how
    torch.onnx.export(
        network,
        tuple(torch.from_numpy(array) for array in _random_inputs(spec, np.random.default_rng(0)).values()),
        file,  # type: ignore[arg-type]  # a file is fine for this exporter
        opset_version=OPSET,
        input_names=[*spec.sensors, "presence"],
        output_names=["probabilities", "weights"],
        **legacy,
    )
    model = onnx.load_from_string(file.getvalue())
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    opsets = [(opset.domain, opset.version) for opset in model.opset_import]
    if opsets != [("", OPSET)]:
        raise RuntimeError(f"the exported model has the operator sets {opsets}, not {OPSET} alone")
    return model.SerializeToString()


@parse_args("v", "is", "i")
def _amax(graph: Any, x: Any, dims: list[int], keepdim: int) -> Any:
    return graph.op("ReduceMax", x, axes_i=dims, keepdims_i=keepdim)


def in_half_precision(model: bytes) -> bytes:
    """The same model computing in half precision; inputs and outputs stay float32."""
    half = OnnxModel(convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True))
    half.topological_sort()  # the casts of inputs and outputs are appended at the end
    onnx.checker.check_model(half.model, full_check=True)
    return half.model.SerializeToString()


def verify(spec: ModelSpec, network: AnyNetwork, model: bytes, tolerance: float = TOLERANCE) -> None:
    """Compare the ONNX model with the network on random windows, with sensors absent, and with none.

    Raises:
        RuntimeError: an output differs by more than the tolerance, or is not a number.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    modalities = len(spec.modalities)
    presences = [np.ones(modalities), *np.eye(modalities), np.zeros(modalities)]
    random = np.random.default_rng(1)
    for presence in presences:
        inputs = _random_inputs(spec, random)
        inputs["presence"] = presence[None].astype(np.float32)
        answers = session.run(["probabilities", "weights"], inputs)
        with torch.no_grad():
            expected = network(*(torch.from_numpy(array) for array in inputs.values()))
        for name, answer, wanted in zip(("probabilities", "weights"), answers, expected):
            difference = np.abs(answer - wanted.numpy()).max()
            if not difference <= tolerance:
                raise RuntimeError(f"the exported model's {name} differ by {difference:.2g} with presence {presence}")


def _random_inputs(spec: ModelSpec, random: np.random.Generator) -> dict[str, np.ndarray]:
    """One window of positive noise (depth is never negative) with all modalities present."""
    inputs: dict[str, np.ndarray] = {
        m.sensor: random.uniform(0, 3, (1, spec.steps(m), *m.shape)).astype(np.float32) for m in spec.modalities
    }
    return {**inputs, "presence": np.ones((1, len(spec.modalities)), np.float32)}
