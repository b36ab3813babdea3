from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.baselines.milliego import MixedMasks, milliego
from cosmo_runtime.training.methods import OneStage


@pytest.mark.slow
def test_it_learns(check):
    check(OneStage(milliego), epochs=20)


def test_each_sensor_is_masked_by_itself_then_by_the_others():
    """By hand, for three sensors of different sizes."""
    torch.manual_seed(0)
    masks = MixedMasks([4, 8, 8])
    x = [torch.randn(2, 5, dim) for dim in (4, 8, 8)]

    def mask(layers, given):
        first, second = layers[0].weight, layers[2].weight
        return 1 / (1 + torch.exp(-(given @ first.T).clamp(min=0) @ second.T))

    a, b, c = (one * mask(own, one) for one, own in zip(x, masks.own))
    expected = [
        a * mask(masks.by_others[0], torch.cat([b, c], dim=2)),
        b * mask(masks.by_others[1], torch.cat([a, c], dim=2)),
        c * mask(masks.by_others[2], torch.cat([a, b], dim=2)),
    ]
    for found, by_hand in zip(masks(x), expected):
        torch.testing.assert_close(found, by_hand)
    assert [layers[0].weight.shape for layers in masks.own] == [(1, 4), (2, 8), (2, 8)]
    assert all(layer.bias is None for layer in masks.modules() if isinstance(layer, torch.nn.Linear))


def test_a_sensor_that_is_absent_leaves_half_of_the_others():
    masks = MixedMasks([4, 4])
    x = torch.randn(3, 4)
    alone, nothing = masks([x, torch.zeros(3, 4)])
    torch.testing.assert_close(alone, 0.5 * x * masks.own[0](x))
    assert not nothing.any()
