"""The state of a run on disk, so that it survives a kill at any moment. Tensors only: nothing in it can run code."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Mapping, Optional

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from models.files import write_whole
from training import distributed

_SETTINGS = "settings"


class CheckpointError(Exception):
    """A checkpoint that is damaged, of another run, or cannot be written; the message names it and what to do."""


class Checkpoint:
    """One file, written beside its place and put there in one rename, at most every so many seconds.

    Only the first of several processes reads and writes; the others are told, so nodes need no common disk, and a run
    may go on with another number of processes.
    """

    def __init__(self, path: Path, every_s: float = 60.0):
        self.path = Path(path)
        self.every_s = every_s
        self._next_s = -float("inf")  # at once, for a disk that cannot be written to is best known early

    def read(self, settings: Mapping[str, Any], device: torch.device) -> Optional[dict[str, Tensor]]:
        """The tensors last written, None where there are none.

        Raises:
            CheckpointError: the file is damaged, cannot be read, or was written with other settings.
        """
        content = b""
        if distributed.rank() == 0 and self.path.exists():
            try:
                content = self.path.read_bytes() or b"?"  # an empty file is damaged, not absent
            except OSError as error:
                raise CheckpointError(f"{self.path} cannot be read ({error.strerror}). Give another file.") from error
        content = distributed.bytes_from_first(content, device)
        if not content:
            return None
        try:
            tensors = load(content)
            written = json.loads(tensors.pop(_SETTINGS).numpy().tobytes())
        except (SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(f"{self.path} is no whole checkpoint ({error}). Delete it to start anew.") from error
        wanted = json.loads(json.dumps(settings))
        other = [
            f"{name} {written.get(name)}, not {value}" for name, value in wanted.items() if written.get(name) != value
        ]
        if other:
            raise CheckpointError(
                f"{self.path} is of a run with {'; '.join(other)}. Give that run's settings, or another checkpoint."
            )
        return tensors

    def is_due(self) -> bool:
        """Whether it is time to write, in the first process; the others never write."""
        return distributed.rank() == 0 and time.monotonic() >= self._next_s

    def write(self, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
        """Replace what was last written.

        Raises:
            CheckpointError: the file cannot be written.
        """
        told = torch.tensor(list(json.dumps(settings).encode()), dtype=torch.uint8)
        content = save(
            {**{name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, _SETTINGS: told}
        )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, content)
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written ({error.strerror}). Give another place.") from error
        self._next_s = time.monotonic() + self.every_s


def tensors_of(learner: nn.Module, optimiser: Optimizer, scaler: Any) -> dict[str, Tensor]:
    """All that the learner's next steps depend on: parameters, buffers, what the optimiser keeps of each parameter.

    The optimiser's learning rate and momentum are left out: they follow from the step.
    """
    kept = optimiser.state_dict()["state"]
    return {
        **{f"learner.{name}": tensor for name, tensor in learner.state_dict().items()},
        **{
            f"optimiser.{i}.{name}": torch.as_tensor(value)
            for i, state in kept.items()
            for name, value in state.items()
        },
        **{f"scaler.{name}": torch.tensor(value) for name, value in scaler.state_dict().items()},
    }


def restore(tensors: Mapping[str, Tensor], learner: nn.Module, optimiser: Optimizer, scaler: Any) -> None:
    """Put back what ``tensors_of`` gave."""
    learner.load_state_dict({name: tensors[f"learner.{name}"] for name in learner.state_dict()})
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {i: {} for i in range(len(parameters))}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, i, key = name.split(".")
            like = parameters[int(i)]
            if not tensor.is_floating_point():
                state[int(i)][key] = tensor.item()  # torch 1.11 counts its steps in an int
                continue
            # In memory as the parameter is (channels last, say), or sums could differ in their last bit.
            state[int(i)][key] = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    scaler.load_state_dict({name: tensors[f"scaler.{name}"].item() for name in scaler.state_dict()})
