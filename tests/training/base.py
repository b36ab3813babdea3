"""A bundle that knows someone who sways, taught once for all workers of a test run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest


def swaying_bundle(factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder, which no test may change."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # each worker has a folder of its own in it
    with (folder / "swaying.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "swaying").exists():
            _teach(folder / "swaying")
    return folder / "swaying"


def _teach(folder: Path) -> None:
    import torch

    from cosmo_runtime.training.cosmo.method import Cosmo
    from cosmo_runtime.training.methods import Budget
    from cosmo_runtime.training.train import train_bundle
    from tests.training.conftest import sway_spec, swaying

    torch.set_num_threads(1)
    spec = sway_spec()
    about = {"data": "swaying", "licence": "none needed", "limits": "made up", "subjects": [7]}
    windows, budget = swaying(spec, per_class=24, seed=0), Budget(pretrain_epochs=4, epochs=40)
    train_bundle(spec, windows, folder, held_out={}, provenance=about, budget=budget, cosmo=Cosmo())
