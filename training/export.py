"""From a trained network to a bundle, checked in ONNX Runtime before it is written."""

from __future__ import annotations

import io
import itertools
from inspect import signature
from pathlib import Path
from typing import Any, Mapping, Optional

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save
from torch.onnx.symbolic_helper import parse_args

from cosmo_runtime.models.bundle import ONNX, Bundle, write_bundle
from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.adapt.memory import Memory
from cosmo_runtime.training.skipping import sharing_weights, skip_absent

OPSET = 13  # the newest that TensorRT 8.2 and onnxruntime 1.8 read,
IR_VERSION = 7  # and its file version
TOLERANCE, HALF_TOLERANCE = 1e-4, 2e-2


def export(
    path: Path,
    spec: ModelSpec,
    network: CosmoNetwork,
    *,
    memory: Optional[Memory] = None,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Bundle:
    """Write the network as a bundle, with what it remembers for a later fine-tuning.

    Raises:
        RuntimeError: the exported model is not of the opset or answers otherwise than the network.
    """
    network.eval()
    model = to_onnx(spec, network)
    verify(spec, network, model)
    half = in_half_precision(model)
    verify(spec, network, half, HALF_TOLERANCE)
    skipping = skip_absent(model, spec.sensors)
    verify(spec, network, skipping)
    weights = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    return write_bundle(
        path,
        spec,
        onnx=model,
        onnx_fp16=half,
        onnx_skipping=sharing_weights(skipping, model, ONNX),
        weights=weights,
        memory=memory.as_bytes() if memory else None,
        provenance=provenance,
        metrics=metrics,
    )


def to_onnx(spec: ModelSpec, network: CosmoNetwork) -> bytes:
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
        tuple(torch.from_numpy(array) for array in random_inputs(spec, np.random.default_rng(0)).values()),
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
    """The same model computing in half precision; inputs and outputs stay float32.

    ONNX Runtime's converter is not in the releases that a TX2 can have, and onnxconverter-common's leaves the casts
    inside these networks as they are, which makes the graph invalid.
    """
    half = onnx.load_from_string(model)
    graph = half.graph
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for tensor in [*graph.initializer, *(attribute.t for attribute in attributes if attribute.name == "value")]:
        if tensor.data_type == TensorProto.FLOAT:
            numbers = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    for attribute in attributes:
        if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16

    inside = {item.name: f"{item.name}_half" for item in [*graph.input, *graph.output]}
    for node in graph.node:
        node.input[:] = [inside.get(name, name) for name in node.input]
        node.output[:] = [inside.get(name, name) for name in node.output]
    to_half = [helper.make_node("Cast", [x.name], [inside[x.name]], to=TensorProto.FLOAT16) for x in graph.input]
    from_half = [helper.make_node("Cast", [inside[y.name]], [y.name], to=TensorProto.FLOAT) for y in graph.output]
    nodes = [*to_half, *graph.node, *from_half]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(half, full_check=True)
    return half.SerializeToString()


def verify(spec: ModelSpec, network: CosmoNetwork, model: bytes, tolerance: float = TOLERANCE) -> None:
    """Compare the ONNX model with the network on random windows, in every combination of sensors, and with none.

    Raises:
        RuntimeError: an output differs by more than the tolerance, or is not a number.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    for presence in itertools.product((1, 0), repeat=len(spec.modalities)):
        inputs = random_inputs(spec, random)
        inputs["presence"] = np.array([presence], np.float32)
        answers = session.run(["probabilities", "weights"], inputs)
        with torch.no_grad():
            expected = network(*(torch.from_numpy(array) for array in inputs.values()))
        for name, answer, wanted in zip(("probabilities", "weights"), answers, expected):
            difference = np.abs(answer - wanted.numpy()).max()
            if not difference <= tolerance:
                raise RuntimeError(f"the exported model's {name} differ by {difference:.2g} with presence {presence}")
