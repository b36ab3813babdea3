"""Prints how many MB an ONNX model adds to the memory of an otherwise idle process when it is loaded and run.

python -m cosmo_runtime.training.benchmark.footprint model.onnx
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from cosmo_runtime.training.benchmark.one_thread import one_thread_session


def added_mb(model: Path, runs: int = 20) -> float:
    """MB that the model adds to this process, on one thread."""
    before = _resident_mb()
    session = one_thread_session(str(model))
    for _ in range(runs):
        session.run(None, {wanted.name: np.ones(wanted.shape, np.float32) for wanted in session.get_inputs()})
    return _resident_mb() - before


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    print(f"{added_mb(Path(sys.argv[1])):.1f}")
