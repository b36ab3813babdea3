"""Runs the training commands. The command line itself is ``runtime.cli.pretrain``, which works without torch."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence

import numpy as np
import torch
from rich.console import Console

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.models.outputs import try_file, try_folder
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.sources import DataSource
from cosmo_runtime.training import distributed
from cosmo_runtime.training.checkpoint import Checkpoint, CheckpointError
from cosmo_runtime.training.cosmo.pretrain import PRECISIONS, PretrainingError, pretrain
from cosmo_runtime.training.datasets import motion, recording, usc, utd
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.identity import DifferentProcessesError
from cosmo_runtime.training.methods import normalise
from cosmo_runtime.training.pretrained import PretrainedError, refuse_existing, write_pretrained
from cosmo_runtime.training.progress import bars
from cosmo_runtime.training.windows import Windows, without_absent

FAILURES = (CheckpointError, DataSetError, DifferentProcessesError, PretrainedError, PretrainingError)
"""Errors of a command, each with a message for people."""

PEOPLE, PERSON_S = range(40), 150.0


def pretrain_command(options: argparse.Namespace, in_use: Path) -> None:
    """Runs stage 1, from data to a folder of encoders, in each process that ``torchrun`` started.

    Args:
        options: the command line's options.
        in_use: the bundle whose spec is used for recordings, unless another one is named.

    Raises:
        BundleError, or one of ``FAILURES``.
    """
    refuse_existing(options.out)
    if _is_first():
        _try_outputs(options)
    device = device_of(options.device)
    precision = _precision(device, options.precision)
    with ExitStack() as stack:
        stack.enter_context(_processes(device))
        wanted = load_bundle(options.bundle).spec if options.bundle else None
        spec, windows = _first_on_each_node(lambda: _windows(options.data, wanted, in_use, options.cache), device)

        torch.manual_seed(options.seed)
        encoders = Encoders(spec)
        normalise(encoders, windows, options.seed)

        checkpoint = Checkpoint(options.checkpoint) if options.checkpoint else None
        losses = pretrain(
            encoders,
            windows,
            epochs=options.epochs,
            seed=options.seed,
            progress=stack.enter_context(bars(Console(stderr=True), disable=distributed.rank() > 0)),
            batch=options.batch,
            weights_range=options.weights_range,
            device=device,
            precision=precision,
            checkpoint=checkpoint,
            on_epoch=_board(options.tensorboard, stack) if options.tensorboard and distributed.rank() == 0 else None,
        )
        if distributed.rank() == 0:
            provenance = _provenance(options, len(windows), device, precision)
            write_pretrained(options.out, spec, encoders, provenance=provenance, losses=losses)
            if checkpoint:
                checkpoint.path.unlink()


def _provenance(options: argparse.Namespace, windows: int, device: torch.device, precision: str) -> Dict[str, Any]:
    """How the encoders were made, for their record and their card."""
    return {
        "command": shlex.join(["cosmo-runtime", *sys.argv[1:]]),
        "method": "Cosmo: contrastive fusion learning",
        "about": "Encoders that learned without labels (stage 1 of Cosmo), for stage 2 to start from with few "
        "labels: `cosmo-runtime finetune --bundle FOLDER`, or `python tools/train_bundle.py … --start FOLDER`.",
        "data": [source.text for source in options.data],
        **_terms(options.data[0].kind),
        "windows": windows,
        "epochs": options.epochs,
        "batch": options.batch,
        "weights_range": options.weights_range,
        "seed": options.seed,
        "precision": precision,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": distributed.size(),
        "torch": torch.__version__,
    }


def _is_first() -> bool:
    """Whether this is the process that writes, among those that ``torchrun`` started. They have not joined yet."""
    return int(os.environ.get("RANK", 0)) == 0


def _try_outputs(options: argparse.Namespace) -> None:
    """Checks that all outputs can be written, before hours of training.

    Raises:
        PretrainingError: one of them cannot be written.
    """
    outputs = (("--out", options.out, try_folder), ("--checkpoint", options.checkpoint, try_file))
    for option, path, attempt in (*outputs, ("--tensorboard", options.tensorboard, try_folder)):
        try:
            if path:
                attempt(path)
        except OSError as error:
            raise PretrainingError(
                f"{option} {path} cannot be written ({error.strerror}); choose another place"
            ) from error


def _terms(kind: str) -> dict[str, str]:
    """Licence and limits of a data set, as far as they are known."""
    if not kind.startswith("utd"):
        return {}
    synthesised = "; the radar is synthesised from the skeletons" if kind == "utd-stream" else ""
    return {"licence": utd.LICENCE, "limits": utd.LIMITS + synthesised}


def device_of(wanted: str) -> torch.device:
    """The CPU, or this process's GPU in deterministic mode, so that the same seed gives the same encoders.

    Raises:
        PretrainingError: there is no GPU.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise PretrainingError("torch can use no GPU; use --device cpu, or install torch for CUDA")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device


def _precision(device: torch.device, wanted: str) -> str:
    """Mixed where that is faster. bfloat16 needs no scaling of gradients, but only GPUs from Ampere on have it."""
    if wanted == "auto":
        if device.type == "cpu":
            return "fp32"
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    try:
        with torch.autocast(device.type, PRECISIONS[wanted], enabled=wanted != "fp32"):
            return wanted
    except RuntimeError as error:
        raise PretrainingError(
            f"torch {torch.__version__} cannot compute in {wanted} on a {device.type}; use --precision fp32"
        ) from error


@contextmanager
def _processes(device: torch.device) -> Iterator[None]:
    """Joins the processes that ``torchrun`` started, if there are any."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield
        return
    patience = timedelta(hours=6)  # the others wait while one process decodes the data
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _first_on_each_node(
    load: Callable[[], tuple[ModelSpec, Windows]], device: torch.device
) -> tuple[ModelSpec, Windows]:
    """Lets one process of each machine decode the data for the others."""
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0
    loaded = load() if first else None
    distributed.add_up([torch.zeros(1, device=device)])  # a barrier
    return loaded or load()


def _windows(
    sources: Sequence[DataSource], spec: Optional[ModelSpec], in_use: Path, cache: Path
) -> tuple[ModelSpec, Windows]:
    """Returns the windows of the data and their spec. If ``spec`` is None, the data's usual spec is used."""
    kind, path, numbers = sources[0].kind, Path(sources[0].path), sources[0].numbers
    if kind == "person":
        spec = spec or motion.person_spec()
        return spec, motion.simulated_people(numbers or PEOPLE, PERSON_S, spec, cache)
    if kind == "recording":
        paths = [Path(source.path) for source in sources]
        spec = spec or recording.usual_spec(paths, load_bundle(in_use).spec)
        windows = Windows.concatenate([recording.windows(path, spec, cache) for path in paths])
        return without_absent(spec, windows)
    if kind == "utd-stream":
        spec = spec or motion.utd_stream_spec()
        return spec, motion.utd_streams(path, numbers or utd.SUBJECTS, spec, cache)
    if kind == "utd":
        spec = (spec or utd.utd_a_spec()).model_copy(update={"classes": utd.CLASSES})
        windows = utd.trials(path, spec, cache)
    else:
        spec = (spec or usc.usc_spec()).model_copy(update={"classes": usc.CLASSES})
        windows = usc.windows(path, spec, cache)
    if numbers:
        windows = windows.where(np.isin(windows.groups, numbers))
    if not len(windows):
        raise DataSetError(f"{path} has no windows of the subjects in {sources[0].text}; choose others")
    return spec, windows


def _board(folder: Path, stack: ExitStack) -> Callable[[int, Mapping[str, float]], None]:
    """Writes each epoch's figures for TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PretrainingError("--tensorboard needs tensorboard: pip install 'cosmo-runtime[train]'") from error
    writer = SummaryWriter(str(folder))
    stack.callback(writer.close)

    def keep(epoch: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(f"stage 1/{name}", value, epoch)

    return keep
