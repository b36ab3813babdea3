"""What stage 2 costs beside learners that do without stage 1: the training overhead of the Cosmo paper's Table 3."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, Callable, Mapping, Optional, Sequence

import torch
from rich.progress import Progress

from models.networks import CosmoNetwork
from models.spec import ModelSpec
from runtime.energy import Measurement, Source
from training.baselines.attnsense import attnsense
from training.baselines.deepsense import deepsense
from training.cosmo import Cosmo
from training.finetune import finetune
from training.methods import Budget, normalise
from training.windows import Windows


def stage_2(spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress) -> None:
    """Stage 2 of Cosmo from encoders at random: what stage 1 has put into them does not change what it costs."""
    torch.manual_seed(seed)
    network = CosmoNetwork(spec)
    normalise(network.encoders, windows, seed)
    finetune(
        network,
        windows,
        rounds=-(-budget.epochs // Cosmo.turn),
        seed=seed,
        progress=progress,
        turn=Cosmo.turn,
        batch=budget.batch,
    )


METHODS: Mapping[str, Callable[..., Any]] = {
    "Cosmo stage 2": stage_2,
    "DeepSense": deepsense,
    "AttnSense": attnsense,
}


def overhead(
    spec: ModelSpec,
    labelled: Sequence[Windows],
    progress: Progress,
    *,
    epochs: int,
    runs: int,
    sources: Sequence[Source],
) -> list[dict[str, Any]]:
    """Train every method with the same labelled windows for as many epochs, in turns, A B C A B C, warmed up before.

    Args:
        spec: of the windows.
        labelled: for each row of the table the windows that have labels.
        progress: shows the runs.
        epochs: passes over them, a multiple of ``Cosmo.turn``; Cosmo's classifier makes as many again, on embeddings
            computed once a turn.
        runs: of each method; each has another seed.
        sources: what measures energy; may be none.

    Returns:
        A row for each of ``labelled``: ``labels``, and by method medians of ``seconds``, ``cpu_seconds`` (what
        they were without other work on the machine) and ``energy_j`` (None where nothing measures it, or it is below
        what the meter resolves), and all ``runs``.
    """
    task = progress.add_task("training", total=len(labelled) * runs * len(METHODS))
    hidden = Progress(disable=True)
    for method in METHODS.values():
        method(spec, labelled[0], Budget(0, 1), 0, hidden)
    rows = []
    for windows in labelled:
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
        for seed in range(runs):
            for name, method in METHODS.items():
                progress.update(task, description=f"{name}, {len(windows)} labels")
                taken[name].append(_run(method, spec, windows, Budget(0, epochs), seed, hidden, sources))
                progress.advance(task)
        rows.append({"labels": len(windows), "methods": {name: _medians(taken[name]) for name in METHODS}})
    return rows


def _run(
    method: Callable[..., Any],
    spec: ModelSpec,
    windows: Windows,
    budget: Budget,
    seed: int,
    progress: Progress,
    sources: Sequence[Source],
) -> dict[str, Any]:
    with Measurement(sources) as measurement, measurement.work():
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        method(spec, windows, budget, seed, progress)
        seconds, cpu_seconds = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "energy": measurement.net and measurement.net.as_dict(),
    }


def _medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    energies: list[Optional[float]] = [run["energy"] and run["energy"]["energy_mj"] for run in runs]
    resolved = [energy / 1000 for energy in energies if energy is not None]
    return {
        "seconds": median(run["seconds"] for run in runs),
        "cpu_seconds": median(run["cpu_seconds"] for run in runs),
        "energy_j": median(resolved) if len(resolved) == len(runs) else None,
        "runs": list(runs),
    }
