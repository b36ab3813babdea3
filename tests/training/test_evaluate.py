"""Probabilities of windows, the network's own and as a spec reads them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.evaluate import predict
from cosmo_runtime.training.windows import Windows


def test_a_spec_reads_each_window_by_its_sensors() -> None:
    alone = Reading(sensors=("thigh",), expected={"sit": 3.0})
    spec = ModelSpec(
        modalities=[ModalitySpec(sensor=name, kind="imu", rate_hz=10, shape=(6,)) for name in ("wrist", "thigh")],
        window_s=1,
        hop_s=0.5,
        classes=("sit", "walk"),
        quality=(0.5, 0.5),
        readings=(alone,),
    )
    torch.manual_seed(0)
    network = CosmoNetwork(spec)
    features = {name: np.random.default_rng(0).normal(size=(4, 10, 6)).astype(np.float32) for name in spec.sensors}
    presence = np.array([[True, True], [False, True], [True, True], [False, True]])
    windows = Windows(features, presence, np.zeros(4, int), np.zeros(4, int), np.full(4, "x"), spec.kinds)
    own, read = predict(network, windows), predict(network, windows, spec)
    np.testing.assert_array_equal(read[[0, 2]], own[[0, 2]])
    odds = (read[:, 0] / read[:, 1]) / (own[:, 0] / own[:, 1])
    np.testing.assert_allclose(odds[[1, 3]], np.exp(3), rtol=1e-4)
