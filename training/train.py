"""Trains a bundle from windows: both stages, the measurement after the last epoch, and the export."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Mapping, Optional

import torch

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.networks import CosmoNetwork, Encoders
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.adapt.memory import build_memory
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.evaluate import evaluate
from cosmo_runtime.training.export import export
from cosmo_runtime.training.methods import Budget, Lesson
from cosmo_runtime.training.progress import bars
from cosmo_runtime.training.windows import Windows


def train_bundle(
    spec: ModelSpec,
    windows: Windows,
    out: Path,
    *,
    held_out: Mapping[str, Windows],
    provenance: Mapping[str, Any],
    budget: Budget,
    cosmo: Cosmo,
    seed: int = 0,
    encoders: Optional[Encoders] = None,
) -> Bundle:
    """Trains a model, measures it after the last epoch, and writes it.

    Args:
        spec: the model's spec. Its quality weights are replaced by those measured in the windows.
        windows: stage 1 learns from all of them, stage 2 from those with a label.
        out: the bundle's folder.
        held_out: labelled windows of people not in ``windows``, by name; measured once, at the end.
        provenance: the command and the data, for the bundle's record.
        budget: for how long.
        cosmo: the method, with its variations.
        seed: the seed of everything random. The same seed gives the same bundle on the same machine.
        encoders: encoders of an earlier stage 1 for the same inputs, which is then skipped. They are trained in place.

    Returns:
        The bundle, its ``metrics`` with accuracy and macro F1 of each held-out set.

    Raises:
        ValueError: no windows have a label.
    """
    labelled = windows.labelled
    if len(labelled) < 2:
        raise ValueError(f"{len(labelled)} of {len(windows)} windows have a label; stage 2 needs some of each activity")
    started = time.monotonic()
    with bars() as progress:
        trained = cosmo.train(Lesson(spec, windows, budget, seed, progress), encoders)

    record = {
        **provenance,
        "method": "Cosmo: contrastive fusion learning, then iterative fusion learning",
        "seed": seed,
        "budget": asdict(budget),
        "windows": len(windows),
    }
    metrics = {
        "quality": {sensor: vars(quality) for sensor, quality in zip(spec.sensors, trained.qualities)},
        "loss": trained.losses,
        "seconds": round(time.monotonic() - started, 1),
    }
    return write_bundle(out, trained.spec, trained.network, labelled, held_out, record, metrics)


def write_bundle(
    out: Path,
    spec: ModelSpec,
    network: CosmoNetwork,
    learned: Windows,
    held_out: Mapping[str, Windows],
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Bundle:
    """Measures a trained network, and writes it with a memory of what it has learned.

    Args:
        out: the bundle's folder.
        spec: the model's spec.
        network: the network, trained.
        learned: the labelled windows that it learned from.
        held_out: labelled windows of people that it did not learn from, by name.
        record: the command, the data, the method and the ``seed``, for the bundle's record.
        metrics: further figures.
    """
    measured = {name: evaluate(network, windows) for name, windows in {"train": learned, **held_out}.items()}
    return export(
        out,
        spec,
        network,
        memory=build_memory(network.encoders, learned, record["seed"]),
        provenance={**record, "labelled_windows": len(learned), "torch": torch.__version__},
        metrics={**measured, **metrics},
    )
