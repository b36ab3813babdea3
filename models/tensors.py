"""Reads tensors from a safetensors file, and checks them."""

from __future__ import annotations

from typing import Dict

import torch
from safetensors.torch import load
from torch import Tensor


class TensorsError(Exception):
    """The bytes are not tensors, or a number in them is not finite."""


def read_tensors(content: bytes) -> Dict[str, Tensor]:
    """Returns the tensors of a file by name.

    Raises:
        TensorsError: the content is not a safetensors file, or a number in it is NaN or infinite.
    """
    try:
        tensors = load(content)
    except Exception as error:  # each release of the library raises other types
        raise TensorsError(f"not a safetensors file: {error}") from error
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise TensorsError(f"some numbers are not finite in {', '.join(broken)}")
    return tensors
