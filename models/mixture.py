"""A classifier that a session taught, beside the one that it began with.

People label what they want to be recognised, and nothing else: nobody falls for a recording. A classifier that learned
from such a session knows the other activities from a few remembered embeddings, and calls them far too often. So it
only says how likely it is that a window shows one of them. The classifier before it says which one: a mixture of two
experts (Jacobs et al., "Adaptive mixtures of local experts", Neural Computation 1991).
"""

from __future__ import annotations

from typing import List, Tuple

import torch
from torch import Tensor, nn

from cosmo_runtime.models.spec import ModelSpec

_LEAST = 1e-6  # the smallest probability; half precision can represent it


class Readings(nn.Module):
    """Reads logits as a spec says for the sensors of each window (``models.confidence``), inside of a network.

    Attributes:
        sets: (K, M) sets of sensors that have a reading of their own, 1 for a sensor in the set.
        added: (K, C) what their readings add to the logits.
        coldness: (K,) 1 over their temperatures, less that of all other sets.
        usual: 1 over the temperature of all other sets.
    """

    sets: Tensor
    added: Tensor
    coldness: Tensor
    usual: Tensor

    def __init__(self, sets: int, sensors: int, classes: int):
        super().__init__()
        self.any = sets > 0
        self.register_buffer("sets", torch.zeros(sets, sensors))
        self.register_buffer("added", torch.zeros(sets, classes))
        self.register_buffer("coldness", torch.zeros(sets))
        self.register_buffer("usual", torch.ones(()))

    @classmethod
    def of(cls, spec: ModelSpec) -> Readings:
        """The readings of a spec."""
        module = cls(len(spec.readings), len(spec.sensors), len(spec.classes))
        module.usual.fill_(1 / spec.temperature)
        for number, reading in enumerate(spec.readings):
            module.sets[number] = torch.tensor([float(name in reading.sensors) for name in spec.sensors])
            module.added[number] = torch.tensor([reading.expected.get(name, 0.0) for name in spec.classes])
            module.coldness[number] = 1 / reading.temperature - 1 / spec.temperature
        return module

    def temperatures(self) -> Tuple[float, List[float]]:
        """The temperature of sets without a reading, and those of the others."""
        # rounded to what they were before they became float32
        of_sets = [round(1 / coldness, 6) for coldness in (self.usual + self.coldness).tolist()]
        return round(1 / float(self.usual), 6), of_sets

    def forward(self, logits: Tensor, presence: Tensor) -> Tensor:
        """Logits (N, C) and presence (N, M) -> probabilities (N, C)."""
        if self.any:
            # (N, K): how many sensors are in the window or in the set, but not in both
            others = (presence.unsqueeze(1) - self.sets).abs().sum(2)
            this = (0.5 - others > 0).to(logits.dtype)
            logits = (logits + this @ self.added) * (self.usual + this @ self.coldness).unsqueeze(1)
        else:
            logits = logits * self.usual
        return torch.softmax(logits, dim=1)


class Mixture(nn.Module):
    """Answers of a new classifier, except for activities that the session did not show.

    With p of the new classifier, q of the one before it, and r the sum of p over the activities that were not shown, an
    activity has p + r q if it was shown, and r q if it was not. So what was not shown is never likelier than before,
    unless it takes the place of activities that are given up (``names``).

    Args:
        new: the classifier that the session taught, C activities.
        before: the one before it, B activities.
        new_read, before_read: how to read their logits.

    Attributes:
        shown: (C,), 1 for an activity that a session showed.
        names: (B, C), which activity each one of ``before`` is here. The rows sum to 1.
    """

    shown: Tensor
    names: Tensor

    def __init__(self, new: nn.Module, before: nn.Module, new_read: Readings, before_read: Readings):
        super().__init__()
        self.new, self.before = new, before
        self.new_read, self.before_read = new_read, before_read
        classes, known = new_read.added.shape[1], before_read.added.shape[1]
        self.register_buffer("shown", torch.ones(classes))
        self.register_buffer("names", torch.zeros(known, classes))

    def forward(self, z: Tensor, presence: Tensor) -> Tuple[Tensor, Tensor]:
        """Embeddings (N, M, D) and presence (N, M) -> logits (N, C) and the sensors' weights (N, M)."""
        logits, weights = self.new(z, presence)
        known, known_weights = self.before(z, presence)
        p, q = self.new_read(logits, presence), self.before_read(known, presence)
        other = (p * (1 - self.shown)).sum(1, keepdim=True)
        mixed = p * self.shown + other * (q @ self.names)
        return torch.log(mixed.clamp(_LEAST, 1.0)), (1 - other) * weights + other * known_weights
