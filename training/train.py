"""Both stages and the export: from windows to a bundle."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Mapping

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from models.bundle import Bundle
from models.networks import CosmoNetwork, Encoders
from models.spec import ModelSpec
from training.evaluate import evaluate
from training.export import export
from training.finetune import embed, finetune
from training.pretrain import pretrain
from training.quality import quality_of_modality, quality_weights
from training.windows import Windows


def train_bundle(
    spec: ModelSpec,
    windows: Windows,
    out: Path,
    *,
    held_out: Mapping[str, Windows],
    provenance: Mapping[str, Any],
    seed: int = 0,
    pretrain_epochs: int = 10,
    finetune_rounds: int = 8,
    fusion: str = "concat",
) -> Bundle:
    """Train a model in both stages, measure it after the last epoch, and write it.

    Args:
        spec: of the model; its quality weights are replaced by those found in the windows.
        windows: stage 1 learns from all of them, stage 2 from those with a label.
        out: the bundle's folder.
        held_out: labelled windows of people not in ``windows``, by name; measured once, at the end.
        provenance: the command and the data, for the bundle's record.
        seed: of everything random; the same seed gives the same bundle on the same machine.
        pretrain_epochs: epochs of stage 1.
        finetune_rounds: rounds of stage 2.
        fusion: ``concat`` or ``sum``.

    Returns:
        The bundle, its ``metrics`` with accuracy and macro F1 of each held-out set.

    Raises:
        ValueError: no windows have a label.
    """
    labelled = windows.labelled
    if len(labelled) < 2:
        raise ValueError(f"{len(labelled)} of {len(windows)} windows have a label; stage 2 needs some of each activity")
    torch.manual_seed(seed)
    started = time.monotonic()
    encoders = Encoders(spec)
    features, presence, _ = windows.tensors(torch.randperm(len(windows))[:1000].numpy())
    encoders.fit(features, presence)

    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()) as progress:
        stage1 = pretrain(encoders, windows, epochs=pretrain_epochs, seed=seed, progress=progress)
        z, _, _ = embed(encoders, windows)
        qualities = [
            quality_of_modality(z[windows.presence[:, j], j].numpy(), len(spec.classes), seed)
            for j in range(len(spec.modalities))
        ]
        spec = spec.model_copy(update={"quality": quality_weights(qualities)})

        network = CosmoNetwork(spec, fusion)
        network.encoders = encoders
        stage2 = finetune(network, labelled, rounds=finetune_rounds, seed=seed, progress=progress)

    metrics = {
        "train": evaluate(network, labelled),
        **{name: evaluate(network, held) for name, held in held_out.items()},
        "quality": {sensor: vars(quality) for sensor, quality in zip(spec.sensors, qualities)},
        "loss": {"stage 1": stage1[-1:], "stage 2": stage2[-1:]},
        "seconds": round(time.monotonic() - started, 1),
    }
    record = {
        **provenance,
        "method": "Cosmo: contrastive fusion learning, then iterative fusion learning",
        "seed": seed,
        "pretrain_epochs": pretrain_epochs,
        "finetune_rounds": finetune_rounds,
        "fusion": fusion,
        "windows": len(windows),
        "labelled_windows": len(labelled),
        "torch": torch.__version__,
    }
    return export(out, spec, network, provenance=record, metrics=metrics)
