"""One row per engine. Each engine is measured in its own process."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from cosmo_runtime.models.bundle import Bundle, BundleError
from cosmo_runtime.runtime.engines.choose import ENGINES, open_engine
from cosmo_runtime.runtime.engines.onnxruntime import Engine, EngineError
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.tools.measure.meters import EnergyError
from cosmo_runtime.tools.measure.report import Answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TORCH = {"torch": "cpu", "torch-cuda": "cuda"}
"""Engines that only the bench has, with torch's name of their device."""

KNOWN = (*ENGINES, *TORCH)


class Row(NamedTuple):
    """The measurements of one engine.

    Attributes:
        name: the engine's name.
        figures: the figures for machines; None if the engine could not run.
        reason: why the engine could not run.
        times_ms: times for the picture: of each run (runs,), or of each prediction's stages (predictions, stages).
    """

    name: str
    figures: Optional[Dict[str, Any]]
    reason: str = ""
    times_ms: Optional[np.ndarray] = None

    @property
    def title(self) -> str:
        """The engine's name, with its precision if that is not fp32."""
        assert self.figures
        return self.name if self.figures["precision"] == "fp32" else f"{self.name} {self.figures['precision']}"

    def for_machines(self) -> Dict[str, Any]:
        """Returns the row as JSON."""
        return {"engine": self.name, **(self.figures or {"unavailable": self.reason})}


def answer_by_engine(
    measure: Callable[[str, argparse.Namespace], Row],
    table: Callable[[Sequence[Row]], Table],
    draw: Callable[[Figure, Sequence[Row]], None],
    explanation: str,
    options: argparse.Namespace,
    console: Console,
) -> Answer:
    """Measures every engine that the options name, and returns one row for each."""
    rows = [measure_apart(measure, name, options, console) for name in options.engines]
    ran = [row for row in rows if row.figures]
    return Answer(
        figures=[row.for_machines() for row in rows],
        table=table(ran),
        failures=failures(rows),
        explanation=explanation,
        height_in=1.4 + 0.8 * len(ran),
        draw=lambda figure: draw(figure, ran),
    )


def measure_apart(
    measure: Callable[[str, argparse.Namespace], Row], name: str, options: argparse.Namespace, console: Console
) -> Row:
    """Measures an engine in its own process, so that its memory is its own and a crash harms no other engine."""
    console.print(f"{name}: {options.duration:g} s", style="dim")  # a spinner would keep the machine busy
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            return process.submit(measure, name, options).result()
        except BrokenProcessPool:
            return Row(name, None, "its process died; its last words are above")
        except Exception as error:  # an error in one engine must not stop the others
            known = isinstance(error, (BundleError, EngineError, EnergyError, SensorError))
            return Row(name, None, str(error) if known else f"{type(error).__name__}: {error}")


def open_any_engine(bundle: Bundle, name: str, threads: int) -> Engine:
    """Opens one of the runtime's engines, or torch.

    Raises:
        EngineError: it cannot run here.
    """
    if name not in TORCH:
        return open_engine(bundle, name, threads)
    try:
        from cosmo_runtime.tools.measure.eager import TorchEngine
    except ImportError as error:
        raise EngineError(f"needs torch ({error}): pip install 'cosmo-runtime[train]'") from error
    return TorchEngine(bundle, TORCH[name], threads)


def failures(rows: Sequence[Row]) -> List[str]:
    """Returns a line for each engine that could not run."""
    return [f"{row.name}: {row.reason}" for row in rows if not row.figures]
