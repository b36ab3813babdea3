from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from safetensors.torch import load_file
from torch import nn

from cosmo_runtime import models
from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.nearest import NearestExamples
from cosmo_runtime.models.networks import EMBEDDING, CosmoNetwork
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.adapt.memory import Memory
from cosmo_runtime.training.adapt.nearest import nearest_examples
from cosmo_runtime.training.export import HALF_TOLERANCE, export, in_half_precision, to_onnx, verify

SHIPPED = Path(models.__file__).parent / "bundles" / "person"


def test_a_graph_that_answers_otherwise_is_refused(spec, tmp_path):
    network = CosmoNetwork(spec).eval()
    graph = to_onnx(spec, network)
    verify(spec, network, graph)
    with torch.no_grad():
        network.classifier.classify[-1].bias += torch.tensor([1.0, 0.0, 0.0])
    with pytest.raises(RuntimeError, match="probabilities differ"):
        verify(spec, network, graph)


def test_a_graph_that_differs_only_while_one_of_three_sensors_is_absent_is_refused(spec):
    """Two of three present is neither all of them nor one alone."""

    class Odd(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, *inputs):
            probabilities, weights = self.network(*inputs)
            two_present = (inputs[-1].sum(1, keepdim=True) - 2).abs() < 0.5
            return torch.where(two_present, probabilities.flip(1), probabilities), weights

    network = CosmoNetwork(spec).eval()
    with torch.no_grad():
        network.classifier.classify[-1].bias += torch.tensor([1.0, 0.0, -1.0])
    assert len(spec.sensors) == 3
    with pytest.raises(RuntimeError, match="probabilities differ"):
        verify(spec, Odd(network), to_onnx(spec, network))


def test_a_refused_graph_writes_no_bundle(spec, tmp_path, monkeypatch):
    stale = to_onnx(spec, CosmoNetwork(spec).eval())
    monkeypatch.setattr("cosmo_runtime.training.export.to_onnx", lambda *_: stale)
    with pytest.raises(RuntimeError, match="differ"):
        export(tmp_path / "bundle", spec, CosmoNetwork(spec), provenance={}, metrics={})
    assert not list(tmp_path.iterdir())


# Of opset 13, and listed as supported by TensorRT 8.2's ONNX parser.
OF_TENSORRT_8_2 = (
    "Abs Add BatchNormalization Cast Clip Concat Constant Conv Div Exp Flatten Gather Gemm Greater Identity Log MatMul "
    "Mul Pad ReduceMax ReduceMean ReduceSum Relu Reshape Shape Slice Softmax Sqrt Squeeze Sub Tanh Transpose Unsqueeze"
)


@pytest.mark.parametrize(
    ("sensor", "shape"),
    [
        ("imu", (9,)),
        ("accelerometer", (3,)),
        ("gyroscope", (3,)),
        ("skeleton", (20, 3)),
        ("depth", (27, 48)),
        ("radar", (32, 5)),
    ],
)
@pytest.mark.parametrize("fusion", ["concat", "sum", "nearest examples"])
def test_every_encoder_exports_to_what_tensorrt_8_2_has_in_both_precisions(sensor, shape, fusion):
    other = ("radar", (8, 5)) if sensor == "imu" else ("imu", (6,))
    spec = ModelSpec(
        modalities=(
            ModalitySpec(sensor=sensor, rate_hz=20, shape=shape),
            ModalitySpec(sensor=other[0], rate_hz=10, shape=other[1]),
        ),
        window_s=2,
        hop_s=0.5,
        classes=("sit", "walk"),
        quality=(0.5, 0.5),
    )
    compares = fusion == "nearest examples"
    network = CosmoNetwork(spec, "concat" if compares else fusion).eval()
    if compares:
        network.classifier = _of_three_examples(len(spec.modalities))
    graph = to_onnx(spec, network)
    verify(spec, network, graph)
    half = in_half_precision(graph)
    verify(spec, network, half, HALF_TOLERANCE)
    for model in map(onnx.load_from_string, (graph, half)):
        assert (model.ir_version, [(opset.domain, opset.version) for opset in model.opset_import]) == (7, [("", 13)])
        assert {node.op_type for node in model.graph.node} <= set(OF_TENSORRT_8_2.split())
        for tensor in (*model.graph.input, *model.graph.output):
            assert tensor.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            assert all(axis.dim_value > 0 for axis in tensor.type.tensor_type.shape.dim)


def _of_three_examples(modalities: int) -> NearestExamples:
    torch.manual_seed(0)
    z, presence = nn.functional.normalize(torch.randn(3, modalities, EMBEDDING), dim=2), torch.ones(3, modalities)
    presence[0, 0] = 0
    return nearest_examples(Memory(z, presence, torch.tensor([0, 1, 1])), 2, z, presence)


def test_half_precision_is_half_as_large_and_computes_in_it(spec):
    graph = to_onnx(spec, CosmoNetwork(spec).eval())
    half = in_half_precision(graph)
    assert len(half) < 0.6 * len(graph)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(half).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds


def test_a_half_precision_graph_that_answers_otherwise_writes_no_bundle(spec, tmp_path, monkeypatch):
    stale = in_half_precision(to_onnx(spec, CosmoNetwork(spec).eval()))
    monkeypatch.setattr("cosmo_runtime.training.export.in_half_precision", lambda _: stale)
    with pytest.raises(RuntimeError, match="differ"):
        export(tmp_path / "bundle", spec, CosmoNetwork(spec), provenance={}, metrics={})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.onnx", "model.fp16.onnx"])
def test_the_shipped_model_is_one_for_tensorrt_8_2(name):
    model = onnx.load(str(SHIPPED / name))
    assert (model.ir_version, [(opset.domain, opset.version) for opset in model.opset_import]) == (7, [("", 13)])
    assert {node.op_type for node in model.graph.node} <= set(OF_TENSORRT_8_2.split())


def test_the_shipped_half_precision_model_is_made_from_the_other(spec):
    bundle = load_bundle(SHIPPED)
    network = CosmoNetwork(bundle.spec).eval()
    network.load_state_dict(load_file(bundle.weights))
    verify(bundle.spec, network, bundle.onnx.read_bytes())
    verify(bundle.spec, network, bundle.onnx_fp16.read_bytes(), HALF_TOLERANCE)
    assert sum(file.stat().st_size for file in SHIPPED.iterdir() if file.is_file()) < 5e6
