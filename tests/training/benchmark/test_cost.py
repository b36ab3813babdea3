from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from rich.progress import Progress
from torch import nn

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.benchmark.cost import compare, size
from cosmo_runtime.training.windows import Windows


@pytest.fixture
def spec() -> ModelSpec:
    """Small, but with as many steps as the reference encoders need."""
    modalities = (
        ModalitySpec(sensor="imu", rate_hz=10, shape=(6,)),
        ModalitySpec(sensor="skeleton", rate_hz=10, shape=(20, 3)),
    )
    return ModelSpec(modalities=modalities, window_s=2, hop_s=2, classes=("a", "b"), quality=(0.5, 0.5))


def test_size_counts_convolutions_linear_maps_and_recurrent_layers(spec):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolve = nn.Conv1d(6, 4, 3)  # 20 steps -> 18
            self.recur = nn.GRU(4, 5, batch_first=True)
            self.classify = nn.Linear(5, 2, bias=False)

        def forward(self, imu, skeleton, presence):
            states, _ = self.recur(self.convolve(imu.transpose(1, 2)).transpose(1, 2))
            return self.classify(states[:, -1])

    counted = size(Network(), spec)
    assert counted.multiply_adds == 18 * 4 * 6 * 3 + 18 * 3 * 5 * (4 + 5) + 5 * 2
    assert counted.parameters == (4 * 6 * 3 + 4) + 3 * 5 * (4 + 5 + 2) + 5 * 2


def test_both_networks_are_measured_side_by_side(spec):
    random = np.random.default_rng(0)
    features = [{m.sensor: random.normal(size=(20, *m.shape)) for m in spec.modalities} for _ in range(8)]
    labels = [0, 1, 0, 1, -1, -1, -1, -1]
    windows = Windows.stack(spec, features, np.ones((8, 2)), labels, [0, 1] * 4, list(map(str, range(8))))
    threads = torch.get_num_threads()
    measured = compare(spec, windows, Progress(disable=True), runs=1, latency_runs=3)
    assert threads == torch.get_num_threads() == 1
    default, reference = (measured["networks"][name] for name in ("default", "reference"))
    for figure in ("parameters", "multiply_adds", "stage_1_s", "stage_2_s", "latency_ms"):
        assert 0 < default[figure] < reference[figure], figure
    assert len(default["all"]["stages_s"]) == 1 and measured["labelled"] == 4
