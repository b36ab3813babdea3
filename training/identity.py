"""The identity of a run of stage 1: its settings, and digests of its data.

Processes that train together compare it before the first step, and only a run with the same identity can continue from
a checkpoint. It contains only inputs of a run, and nothing that a run computes, because sums differ in their last bits
with the number of threads, which may change when a run is started again.
"""

from __future__ import annotations

import hashlib
import json
import socket
from typing import Any, Mapping, Optional

import numpy as np
import torch
from torch import nn

from cosmo_runtime.training import distributed
from cosmo_runtime.training.windows import Windows

_ROWS = 256  # windows that are read at once: a data set may be larger than the memory


class DifferentProcessesError(Exception):
    """Processes that were started as one run have different settings or data. The message says which."""


def identity(
    settings: Mapping[str, Any], windows: Windows, neighbours: Optional[np.ndarray], encoders: nn.Module
) -> dict[str, Any]:
    """Returns the identity of a run, in JSON's types.

    Args:
        settings: the settings of the run, by name.
        windows: the windows that it learns from; their labels do not count.
        neighbours: (N, K) indices of each window's neighbours, where the run is given any.
        encoders: only the names and shapes of their parameters count. Their values are drawn from the seed or fitted
            to the windows, and a checkpoint has its own.
    """
    shapes = {name: [str(tensor.dtype), *tensor.shape] for name, tensor in encoders.state_dict().items()}
    known = {
        **settings,
        "windows": len(windows),
        "presence of sensors": _digest(windows.presence),
        **{f"values of {sensor}": _digest(array) for sensor, array in windows.features.items()},
        "neighbours": None if neighbours is None else _digest(neighbours),
        "encoders' shapes": hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:12],
    }
    return json.loads(json.dumps(known))  # as it is when it comes back from a file or another process


def refuse_different_processes(known: Mapping[str, Any], device: torch.device) -> None:
    """Compares the identities of all processes. All of them get the same result.

    Raises:
        DifferentProcessesError: they are not all the same.
    """
    mine = json.dumps({"host": socket.gethostname(), "known": known}).encode()
    identities = [json.loads(content) for content in distributed.bytes_of_all(mine, device)]
    differing = []
    for name in dict.fromkeys(name for one in identities for name in one["known"]):
        processes: dict[str, list[str]] = {}
        for rank, one in enumerate(identities):
            processes.setdefault(str(one["known"].get(name, "missing")), []).append(f"{rank} on {one['host']}")
        if len(processes) > 1:
            differing.append(f"{name}: " + ", ".join(f"{v} (process {', '.join(p)})" for v, p in processes.items()))
    if differing:
        raise DifferentProcessesError(
            "the processes do not learn the same. They differ in\n  " + "\n  ".join(differing) + "\nStart all of them "
            "with the same options, and give all of them the same data: copy the files, or the folder of --cache, from "
            "one machine to the others."
        )


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    for start in range(0, len(array), _ROWS):
        digest.update(np.ascontiguousarray(array[start : start + _ROWS]).tobytes())
    return digest.hexdigest()[:12]
