"""How many spread labels are right, for embeddings made by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.tools.measure import spreading
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.windows import Windows


def test_a_window_that_no_label_reaches_counts_as_wrong() -> None:
    imu = ModalitySpec(sensor="imu", rate_hz=2, shape=(6,))
    spec = ModelSpec(modalities=(imu,), window_s=1, hop_s=1, classes=("sit", "walk"), quality=(1.0,))
    angles = torch.tensor([0.0, 0.1, 1.5, 1.6, 3.0])
    z = torch.stack([angles.cos(), angles.sin()], dim=1).unsqueeze(1)
    presence = torch.tensor([[1.0], [1.0], [1.0], [1.0], [0.0]])
    windows = Windows(
        {"imu": np.zeros((5, 2, 6), np.float32)},
        presence.numpy() > 0,
        np.array([0, -1, 1, -1, -1]),
        np.array([1, 2, 1, 2, 2]),
        np.full(5, "trial"),
    )
    truth = np.array([0, 0, 1, 0, 0])
    share = spreading.share_right(Cosmo(spread=True, balance="all"), spec, windows, truth, z, presence)
    assert share == pytest.approx(1 / 3)  # the first is right, the second is walk and not sit, the third has no sensor
