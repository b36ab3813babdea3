"""One process that pretrains, started by the tests: alone or as one of several, and perhaps killed.

    python pretraining.py FOLDER OUT [--batch N] [--double] [--neighbours] [--checkpoint FILE] [--rank R --of N]
        [--device cuda] [--precision P] [--windows NAME]

FOLDER holds ``spec.json`` and ``windows``, or windows of another name. OUT gets the trained encoders, the losses of the
epochs, and the loss and gradients of one batch, as tensors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from safetensors.torch import save_file
from torch import nn

from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training import distributed
from cosmo_runtime.training.checkpoint import Checkpoint
from cosmo_runtime.training.cli import device_of
from cosmo_runtime.training.cosmo.contrastive import random_weightings
from cosmo_runtime.training.cosmo.pretrain import augmented_share, pretrain, related_windows, share_of_loss
from cosmo_runtime.training.datasets.store import load
from cosmo_runtime.training.windows import Windows

EPOCHS = 3


def new_encoders(spec: ModelSpec, windows: Windows, dtype: torch.dtype = torch.float32) -> Encoders:
    """Random encoders, always the same, whose normalisation fits the windows."""
    torch.manual_seed(0)
    encoders = Encoders(spec)
    features, presence, _ = windows.tensors(np.arange(len(windows)))
    encoders.fit(features, presence)
    return encoders.to(dtype)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--neighbours", action="store_true")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--windows", default="windows")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = device_of(options.device)  # makes a GPU's sums come in one order
    if options.of > 1:
        store = f"file://{options.folder}/processes"
        torch.distributed.init_process_group("gloo", init_method=store, rank=options.rank, world_size=options.of)

    spec = ModelSpec.model_validate_json((options.folder / "spec.json").read_text())
    windows = load(options.folder / options.windows)
    dtype = torch.float64 if options.double else torch.float32
    neighbours = torch.randint(-1, len(windows), (len(windows), 3), generator=torch.Generator().manual_seed(0))
    result = one_batch(spec, windows, neighbours.numpy(), options.batch, dtype)

    encoders = new_encoders(spec, windows, dtype)
    losses = pretrain(
        encoders,
        windows,
        epochs=EPOCHS,
        seed=0,
        progress=Progress(disable=True),
        batch=options.batch,
        neighbours=neighbours if options.neighbours else None,
        device=device,
        precision=options.precision,
        checkpoint=Checkpoint(options.checkpoint, every_s=0) if options.checkpoint else None,
    )
    result["losses"] = torch.tensor(losses, dtype=torch.float64)
    result.update({f"trained.{name}": tensor.contiguous() for name, tensor in encoders.state_dict().items()})
    if options.rank == 0:
        save_file(result, options.out)
    if options.of > 1:
        torch.distributed.destroy_process_group()


def one_batch(
    spec: ModelSpec, windows: Windows, neighbours: np.ndarray, size: int, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Loss, gradients and batch statistics after one batch of related windows."""
    encoders = new_encoders(spec, windows, dtype)
    learner = nn.ModuleDict({"encoders": encoders, "heads": encoders.projection_heads()}).to(dtype)
    chosen = np.arange(size)
    with distributed.statistics_of_whole_batch(learner):
        alpha = random_weightings(torch.ones(size, len(spec.modalities)), 9, torch.Generator().manual_seed(0))
        features = augmented_share(windows, chosen, 0, 0, torch.device("cpu"))
        loss = share_of_loss(learner, features, alpha, related_windows(chosen, neighbours))
        loss.backward()
    gradients = {name: parameter.grad for name, parameter in learner.named_parameters()}
    loss = loss.detach()
    distributed.add_up([loss, *gradients.values()])
    return {
        "loss": loss,
        **{f"gradient.{name}": gradient.contiguous() for name, gradient in gradients.items()},
        **{f"statistics.{name}": buffer.contiguous() for name, buffer in learner.named_buffers()},
    }


if __name__ == "__main__":
    main()
