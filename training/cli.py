"""What the training commands do; the command line itself is ``runtime.cli.pretrain``, which works without torch."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Callable, Iterator, Mapping, Optional, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.bundle import load_bundle
from models.networks import Encoders
from models.spec import ModelSpec
from training import distributed
from training.checkpoint import Checkpoint, CheckpointError
from training.datasets import motion, recording, usc, utd
from training.datasets.store import DataSetError
from training.methods import normalise
from training.pretrain import PRECISIONS, PretrainingError, pretrain
from training.pretrained import PretrainedError, refuse_existing, write_pretrained
from training.windows import Windows, without_absent

FAILURES = (CheckpointError, DataSetError, PretrainedError, PretrainingError)
"""What a command raises when it cannot do what is asked, with a message for people."""

PEOPLE, PERSON_S = range(40), 150.0
NUMBERS = r"\d+(-\d+)?(,\d+(-\d+)?)*"


def pretrain_command(options: argparse.Namespace, in_use: Path) -> None:
    """Stage 1, from data to a folder with encoders; in each of the processes that ``torchrun`` started.

    Args:
        options: of the command line.
        in_use: the bundle whose windows are cut from recordings, unless another is given.

    Raises:
        BundleError, or one of ``FAILURES``.
    """
    refuse_existing(options.out)
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
            progress=stack.enter_context(_progress()),
            batch=options.batch,
            weights_range=options.weights_range,
            device=device,
            precision=precision,
            checkpoint=checkpoint,
            on_epoch=_board(options.tensorboard, stack) if options.tensorboard and distributed.rank() == 0 else None,
        )
        if distributed.rank() == 0:
            provenance = {
                "command": shlex.join(["cosmo-runtime", *sys.argv[1:]]),
                "method": "Cosmo: contrastive fusion learning",
                "about": "Encoders that learned without labels (stage 1 of Cosmo), for stage 2 to start from with few "
                "labels: `cosmo-runtime finetune --bundle FOLDER`, or `python tools/train_bundle.py … --start FOLDER`.",
                "data": options.data,
                **_terms(options.data[0]),
                "windows": len(windows),
                "epochs": options.epochs,
                "batch": options.batch,
                "weights_range": options.weights_range,
                "seed": options.seed,
                "precision": precision,
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
                "processes": distributed.size(),
                "torch": torch.__version__,
            }
            write_pretrained(options.out, spec, encoders, provenance=provenance, losses=losses)
            if checkpoint:
                checkpoint.path.unlink()


def _terms(source: str) -> dict[str, str]:
    """Licence and limits of a data set, as far as they are known."""
    if not source.startswith("utd"):
        return {}
    synthesised = "; the radar is synthesised from the skeletons" if source.startswith("utd-stream") else ""
    return {"licence": utd.LICENCE, "limits": utd.LIMITS + synthesised}


def device_of(wanted: str) -> torch.device:
    """The processor, or this process's GPU, made to add in one order: the same seed gives the same encoders.

    Raises:
        PretrainingError: there is no GPU.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise PretrainingError("no GPU that torch can use; give --device cpu, or install torch for CUDA")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device


def _precision(device: torch.device, wanted: str) -> str:
    """Mixed where it pays: bfloat16 needs no scaling of the gradients, but GPUs compute in it from Ampere on only."""
    if wanted == "auto":
        if device.type == "cpu":
            return "fp32"
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    try:
        with torch.autocast(device.type, PRECISIONS[wanted], enabled=wanted != "fp32"):
            return wanted
    except RuntimeError as error:
        raise PretrainingError(
            f"torch {torch.__version__} cannot compute in {wanted} on a {device.type}; give --precision fp32"
        ) from error


@contextmanager
def _processes(device: torch.device) -> Iterator[None]:
    """Joins the processes that ``torchrun`` started, if it did."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield
        return
    patience = timedelta(hours=6)  # the others wait while one decodes the data
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _first_on_each_node(
    load: Callable[[], tuple[ModelSpec, Windows]], device: torch.device
) -> tuple[ModelSpec, Windows]:
    """Lets one process of a machine decode what the others then find decoded."""
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0
    loaded = load() if first else None
    distributed.add_up([torch.zeros(1, device=device)])  # a barrier
    return loaded or load()


def _windows(sources: Sequence[str], spec: Optional[ModelSpec], in_use: Path, cache: Path) -> tuple[ModelSpec, Windows]:
    """The windows of the data that was asked for, and their spec; where it is None, the one usual for the data."""
    kind, _, rest = sources[0].partition(":")
    if kind == "person":
        spec = spec or motion.person_spec()
        return spec, motion.simulated_people(_numbers(rest) or PEOPLE, PERSON_S, spec, cache)
    if kind not in ("utd", "utd-stream", "usc"):
        spec = spec or load_bundle(in_use).spec
        windows = Windows.concatenate([recording.windows(Path(path), spec, cache) for path in sources])
        return without_absent(spec, windows)

    folder, _, subjects = rest.rpartition(":")
    if not re.fullmatch(NUMBERS, subjects):  # a path may have colons, too
        folder, subjects = rest, ""
    if kind == "utd":
        spec = (spec or utd.utd_a_spec()).model_copy(update={"classes": utd.CLASSES})
        windows = utd.trials(Path(folder), spec, cache)
    elif kind == "utd-stream":
        spec = spec or motion.utd_stream_spec()
        return spec, motion.utd_streams(Path(folder), _numbers(subjects) or utd.SUBJECTS, spec, cache)
    else:
        spec = (spec or usc.usc_spec()).model_copy(update={"classes": usc.CLASSES})
        windows = usc.windows(Path(folder), spec, cache)
    if subjects:
        windows = windows.where(np.isin(windows.groups, _numbers(subjects)))
    if not len(windows):
        raise DataSetError(f"{folder} has no window of the subjects {subjects}; give others")
    return spec, windows


def _numbers(text: str) -> list[int]:
    """``1-3,7`` as numbers."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=distributed.rank() > 0)


def _board(folder: Path, stack: ExitStack) -> Callable[[int, Mapping[str, float]], None]:
    """Keeps each epoch's figures where TensorBoard finds them."""
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
