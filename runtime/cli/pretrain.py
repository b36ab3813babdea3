"""``cosmo-runtime pretrain``: learns from unlabelled data, stage 1 of Cosmo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Tuple

from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.common import DONE, Failure, UsageError
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import bundle_folder, count, seed
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.sources import DataSource, parse_source

_DATA = """\
data:
  monday.mcap home            recordings of this runtime, files or folders of segments
  utd:PATH[:SUBJECTS]         UTD-MHAD with one window per trial: IMU and skeleton
  utd-stream:PATH[:SUBJECTS]  the same as a live stream: IMU, depth and synthesised radar
  usc:PATH[:SUBJECTS]         USC-HAD: accelerometer and gyroscope
  person[:SEEDS]              simulated people
SUBJECTS and SEEDS are numbers such as 1-6 or 1,3.

If a run is killed, the same command continues from its checkpoint. On several GPUs or machines:
  torchrun --nproc_per_node 8 --no_python cosmo-runtime pretrain DATA --out FOLDER --batch 1024
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime pretrain",
        description="Trains encoders on unlabelled data by contrastive fusion, stage 1 of Cosmo (needs [train]).",
        epilog=_DATA,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("data", type=_data, nargs="+", metavar="DATA", help="data to learn from, see below")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder for the encoders")
    command.add_argument("--epochs", type=count, default=10, metavar="N", help="passes over the data (default: 10)")
    command.add_argument(
        "--batch", type=count, default=64, metavar="N", help="windows per minibatch, over all GPUs (default: 64)"
    )
    command.add_argument("--seed", type=seed, default=0, metavar="N", help="random seed (default: 0)")
    command.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (default: auto)"
    )
    command.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="precision (default: auto, mixed on a GPU)",
    )
    command.add_argument(
        "--weights-range",
        type=_weights_range,
        default=(0.0, 1.0),
        metavar="LOW,HIGH",
        help="range of the random fusion weights of two modalities (default: 0,1; 0.3,0.7 makes fusions more similar)",
    )
    command.add_argument(
        "--bundle",
        type=bundle_folder,
        metavar="BUNDLE",
        help="learn for the windows and sensors of this model, by its name or folder (default: what is usual for the "
        "data; for recordings, the model in use where it knows all recorded sensors)",
    )
    command.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="save the state here every minute, and continue from it"
    )
    command.add_argument(
        "--tensorboard", type=Path, metavar="FOLDER", help="write each epoch's figures for TensorBoard"
    )
    command.add_argument(
        "--cache",
        type=Path,
        default=cache_folder(),
        metavar="FOLDER",
        help="cache of decoded windows (default: ~/.cache/cosmo-runtime)",
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    if len(options.data) > 1 and not all(source.kind == "recording" for source in options.data):
        raise UsageError("give one data set, or one or more recordings, but not both")
    try:
        from cosmo_runtime.training.cli import FAILURES, pretrain_command
    except ImportError as error:
        raise Failure(f"pretrain needs the extra [train] ({error}): pip install 'cosmo-runtime[train]'") from error
    try:
        pretrain_command(options, Shelf().in_use)
    except FAILURES as error:
        raise Failure(str(error)) from error
    return DONE


def _data(text: str) -> DataSource:
    if text.endswith(".mcap") or segments_of(Path(text)):
        return DataSource(text, "recording", text, ())
    source = parse_source(text, simulated=("person",), stored=("utd", "utd-stream", "usc"))
    if not source:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected FILE.mcap, a folder of segments, utd:PATH[:SUBJECTS], utd-stream:PATH[:SUBJECTS], "
            "usc:PATH[:SUBJECTS] or person[:SEEDS]"
        )
    return source


def _weights_range(text: str) -> Tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = -1.0
    if not 0 <= low < high <= 1 or abs(low + high - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"{text!r}: expected two numbers that sum to 1, such as 0.3,0.7")
    return low, high
