"""The measured machine and its libraries, and what the kernel reports about this process."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Dict, Optional

from cosmo_runtime.runtime.engines.gpu import find_gpu

LIBRARIES = ("cosmo-runtime", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "pycuda", "torch", "nvidia-ml-py")


def machine() -> Dict[str, Any]:
    """Returns the properties of the machine that can change a measurement."""
    gpu = find_gpu()
    return {
        "model": _text("/sys/firmware/devicetree/base/model") or _text("/sys/class/dmi/id/product_name"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": str(gpu) if gpu else None,
        "system": platform.platform(),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "power_mode": _text("/var/lib/nvpmodel/status"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> Dict[str, str]:
    """Returns the versions of Python and of the installed libraries."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def waited_ns() -> int:
    """Returns how long this thread was ready to run but had no core; 0 if the kernel does not report it."""
    return int((_text("/proc/thread-self/schedstat") or "0 0").split()[1])


def peak_memory_mb() -> float:
    """Returns the peak memory of this process alone. ``getrusage`` would give its parent's if that was larger."""
    status = Path("/proc/self/status").read_text()
    peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(peak_kb) * 1024 / 1e6, 1)


def _text(file: str) -> Optional[str]:
    try:
        return Path(file).read_text().strip("\0\n ") or None
    except OSError:
        return None


def _processor() -> str:
    lines = (_text("/proc/cpuinfo") or "").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
