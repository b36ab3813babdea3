"""Measures where the time between a sample and its prediction goes, with stamps around the runtime's parts."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.runtime.cli.rig import connect_rig
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.engines.onnxruntime import EngineError
from cosmo_runtime.runtime.recognition.loop import recognise
from cosmo_runtime.runtime.run import until
from cosmo_runtime.runtime.sinks.json_lines import JsonLines
from cosmo_runtime.runtime.sinks.line_file import LineFile
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.sensors.config import SHORT_FORM
from cosmo_runtime.tools.measure.energy import Measurement
from cosmo_runtime.tools.measure.machine import peak_memory_mb
from cosmo_runtime.tools.measure.meters import find_sources
from cosmo_runtime.tools.measure.report import COLORS, Answer, energy_cell, new_table, percentiles, threads_in_words
from cosmo_runtime.tools.measure.rows import Row, answer_by_engine, open_any_engine
from cosmo_runtime.tools.measure.stages import STAGES, Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WARM_UP = 4  # predictions


def answer(options: argparse.Namespace, console: Console) -> Answer:
    """Runs the rig with each engine for ``options.duration`` seconds."""
    return answer_by_engine(_measure, _table, _draw, _explanation(options), options, console)


def _measure(name: str, options: argparse.Namespace) -> Row:
    bundle = load_bundle(options.bundle)
    config = load_config(options.config)
    settings = config.recognition
    sensors = options.sensors or [sensor for sensor in SHORT_FORM if sensor in bundle.spec.sensors]
    rig = argparse.Namespace(sensors=sensors, emulate=None if options.sensors else "person", at_least=None)
    stages = Stages()
    engine = open_any_engine(bundle, name, options.threads)
    recognizer = stages.recognizer(bundle, engine, settings.min_confidence, settings.smoothing)
    with Measurement(find_sources().sources) as measurement, ExitStack() as stack:
        run = connect_rig(rig, config, stack, stages.source)
        aligner = stages.aligner(bundle.spec, run.infos, settings.lateness_ms / 1e3)
        nowhere = LineFile.append(Path(os.devnull))
        stack.callback(nowhere.close)
        lines = QueuedSink(JsonLines(nowhere, run.infos, run.wall_offset_ns), "JSON lines", live=True)
        stack.callback(lines.close)
        sinks = [Summary(run.infos), lines, stages]
        events = until(run.events, run.stop, options.duration)
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        with measurement.work():
            recognise(events, aligner, recognizer, run.infos, sinks, live=True)
        took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    times_ms = np.array(stages.times_ms[WARM_UP:])
    if not len(times_ms):
        raise EngineError(f"too few windows in {options.duration:g} s: give a longer --duration")
    figures = {
        "precision": engine.precision,
        "windows": len(times_ms),
        "left_out": stages.left_out,
        "stages_ms": {stage: percentiles(column) for stage, column in zip(STAGES, times_ms.T)},
        "from_last_sample_ms": percentiles(times_ms[:, 1:].sum(1)),
        "from_window_end_ms": percentiles(times_ms.sum(1)),
        "cpu_of_one_core": round(cpu_s / took_s, 4),
        "memory_mb": peak_memory_mb(),
        "energy": measurement.net and measurement.net.as_dict(took_s / bundle.spec.hop_s),
    }
    return Row(name, figures, times_ms=times_ms)


def _table(ran: Sequence[Row]) -> Table:
    table = new_table("engine", *STAGES, "computer", "in all", "CPU", "mJ/window")
    for row in ran:
        figures: Dict[str, Any] = row.figures or {}
        times = [*figures["stages_ms"].values(), figures["from_last_sample_ms"], figures["from_window_end_ms"]]
        cells = [f"{time['p50']:.3g} ({time['p99']:.3g})" for time in times]
        table.add_row(row.title, *cells, f"{figures['cpu_of_one_core']:.1%}", energy_cell(figures["energy"]))
    return table


def _explanation(options: argparse.Namespace) -> str:
    rig = "an emulated rig on the same machine" if options.sensors is None else "the attached sensors"
    return (
        f"p50 (p99) in ms, over {options.duration:g} s on {rig}, with {threads_in_words(options.threads)}. wait: from "
        "the end of the window to its last sample; the sensors cause it. computer: everything after that. CPU: share "
        "of one core. Windows that closed because the lateness budget ran out are left out."
    )


def _draw(figure: Figure, rows: Sequence[Row]) -> None:
    """Draws the computer's stages one after another. The wait for the sensors is given in words."""
    axes = figure.subplots()
    for place, row in enumerate(rows):
        figures: Dict[str, Any] = row.figures or {}
        left = 0.0
        for stage, color in zip(STAGES[1:], COLORS):
            wide = figures["stages_ms"][stage]["p50"]
            axes.barh(-place, wide, 0.5, left, color=color, label=stage if not place else None)
            left += wide
        wait, whole = figures["stages_ms"]["wait"], figures["from_last_sample_ms"]
        text = f"{whole['p50']:.1f} ms (p99 {whole['p99']:.1f}) after waiting {wait['p50']:.0f} ms for the sensors"
        axes.annotate(f" {text}", (0, 0.32 - place), color="#444444")
    axes.set(xlabel="median of each stage, ms", ylim=(-len(rows) + 0.6, 0.6))
    axes.set_yticks([-place for place in range(len(rows))], [row.title for row in rows])
    figure.legend(loc="outside lower center", ncols=6)
