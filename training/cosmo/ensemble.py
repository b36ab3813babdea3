"""Cosmo with label spreading over neighbours that several stage 1s agree on, repeated after stage 2.

One stage 1 puts some windows of different activities close together, and another seed puts others. The mean of their
distances is right more often. Stage 2 learns what the labels mean, so its encoders find further neighbours. So labels
are spread again, always from the given ones, and the last stage 2 starts from stage 1. Answers of an earlier stage 2
never become labels, because that would repeat its errors.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from rich.progress import Progress
from torch import nn

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.neighbours import mutual_neighbours
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.methods import Budget, Epoch, OnEpoch, Stage2Result, ignore_epoch
from cosmo_runtime.training.windows import Windows

_COSMO = Cosmo(spread=True)
_BETWEEN_SEEDS = 1000  # the first member has the same seed as Cosmo alone


@dataclass(frozen=True)
class CosmoEnsemble:
    """A ``training.methods.Learner``. Stage 1 costs ``members`` times as much as Cosmo's, stage 2 ``rounds`` times.

    Attributes:
        members: the number of stage 1s whose distances are averaged. Stage 2 starts from the first.
        rounds: how often labels are spread and learned from.
    """

    members: int = 3
    rounds: int = 2

    @property
    def stage_1(self) -> str:
        """The name of stage 1's settings."""
        return f"{_COSMO.stage_1}.{self.members}"

    def new(self, spec: ModelSpec) -> nn.ModuleList:
        """New encoders for each member, with random weights."""
        return nn.ModuleList(_COSMO.new(spec) for _ in range(self.members))

    def pretrain(
        self,
        spec: ModelSpec,
        windows: Windows,
        budget: Budget,
        seed: int,
        progress: Progress,
        on_epoch: OnEpoch = ignore_epoch,
    ) -> nn.ModuleList:
        """Stage 1 of each member. Labels are not used."""
        numbered = _Counted(on_epoch)
        return nn.ModuleList(
            _COSMO.pretrain(spec, windows, budget, seed + _BETWEEN_SEEDS * member, progress, numbered.part())
            for member in range(self.members)
        )

    def tune(
        self,
        network: Any,
        spec: ModelSpec,
        windows: Windows,
        budget: Budget,
        seed: int,
        progress: Progress,
        on_epoch: OnEpoch = ignore_epoch,
    ) -> Stage2Result:
        """Stage 2, in rounds. The figures are those of the last round."""
        z, presence = (torch.cat(part, dim=1) for part in zip(*(embed(member, windows)[:2] for member in network)))
        alike = neighbours = mutual_neighbours(z, presence, windows.groups)
        numbered = _Counted(on_epoch)
        for number in range(self.rounds):
            first = copy.deepcopy(network[0])
            trained = _COSMO.tune_network(first, spec, windows, budget, seed, progress, numbered.part(), neighbours)
            if number + 1 < self.rounds:
                z, presence, _ = embed(trained.network.encoders, windows)
                neighbours = (alike + mutual_neighbours(z, presence, windows.groups)).tocsr()
        return trained.result()


class _Counted:
    """Numbers the epochs of several trainings consecutively."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        self._on_epoch = on_epoch
        self._number = 0

    def part(self) -> OnEpoch:
        def ended(epoch: Epoch) -> None:
            self._number += 1
            self._on_epoch(epoch._replace(number=self._number))

        return ended
