"""Saves the state of a run, so that it survives a kill at any moment. A checkpoint holds only tensors, and no code."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Mapping, Optional

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from cosmo_runtime.models.files import write_whole
from cosmo_runtime.training import distributed

_NOTE = "note"  # of the tensors: the settings that they come from, and their digest


class CheckpointError(Exception):
    """A checkpoint is damaged, belongs to another run, or cannot be written. The message names it and what to do."""


class Checkpoint:
    """One file, written whole, at most once in a number of seconds.

    Only the first of several processes reads and writes it, and tells the others. So nodes need no common disk, and a
    run may continue with another number of processes.
    """

    def __init__(self, path: Path, every_s: float = 60.0):
        self.path = Path(path)
        self.every_s = every_s
        self._next_s = -float("inf")  # at once, so that a disk that cannot be written is noticed early

    def read(self, settings: Mapping[str, Any], device: torch.device) -> Optional[dict[str, Tensor]]:
        """The tensors that were last written; None if there are none.

        Raises:
            CheckpointError: the file is damaged, cannot be read, or was written with other settings.
        """
        content = b""
        if distributed.rank() == 0 and self.path.exists():
            try:
                content = self.path.read_bytes() or b"?"  # an empty file is damaged, not absent
            except OSError as error:
                raise CheckpointError(f"{self.path} cannot be read ({error.strerror}). Give another file.") from error
        content = distributed.bytes_from(0, content, device)
        if not content:
            return None
        try:
            tensors = load(content)
            note = json.loads(tensors.pop(_NOTE).numpy().tobytes())
            written, digest = dict(note["settings"]), note["sha256"]
        except Exception as error:  # a damaged file makes its readers raise many kinds of errors
            raise CheckpointError(f"{self.path} is not a whole checkpoint ({error}). Delete it to restart.") from error
        if _digest(tensors) != digest:
            raise CheckpointError(f"{self.path} is damaged. Delete it to start again.")
        wanted = json.loads(json.dumps(settings))
        if written.keys() != wanted.keys():
            raise CheckpointError(f"{self.path} is of another version of pretrain. Delete it to start again.")
        other = [f"{name} {written[name]}, not {value}" for name, value in wanted.items() if written[name] != value]
        if other:
            raise CheckpointError(
                f"{self.path} is of a run with {'; '.join(other)}. Give that run's settings and data, or another "
                f"checkpoint."
            )
        return tensors

    def is_due(self) -> bool:
        """Whether it is time to write. False in all processes but the first."""
        return distributed.rank() == 0 and time.monotonic() >= self._next_s

    def write(self, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
        """Writes a new checkpoint in place of the last one.

        Raises:
            CheckpointError: the file cannot be written.
        """
        kept = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        note = json.dumps({"settings": settings, "sha256": _digest(kept)}).encode()
        content = save({**kept, _NOTE: torch.tensor(list(note), dtype=torch.uint8)})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, content)
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written ({error.strerror}). Give another place.") from error
        self._next_s = time.monotonic() + self.every_s


def tensors_of(learner: nn.Module, optimiser: Optimizer, scaler: Any) -> dict[str, Tensor]:
    """Everything that the next steps depend on: parameters, buffers, and the optimiser's state of each parameter.

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
    """Restores the tensors of ``tensors_of``."""
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


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
