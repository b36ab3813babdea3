"""The machine's GPU, as NVIDIA's driver reports it. An engine built for one GPU is useless on another."""

from __future__ import annotations

import ctypes
import re
from typing import NamedTuple, Optional, Tuple

_COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


class Gpu(NamedTuple):
    """A CUDA device: its name and its compute capability."""

    name: str
    capability: Tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (sm_{self.capability[0]}{self.capability[1]})"

    @property
    def slug(self) -> str:
        """The GPU's part of a file name: ``nvidia-tegra-x2-sm62``."""
        name = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return f"{name}-sm{self.capability[0]}{self.capability[1]}"


def find_gpu() -> Optional[Gpu]:
    """Returns the first CUDA device; None without a device or a driver."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, number, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if cuda.cuDeviceGetName(name, len(name), device):
        return None
    capability = []
    for attribute in _COMPUTE_CAPABILITY:
        if cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device):
            return None
        capability.append(number.value)
    return Gpu(name.value.decode(errors="replace"), (capability[0], capability[1]))
