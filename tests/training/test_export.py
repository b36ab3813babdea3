from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from models.networks import CosmoNetwork
from models.spec import ModalitySpec, ModelSpec
from training.export import export, to_onnx, verify


def test_a_graph_that_answers_otherwise_is_refused(spec, tmp_path):
    network = CosmoNetwork(spec).eval()
    graph = to_onnx(spec, network)
    verify(spec, network, graph)
    with torch.no_grad():
        network.classifier.classify[-1].bias += torch.tensor([1.0, 0.0, 0.0])
    with pytest.raises(RuntimeError, match="probabilities differ"):
        verify(spec, network, graph)


def test_a_refused_graph_writes_no_bundle(spec, tmp_path, monkeypatch):
    stale = to_onnx(spec, CosmoNetwork(spec).eval())
    monkeypatch.setattr("training.export.to_onnx", lambda *_: stale)
    with pytest.raises(RuntimeError, match="differ"):
        export(tmp_path / "bundle", spec, CosmoNetwork(spec), provenance={}, metrics={})
    assert not list(tmp_path.iterdir())


# Of opset 13, and listed as supported by TensorRT 8.2's ONNX parser.
OF_TENSORRT_8_2 = (
    "Abs Add BatchNormalization Cast Clip Concat Constant Conv Div Flatten Gather Gemm Greater Identity MatMul Mul Pad "
    "ReduceMax ReduceMean ReduceSum Relu Reshape Shape Slice Softmax Sqrt Squeeze Sub Tanh Transpose Unsqueeze"
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
@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_every_encoder_exports_to_what_tensorrt_8_2_has(sensor, shape, fusion):
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
    network = CosmoNetwork(spec, fusion).eval()
    graph = to_onnx(spec, network)
    verify(spec, network, graph)
    model = onnx.load_from_string(graph)
    assert (model.ir_version, [(opset.domain, opset.version) for opset in model.opset_import]) == (7, [("", 13)])
    assert {node.op_type for node in model.graph.node} <= set(OF_TENSORRT_8_2.split())
