from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from cosmo_runtime.models.bundle import Bundle, BundleError, load_bundle, write_bundle
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import EngineError, OnnxRuntimeEngine
from cosmo_runtime.tools.measure.eager import TorchEngine
from cosmo_runtime.training.export import export


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(SIMULATED_BUNDLE)


def _windows(spec: ModelSpec, number: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {m.sensor: (number, spec.steps(m), *m.shape) for m in spec.modalities}
    windows = {name: random.uniform(0, 3, shape).astype(np.float32) for name, shape in shapes.items()}
    presence = np.ones((number, len(spec.modalities)), np.float32)
    presence[-1, 0] = 0
    return {**windows, "presence": presence}


def test_it_answers_as_the_exported_model_one_window_or_several_at_once(bundle):
    eager, exported = TorchEngine(bundle), OnnxRuntimeEngine(bundle.onnx)
    windows = _windows(bundle.spec, 3)
    probabilities, weights = eager.infer_batch(windows)
    for i in range(3):
        window = {name: array[i] for name, array in windows.items()}
        for answers in (eager.infer(window), (probabilities[i], weights[i])):
            for answer, expected in zip(answers, exported.infer(window)):
                np.testing.assert_allclose(answer, expected, atol=1e-4)
    assert (eager.name, eager.precision) == ("torch", "fp32")


def test_the_fusion_is_told_by_the_weights(tmp_path):
    modalities = tuple(ModalitySpec(sensor=sensor, rate_hz=10, shape=(3,)) for sensor in ("accelerometer", "gyroscope"))
    spec = ModelSpec(modalities=modalities, window_s=2, hop_s=1, classes=("a", "b"), quality=(0.5, 0.5))
    bundle = export(tmp_path / "sum", spec, CosmoNetwork(spec, "sum"), provenance={}, metrics={})
    window = {name: array[0] for name, array in _windows(spec, 1).items()}
    expected = OnnxRuntimeEngine(bundle.onnx).infer(window)
    np.testing.assert_allclose(TorchEngine(bundle).infer(window)[0], expected[0], atol=1e-4)


def test_what_cannot_be_run_says_why(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="finds no GPU"):
        TorchEngine(bundle, "cuda")
    other = write_bundle(
        tmp_path / "other",
        bundle.spec.model_copy(update={"classes": ("walk", "wave")}),
        onnx=Path(bundle.onnx).read_bytes(),
        weights=bundle.weights.read_bytes(),
        provenance={},
        metrics={},
    )
    with pytest.raises(BundleError, match=r"weights\.safetensors does not fit"):
        TorchEngine(other)
