"""The descent of stage 1: AdamW whose learning rate rises and falls once, with all that a checkpoint keeps of it."""

from __future__ import annotations

import math
from typing import Any, Mapping

import torch
from torch import Tensor, nn

from cosmo_runtime.training import distributed
from cosmo_runtime.training.checkpoint import restore, tensors_of

_WARM_SHARE = 0.1  # of all steps


class OneCycle:
    """Trains a network step by step. Each process adds its part of the loss.

    The learning rate rises for a tenth of the steps and then falls along a cosine, while the momentum does the opposite
    (Smith and Topin, 2019).

    Args:
        network: the network, on its device.
        steps: how many steps there will be.
        learning_rate: the maximum rate.
        scaled: whether losses are scaled up, so that gradients of half precision do not underflow.

    Attributes:
        losses: (steps,) the loss of each step; 0 for those to come.
        done: how many steps have been taken.
    """

    def __init__(self, network: nn.Module, steps: int, learning_rate: float, scaled: bool) -> None:
        self._network = network
        self._parameters = list(network.parameters())
        self._learning_rate = learning_rate
        self._optimiser = torch.optim.AdamW(self._parameters, lr=learning_rate, weight_decay=1e-4)
        like = self._parameters[0]
        self._scaler = _scaler(like.device, scaled)
        self.losses = torch.zeros(steps, device=like.device, dtype=like.dtype)
        self.done = 0

    @property
    def is_finite(self) -> bool:
        """Whether all parameters are finite."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self._parameters)

    def step(self, loss: Tensor) -> None:
        """Takes the next step on this process's part of the loss."""
        pace = _pace((self.done + 1) / (len(self.losses) + 1))
        self._optimiser.param_groups[0].update(lr=self._learning_rate * pace, betas=(0.95 - 0.1 * pace, 0.999))
        self._optimiser.zero_grad()
        self._scaler.scale(loss).backward()
        self.losses[self.done] = loss.detach()
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        distributed.add_up([self.losses[self.done], *gradients])
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self.done += 1

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next steps depend on."""
        state = {"step": torch.tensor(self.done), "losses": self.losses}
        return {**state, **tensors_of(self._network, self._optimiser, self._scaler)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Continues from the tensors of ``tensors``."""
        self.done = int(tensors["step"])
        self.losses.copy_(tensors["losses"])
        restore(tensors, self._network, self._optimiser, self._scaler)


def _scaler(device: torch.device, enabled: bool) -> Any:
    """Keeps the gradients of half precision from underflowing. Does nothing if it is not enabled."""
    if hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler"):  # torch 2.3
        return torch.amp.GradScaler(device.type, enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)


def _pace(done: float) -> float:
    """The learning rate, as a share of its maximum, after a share of all steps."""
    rising = done < _WARM_SHARE
    return (1 - math.cos(math.pi * (done / _WARM_SHARE if rising else (1 - done) / (1 - _WARM_SHARE)))) / 2
