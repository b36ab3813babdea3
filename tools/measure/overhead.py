"""Compares the cost of stage 2 with learners without stage 1: the training overhead of the Cosmo paper's Table 3."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, Callable, Mapping, Optional, Sequence

import torch
from rich.progress import Progress

from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.tools.measure.energy import Measurement, Source
from cosmo_runtime.training.baselines.attnsense import attnsense
from cosmo_runtime.training.baselines.deepsense import deepsense
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.stage2 import finetune
from cosmo_runtime.training.methods import Budget, Lesson, normalise
from cosmo_runtime.training.windows import Windows


def stage_2(lesson: Lesson) -> None:
    """Stage 2 of Cosmo from encoders with random weights. What stage 1 learned does not change its cost."""
    torch.manual_seed(lesson.seed)
    network = CosmoNetwork(lesson.spec)
    normalise(network.encoders, lesson.windows, lesson.seed)
    finetune(
        network,
        lesson.windows,
        rounds=-(-lesson.budget.epochs // Cosmo.turn),
        seed=lesson.seed,
        progress=lesson.progress,
        turn=Cosmo.turn,
        batch=lesson.budget.batch,
    )


METHODS: Mapping[str, Callable[[Lesson], Any]] = {
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
    """Trains every method on the same labelled windows for the same epochs, in turns, A B C A B C, after a warm-up.

    Args:
        spec: the spec of the windows.
        labelled: for each row of the table, the labelled windows.
        progress: shows the runs.
        epochs: epochs over them, a multiple of ``Cosmo.turn``. Cosmo's classifier takes as many again, on embeddings
            that are computed once per turn.
        runs: the number of runs of each method, each with another seed.
        sources: the energy meters; may be empty.

    Returns:
        A row for each of ``labelled``: ``labels``, and for each method the medians of ``seconds``, ``cpu_seconds`` (the
            time without other work on the machine) and ``energy_j`` (None if there is no meter, or if the meter cannot
            resolve it), and all ``runs``.
    """
    task = progress.add_task("training", total=len(labelled) * runs * len(METHODS))
    hidden = Progress(disable=True)
    for method in METHODS.values():
        method(Lesson(spec, labelled[0], Budget(0, 1), 0, hidden))
    rows = []
    for windows in labelled:
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in METHODS}
        for seed in range(runs):
            for name, method in METHODS.items():
                progress.update(task, description=f"{name}, {len(windows)} labels")
                lesson = Lesson(spec, windows, Budget(0, epochs), seed, hidden)
                taken[name].append(_run(method, lesson, sources))
                progress.advance(task)
        rows.append({"labels": len(windows), "methods": {name: _medians(taken[name]) for name in METHODS}})
    return rows


def _run(method: Callable[[Lesson], Any], lesson: Lesson, sources: Sequence[Source]) -> dict[str, Any]:
    with Measurement(sources) as measurement, measurement.work():
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        method(lesson)
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
