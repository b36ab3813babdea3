from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from models.networks import CosmoNetwork
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
