"""Measures each engine's speed, memory and energy. It runs without pause, on random windows."""

from __future__ import annotations

import argparse
import time
from itertools import cycle
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import Engine
from cosmo_runtime.tools.measure.energy import Measurement
from cosmo_runtime.tools.measure.machine import peak_memory_mb, waited_ns
from cosmo_runtime.tools.measure.meters import find_sources
from cosmo_runtime.tools.measure.report import (
    BLUE,
    ORANGE,
    PERCENTILES,
    Answer,
    energy_cell,
    new_table,
    percentiles,
    threads_in_words,
)
from cosmo_runtime.tools.measure.rows import Row, answer_by_engine, open_any_engine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEADY_WITHIN = 0.05
WARM_UP_SHARE, WARM_UP_RUNS = 0.1, 20


def answer(options: argparse.Namespace, console: Console) -> Answer:
    """Measures each engine for ``options.duration`` seconds."""
    return answer_by_engine(_measure, _table, _draw, _explanation(options), options, console)


def _measure(name: str, options: argparse.Namespace) -> Row:
    bundle = load_bundle(options.bundle)
    began_s = time.perf_counter()
    engine = open_any_engine(bundle, name, options.threads)
    step = _step(engine, bundle.spec, options.batch)
    step()
    first_answer_s = time.perf_counter() - began_s
    _repeat(step, WARM_UP_SHARE * options.duration, WARM_UP_RUNS)
    with Measurement(find_sources().sources) as measurement, measurement.work():
        began_cpu_s, began_waiting_ns = time.process_time(), waited_ns()
        latency_ms = _repeat(step, options.duration)
        cpu_s, waiting_ns = time.process_time() - began_cpu_s, waited_ns() - began_waiting_ns
    first, second = map(np.median, np.array_split(latency_ms, 2))
    windows = options.batch * len(latency_ms)
    figures = {
        "precision": engine.precision,
        "at_once": _takes_batches(engine),
        "runs": len(latency_ms),
        "latency_ms": percentiles(latency_ms),
        "drift": round(float(second / first - 1), 4),
        "waited_for_a_core": round(waiting_ns / latency_ms.sum() * 1e-6, 4),
        "cpu_ms_per_window": round(1e3 * cpu_s / windows, 4),
        "windows_per_s": round(windows / latency_ms.sum() * 1e3, 1),
        "first_answer_s": round(first_answer_s, 3),
        "memory_mb": peak_memory_mb(),
        "energy": measurement.net and measurement.net.as_dict(windows),
    }
    return Row(name, figures, times_ms=latency_ms)


def _step(engine: Engine, spec: ModelSpec, batch: int) -> Callable[[], object]:
    """Returns a function that runs the next ``batch`` windows. They are noise, which takes as long to compute."""
    random = np.random.default_rng(0)
    stacked = cycle([random_inputs(spec, random, batch) for _ in range(8)])
    if _takes_batches(engine):
        return lambda: engine.infer_batch(next(stacked))  # type: ignore[attr-defined]

    def step() -> None:
        inputs = next(stacked)
        for window in range(batch):
            engine.infer({name: array[window] for name, array in inputs.items()})

    return step


def _takes_batches(engine: Engine) -> bool:
    return hasattr(engine, "infer_batch")


def _repeat(step: Callable[[], object], duration_s: float, at_least: int = 2) -> np.ndarray:
    """Repeats a step for this long. Returns the milliseconds of each repetition."""
    taken: List[float] = []
    end_s = time.perf_counter() + duration_s
    while time.perf_counter() < end_s or len(taken) < at_least:
        began_s = time.perf_counter()
        step()
        taken.append(1e3 * (time.perf_counter() - began_s))
    return np.array(taken)


def _table(ran: Sequence[Row]) -> Table:
    table = new_table(
        "engine", "p50 ms", "p90", "p99", "max", "windows/s", "CPU ms", "MB", "mJ/window", "steady", "waited"
    )
    for row in ran:
        figures: Dict[str, Any] = row.figures or {}
        latency = [f"{figures['latency_ms'][name]:.3g}" for name in PERCENTILES]
        rate, memory = f"{figures['windows_per_s']:.0f}", f"{figures['memory_mb']:.0f}"
        cpu = f"{figures['cpu_ms_per_window']:.3g}"
        steady = "yes" if abs(figures["drift"]) <= STEADY_WITHIN else f"no, {figures['drift']:+.0%}"
        waited = f"{figures['waited_for_a_core']:.0%}"
        table.add_row(row.title, *latency, rate, cpu, memory, energy_cell(figures["energy"]), steady, waited)
    return table


def _explanation(options: argparse.Namespace) -> str:
    batch = ""
    if options.batch > 1:
        batch = (
            f"A run is {options.batch} windows. The bundle's engines take them one after another, torch takes them at "
            "once. "
        )
    return (
        f"{batch}Each engine ran without pause for {options.duration:g} s after a warm-up, with "
        f"{threads_in_words(options.threads)}. MB: peak memory of a process of its own. steady: the medians of the two "
        f"halves differ by at most {STEADY_WITHIN:.0%}. waited: share of the time in which other work had its core."
    )


def _draw(figure: Figure, rows: Sequence[Row]) -> None:
    """Draws the distribution of each engine's latencies, and its energy if it was measured."""
    from matplotlib.ticker import LogLocator, NullFormatter

    energies = [row.figures["energy"] for row in rows]  # type: ignore[index]
    metered = any(energy and energy["energy_mj"] is not None for energy in energies)
    panels = figure.subplots(1, 2 if metered else 1, squeeze=False, width_ratios=[3, 1] if metered else [1])[0]
    axes = panels[0]
    times = [row.times_ms for row in rows if row.times_ms is not None]
    edges = np.geomspace(0.9 * min(t.min() for t in times), 1.1 * max(np.percentile(t, 99.9) for t in times), 160)
    for place, row in enumerate(rows):
        figures: Dict[str, Any] = row.figures or {}
        latency = figures["latency_ms"]
        share, _ = np.histogram(times[place], edges)
        height = 0.75 * np.convolve(share, [0.25, 0.5, 0.25], "same") / share.max()
        axes.fill_between(np.sqrt(edges[1:] * edges[:-1]), -place, height - place, color=BLUE, alpha=0.35, linewidth=0)
        for name, marker in ("p50", "o"), ("p90", "|"), ("p99", "d"):
            axes.plot(latency[name], -place, marker, color=BLUE, clip_on=False, label=name if not place else None)
        text = f"{latency['p50']:.2g} ms, {figures['windows_per_s']:.0f} windows/s"
        axes.annotate(text, (1, 0.3 - place), xycoords=("axes fraction", "data"), ha="right", color="#444444")
    axes.set(xscale="log", xlabel="latency, ms", ylim=(-len(rows) + 0.8, 1))
    axes.set_yticks([-place for place in range(len(rows))], [row.title for row in rows])
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 1), borderaxespad=0)
    if metered:
        for place, energy in enumerate(energies):
            if energy and energy["energy_mj"] is not None:
                error = {"xerr": energy["uncertainty_mj"], "error_kw": {"ecolor": "#444444"}}
                panels[1].barh(-place, energy["energy_mj"], 0.5, color=ORANGE, **error)
        panels[1].set(xlabel="energy above idle, mJ/window", ylim=axes.get_ylim(), yticks=[])
