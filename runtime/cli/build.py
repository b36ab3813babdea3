"""``cosmo-runtime build``: an engine for this machine's GPU, verified."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.runtime.cli.common import DONE, say
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import bundle_folder
from cosmo_runtime.runtime.engines.build import build_engine, recorded_windows, simulated_windows
from cosmo_runtime.runtime.engines.choose import ENGINES, explain, key_here, up_to_date
from cosmo_runtime.runtime.engines.trial import ensure_tried

_ENGINES = """\
engines:
  tensorrt              a TensorRT plan, run through pycuda: the fastest on a Jetson
  onnxruntime-tensorrt  ONNX Runtime with its TensorRT provider
  onnxruntime-cuda      ONNX Runtime with its CUDA provider

The engine's answers are compared with those of ONNX Runtime on the CPU, and it is refused if they differ. If it passes,
it is kept in the model's folder, and `cosmo-runtime --engine auto` uses the fastest one. Build again after an update
of TensorRT, or for another GPU or model. An engine that is up to date is not built again.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime build",
        description="Builds an engine for this machine's GPU and verifies it.",
        epilog=_ENGINES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("bundle", type=bundle_folder, metavar="BUNDLE", help="name or folder of the model")
    command.add_argument(
        "--engine", choices=ENGINES[:0:-1], default="tensorrt", help="what to build (default: tensorrt)"
    )
    command.add_argument(
        "--precision", choices=("fp32", "fp16"), default="fp32", help="precision of the arithmetic (default: fp32)"
    )
    command.add_argument(
        "--recording", type=Path, metavar="FILE.mcap", help="recording to verify with (default: a simulated person)"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    bundle = load_bundle(options.bundle)
    ensure_tried(bundle)
    key = key_here(options.engine, options.precision)
    record = up_to_date(bundle, key)
    if record:
        say(f"{bundle.path}: {options.engine} in {options.precision} is up to date; {explain(record.verification)}")
        return DONE
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        reading = progress.add_task("windows to verify with", total=None)
        spec = bundle.spec
        windows = recorded_windows(options.recording, spec) if options.recording else simulated_windows(spec)
        progress.update(reading, total=1, completed=1)
        record = build_engine(bundle, options.engine, options.precision, windows, progress)
    figures = record.verification
    slower = figures.latency_ms >= figures.cpu_latency_ms
    say(
        f"{bundle.path}: {options.engine} in {options.precision} for {key.gpu} may be used: {explain(figures)}. "
        f"One window in {figures.latency_ms:.2f} ms; ONNX Runtime on one core takes {figures.cpu_latency_ms:.2f} ms"
        + (f", so that only `--engine {options.engine}` will use it" if slower else "")
    )
    return DONE
