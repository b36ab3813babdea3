from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from cosmo_runtime.training.cosmo.one_cycle import OneCycle

STEPS = 20


def line() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(1, 1)


def taken(descent: OneCycle, network: nn.Linear, steps: int) -> None:
    for _ in range(steps):
        descent.step((network(torch.ones(1, 1)) - 3).square().sum())


def test_the_rate_rises_for_a_tenth_of_the_steps_and_then_falls_to_almost_nothing():
    network = line()
    descent = OneCycle(network, STEPS, learning_rate=0.1, scaled=False)
    moved = []
    for _ in range(STEPS):
        before = network.bias.item()
        taken(descent, network, 1)
        moved.append(abs(network.bias.item() - before))
    assert moved[0] < moved[1]
    assert max(moved) == pytest.approx(0.1, abs=0.05)
    assert moved[-1] < 0.1 * max(moved)
    assert descent.losses[-1] < descent.losses[0]


def test_a_descent_that_is_restored_goes_on_as_if_it_had_never_stopped():
    whole, network = line(), line()
    descent = OneCycle(whole, STEPS, learning_rate=0.1, scaled=False)
    taken(descent, whole, STEPS)
    stopped = OneCycle(network, STEPS, learning_rate=0.1, scaled=False)
    taken(stopped, network, 8)
    kept = {name: tensor.clone() for name, tensor in stopped.tensors().items()}
    other = nn.Linear(1, 1)
    resumed = OneCycle(other, STEPS, learning_rate=0.1, scaled=False)
    resumed.restore(kept)
    assert resumed.done == 8
    taken(resumed, other, STEPS - 8)
    assert torch.equal(other.bias, whole.bias)
    assert torch.equal(other.weight, whole.weight)
    assert torch.equal(resumed.losses, descent.losses)


def test_parameters_that_are_no_numbers_are_noticed():
    network = line()
    descent = OneCycle(network, STEPS, learning_rate=0.1, scaled=False)
    assert descent.is_finite
    with torch.no_grad():
        network.bias[0] = float("inf")
    assert not descent.is_finite
