from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from models.networks import Encoders
from training.finetune import embed
from training.pretrain import pretrain
from training.windows import Windows


def trained(spec, windows, epochs: int) -> tuple[Encoders, list[float]]:
    torch.manual_seed(0)
    encoders = Encoders(spec)
    features, presence, _ = windows.tensors(np.arange(len(windows)))
    encoders.fit(features, presence)
    return encoders, pretrain(encoders, windows, epochs=epochs, seed=0, batch=24, progress=Progress(disable=True))


def test_loss_falls_and_no_label_is_looked_at(spec, windows):
    unlabelled = Windows(
        windows.features, windows.presence, np.full(len(windows), -1), windows.groups, windows.recordings
    )
    encoders, losses = trained(spec, unlabelled, epochs=10)
    assert losses[-1] < 0.85 * losses[0]
    with_labels, _ = trained(spec, windows, epochs=10)
    assert torch.equal(embed(encoders, windows)[0], embed(with_labels, windows)[0])


def test_windows_without_any_sensor_do_no_harm(spec, windows):
    presence = windows.presence.copy()
    presence[:5] = False
    presence[5:10, 0] = False
    encoders, losses = trained(
        spec, Windows(windows.features, presence, windows.labels, windows.groups, windows.recordings), epochs=2
    )
    assert np.isfinite(losses).all()
    assert torch.isfinite(embed(encoders, windows)[0]).all()
