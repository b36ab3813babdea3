from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.baselines.tuple_infonce import tuple_contrast, tuple_infonce


@pytest.mark.slow
def test_it_learns(check):
    check(tuple_contrast, pretrain_epochs=4, epochs=10)


def fuse(z: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize((z * presence.unsqueeze(-1)).sum(-2), dim=-1)


def test_loss_contrasts_with_other_windows_and_with_mixed_tuples():
    """By hand: three windows of two modalities, of which the third has the first one only."""
    generator = torch.Generator().manual_seed(0)
    z, anew = (torch.randn(3, 2, 4, generator=generator) for _ in range(2))
    presence = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    augmented = torch.tensor([[0], [1], [0]])

    def unit(*parts: torch.Tensor) -> torch.Tensor:
        total = torch.stack(parts).sum(0)
        return total / total.norm()

    query = [unit(z[0, 0], z[0, 1]), unit(z[1, 0], z[1, 1]), unit(z[2, 0])]
    positive = [unit(anew[0, 0], z[0, 1]), unit(z[1, 0], anew[1, 1]), unit(anew[2, 0])]
    mixed = [
        [unit(z[1, 0], z[0, 1]), unit(z[2, 0], z[0, 1]), unit(z[0, 0], z[1, 1])],
        [unit(z[0, 0], z[1, 1]), unit(z[2, 0], z[1, 1]), unit(z[1, 0], z[0, 1])],
        [unit(z[0, 0]), unit(z[1, 0])],  # what it lacks is not taken from others
    ]
    total = 0.0
    for i in range(3):
        shares = [math.exp(float(query[i] @ v) / 0.5) for v in (*positive, *mixed[i])]
        total -= math.log(shares[i] / sum(shares)) / 3
    assert tuple_infonce(fuse, z, anew, presence, augmented, 0.5).item() == pytest.approx(total, rel=1e-5)
