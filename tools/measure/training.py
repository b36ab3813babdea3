"""Measures the cost of training: stage 2 of Cosmo compared with learners that have no stage 1."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Mapping

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.runtime.cli.common import Failure
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.tools.measure.meters import find_sources
from cosmo_runtime.tools.measure.report import COLORS, Answer, new_table, threads_in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PEOPLE, PEOPLE_S = range(2), 150.0  # simulated people, and the seconds of each
LABELS_EACH = (2, 4)  # per activity of the simulated people: about as many labels as in the paper's table


def answer(options: argparse.Namespace, console: Console) -> Answer:
    """Trains every method ``options.runs`` times.

    Raises:
        Failure: torch or the data set is missing.
    """
    training = _measure(options, console)
    return Answer(
        figures=training,
        table=_table(training),
        failures=[],
        explanation=_explanation(training, options.threads),
        height_in=1.6 + 0.9 * len(training["rows"]),
        draw=lambda figure: _draw(figure, training),
    )


def _measure(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measures on trials of UTD-MHAD or on simulated people."""
    try:
        import torch

        from cosmo_runtime.tools.measure.overhead import overhead
        from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
        from cosmo_runtime.training.benchmark.splits import balanced_draw
        from cosmo_runtime.training.datasets.motion import PERSON_CLASSES, simulated_people
        from cosmo_runtime.training.datasets.store import DataSetError
    except ImportError as error:
        raise Failure(f"--training needs the extra [train] ({error}): pip install 'cosmo-runtime[train]'") from error
    torch.set_num_threads(options.threads)
    try:
        if options.data:
            protocol = PROTOCOLS["utd-b-radar"]
            spec, data = protocol.spec, protocol.title
            tasks = [protocol.task(options.data, options.cache, rate, seed=0) for rate in protocol.rates[:2]]
            labelled = [task.training.labelled for task in tasks]
        else:
            spec = load_bundle(options.bundle).spec.model_copy(update={"classes": PERSON_CLASSES})
            data = "simulated people"
            windows = simulated_people(PEOPLE, PEOPLE_S, spec, options.cache).labelled
            rates = [100 * each * len(np.unique(windows.labels)) / len(windows) for each in LABELS_EACH]
            labelled = [windows.where(balanced_draw(windows.labels, rate, seed=0)) for rate in rates]
    except (DataSetError, SensorError) as error:
        raise Failure(str(error)) from error
    sources = find_sources().sources
    with Progress(console=console, transient=True, refresh_per_second=1) as progress:
        rows = overhead(spec, labelled, progress, epochs=options.epochs, runs=options.runs, sources=sources)
    return {"data": data, "sensors": spec.sensors, "epochs": options.epochs, "runs": options.runs, "rows": rows}


def _table(training: Mapping[str, Any]) -> Table:
    names = list(training["rows"][0]["methods"])
    table = new_table("labels", *names)
    for row in training["rows"]:
        cells = []
        for name in names:
            method = row["methods"][name]
            energy = "" if method["energy_j"] is None else f" / {method['energy_j']:.3g} J"
            cells.append(f"{method['seconds']:.3g} s (CPU {method['cpu_seconds']:.3g} s){energy}")
        table.add_row(str(row["labels"]), *cells)
    return table


def _explanation(training: Mapping[str, Any], threads: int) -> str:
    return (
        f"{training['data']}; median of {training['runs']} runs of {training['epochs']} epochs, the methods in turns, "
        f"on the CPU with {threads_in_words(threads)}. Cosmo's epochs are those of its encoders. Its classifier trains "
        "for as many, on embeddings that are computed once per turn."
    )


def _draw(figure: Figure, training: Mapping[str, Any]) -> None:
    """Draws the time of each method, and its energy if it was measured."""
    rows = training["rows"]
    names = list(rows[0]["methods"])
    known = all(method["energy_j"] is not None for row in rows for method in row["methods"].values())
    panels = figure.subplots(1, 2 if known else 1, squeeze=False, sharey=True)[0]
    for axes, key, unit in zip(panels, ("seconds", "energy_j"), ("time, s", "energy above idle, J")):
        for place, row in enumerate(rows):
            for number, (name, color) in enumerate(zip(names, COLORS)):
                value = row["methods"][name][key]
                bar = axes.barh(-place - 0.26 * number, value, 0.24, color=color, label=name if not place else None)
                axes.bar_label(bar, fmt=" %.3g")
        axes.set(xlabel=unit)
        axes.set_yticks([-place - 0.26 for place in range(len(rows))], [f"{row['labels']} labels" for row in rows])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
