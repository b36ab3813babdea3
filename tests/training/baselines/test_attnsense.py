from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.baselines.attnsense import _Attention, attnsense
from cosmo_runtime.training.methods import OneStage


def test_it_learns(check):
    check(OneStage(attnsense), epochs=20)


def test_attention_is_a_weighted_mean_of_what_is_present():
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    attention = _Attention(4)
    one = attention(x, torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(one, torch.stack([x[0, 1], torch.zeros(4)]))
    score = torch.exp(attention.score(x).squeeze(2))
    expected = (score.unsqueeze(2) * x).sum(1) / score.sum(1, keepdim=True)
    torch.testing.assert_close(attention(x, torch.ones(2, 3)), expected)
