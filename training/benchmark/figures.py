"""The comparison's figures, in the style of the paper's, for a page that shows them 800 pixels wide."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from textwrap import fill
from typing import Any, Callable, Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from cosmo_runtime.training.benchmark.comparison import METHODS, PARTS, ROWS, STUDIED, STUDIES, rows_of
from cosmo_runtime.training.benchmark.protocol import Protocol
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.report import FIGURES, Collected, is_shown

# Okabe and Ito's colours, which colour-blind people can distinguish; markers and dashes repeat the distinction.
_BLACK, _ORANGE, _SKY, _GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
_BLUE, _VERMILION, _PURPLE, _GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
_STYLES: Mapping[str, Mapping[str, Any]] = {
    "cosmo-warped": {"color": _VERMILION, "marker": "*", "linestyle": "--", "linewidth": 2.4},
    "cosmo-person": {"color": _VERMILION, "marker": "p", "linestyle": "-.", "linewidth": 2.4},
    "cosmo-spread": {"color": _VERMILION, "marker": "o", "linewidth": 2.4},
    "cosmo": {"color": _BLUE, "marker": "s", "linewidth": 2.4},
    "cosmo-sum": {"color": _BLUE, "marker": "+", "linestyle": "--"},
    "cosmo-reference": {"color": _SKY, "marker": "s", "linestyle": "--"},
    "cosmo-no-stage-1": {"color": _BLACK, "marker": "x", "linestyle": ":"},
    "single-imu": {"color": _GREY, "marker": "1", "linestyle": ":"},
    "single-accelerometer": {"color": _GREY, "marker": "1", "linestyle": ":"},
    "single-gyroscope": {"color": _GREY, "marker": "2", "linestyle": "--"},
    "single-skeleton": {"color": _GREY, "marker": "2", "linestyle": "--"},
    "single-depth": {"color": _GREY, "marker": "3", "linestyle": "-."},
    "single-radar": {"color": _GREY, "marker": "4", "linestyle": "-"},
    "deepsense": {"color": _GREEN, "marker": "^"},
    "attnsense": {"color": _PURPLE, "marker": "v"},
    "milliego": {"color": _PURPLE, "marker": "d", "linestyle": "--"},
    "cmc": {"color": _ORANGE, "marker": "D"},
    "tuple-infonce": {"color": _ORANGE, "marker": "<", "linestyle": "-."},
    "mcn": {"color": _ORANGE, "marker": "H", "linestyle": ":"},
    "cpc": {"color": _ORANGE, "marker": "P", "linestyle": "--"},
    "limu-bert": {"color": _SKY, "marker": ">"},
    "limu-bert-x": {"color": _SKY, "marker": ">", "linestyle": "--"},
    "limu-bert-x-tuned": {"color": _SKY, "marker": ">", "linestyle": ":"},
    "selfhar": {"color": _GREEN, "marker": "h", "linestyle": "--"},
    "dtw": {"color": _BLACK, "marker": "X"},
    "minirocket": {"color": _BLACK, "marker": "*", "linestyle": "--"},
    "forest": {"color": _BLACK, "marker": "p", "linestyle": ":"},
}
_WIDTH, _DPI = 8, 150  # 800 pixels wide; a point of type is 1.4 pixels
_LOOK: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.markersize": 5,
    "legend.frameon": False,
}


def draw(collected: Collected, folder: Path) -> list[Path]:
    """Writes every figure that has something to compare as ``<name>.png``.

    Returns:
        The files.
    """
    drawings: Mapping[str, Callable[[Collected], Figure]] = {
        "accuracy": _accuracy,
        "own": _own,
        "unlabelled": _unlabelled,
        "convergence": _convergence,
        "settings": _settings,
        "distance": _distance,
        "inference": _inference,
    }
    files = []
    with matplotlib.rc_context(_LOOK):
        for name in FIGURES:
            if not is_shown(name, collected):
                continue
            files.append(folder / f"{name}.png")
            # without matplotlib's version in it, the same figure gives the same file
            drawings[name](collected).savefig(files[-1], dpi=_DPI, metadata={"Software": None})
    return files


def _accuracy(collected: Collected) -> Figure:
    protocols = [protocol for protocol in PROTOCOLS.values() if len(protocol.rates) > 1 and not protocol.own]
    return _by_rate(collected, protocols, "% of training windows labelled")


def _own(collected: Collected) -> Figure:
    protocols = [protocol for protocol in PROTOCOLS.values() if protocol.own]
    return _by_rate(collected, protocols, "windows an activity of their own labelled")


def _by_rate(collected: Collected, protocols: Sequence[Protocol], label: str) -> Figure:
    """A panel for each protocol that has results, three in a row, above a common legend."""
    measured = {result["protocol"] for result in collected.all}
    protocols = [protocol for protocol in protocols if protocol.name in measured]
    lines = max(1, -(-len(protocols) // 3))
    figure = _figure(height=3.2 * lines + 1)
    panels = list(figure.subplots(lines, 3).flat)
    for protocol, axes in zip(protocols, panels):
        for row in rows_of(protocol):
            scores = [collected.values(protocol.name, rate, row, "accuracy") for rate in protocol.rates]
            _line(axes, list(map(str, protocol.rates)), scores, ROWS[row].title, **_STYLES[row])
        axes.set_title(fill(protocol.title, 34))
        axes.set_xlabel(label)
        axes.set_ylabel("accuracy, %")
    for axes in panels[len(protocols) :]:
        axes.axis("off")
    figure.legend(*_all_lines(figure), loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _unlabelled(collected: Collected) -> Figure:
    figure = _figure(height=3.6, width=6)
    axes = figure.subplots()
    for name, study in STUDIES.items():
        if study.figure == "unlabelled":
            _study(axes, collected, name, "accuracy", study.label, **_STYLES[name[len("unlabelled-") :]])
    axes.set_ylabel("accuracy, %")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _convergence(collected: Collected) -> Figure:
    figure = _figure(height=5)
    rows = ("cosmo-spread", "cosmo", "cosmo-no-stage-1", "cosmo-reference")
    panels = ((1, "loss", "loss of stage 1"), (2, "loss", "loss of stage 2"), (2, "accuracy", "accuracy, %"))
    grid = figure.subplots(2, 3)
    for line, against in zip(grid, ("epoch", "seconds")):
        for axes, (stage, what, label) in zip(line, panels):
            for row in rows:
                style = {**_STYLES[row], "marker": "", "linewidth": 1.2, "alpha": 0.8}
                for result in collected.of(*STUDIED, row):
                    points = [p for p in result.get("curve", []) if p["stage"] == stage]
                    scale = 100 if what == "accuracy" else 1
                    axes.plot([p[against] for p in points], [scale * p[what] for p in points], **style)
                if collected.of(*STUDIED, row):
                    axes.plot([], [], label=METHODS[row].title, **style)
            axes.set_xlabel(f"epochs of stage {stage}" if against == "epoch" else "seconds since the start")
            axes.set_ylabel(label)
            if against == "seconds":
                axes.set_xscale("log")
                axes.xaxis.set_minor_formatter(NullFormatter())  # within one decade the labels overlap
    figure.legend(*_all_lines(figure), loc="outside lower center", ncols=4)
    return figure


def _settings(collected: Collected) -> Figure:
    figure = _figure(height=2.9)
    names = [name for name, study in STUDIES.items() if study.figure == "settings"]
    for axes, name in zip(figure.subplots(1, len(names), sharey=True), names):
        _study(axes, collected, name, "accuracy", STUDIES[name].label, **_STYLES["cosmo"])
        axes.set_ylabel("accuracy, %")
        axes.label_outer()
        axes.tick_params(axis="x", labelrotation=30 if name == "range" else 0)
    return figure


def _distance(collected: Collected) -> Figure:
    figure = _figure(height=3.2, width=6)
    axes = figure.subplots()
    _study(axes, collected, "distance", "same_window", "of one window", color=_VERMILION, marker="o")
    _study(axes, collected, "distance", "any_windows", "of any two windows", color=_BLUE, marker="s", linestyle="--")
    axes.set_ylabel("mean cosine distance\nbetween two modalities")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _inference(collected: Collected) -> Figure:
    figure = _figure(height=3.6)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, label in zip(panels, ("ms a window, ONNX Runtime, one thread", "parameters")):
        for row, network in (collected.inference or {"networks": {}})["networks"].items():
            scores = collected.values(*STUDIED, row, "accuracy")
            if scores:
                place = network["latency_ms"][1] if label.startswith("ms") else network["parameters"]
                style = {key: value for key, value in _STYLES[row].items() if key in ("color", "marker")}
                axes.plot([place], [mean(scores)], linestyle="", label=ROWS[row].title, **style)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}" if label.startswith("ms") else "{x:,.0f}"))
        axes.set_xlabel(label)
        axes.set_ylabel("accuracy, %")
        axes.label_outer()
    figure.legend(*_all_lines(figure), loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _figure(height: float, width: float = _WIDTH) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _study(axes: Axes, collected: Collected, name: str, score: str, label: str, **style: Any) -> None:
    methods = STUDIES[name].methods
    axes.set_xlabel(STUDIES[name].setting)
    _line(axes, list(methods), [collected.values(*STUDIED, m, score) for m in methods.values()], label, **style)


def _line(axes: Axes, ticks: Sequence[str], values: Sequence[Sequence[float]], label: str, **style: Any) -> None:
    """Means and standard deviations over seeds. Ticks are evenly spaced, because the settings grow by factors."""
    known = [(x, v) for x, v in enumerate(values) if v]
    bars = [stdev(v) if len(v) > 1 else 0 for _, v in known]
    if known:
        axes.errorbar([x for x, _ in known], [mean(v) for _, v in known], bars, label=label, elinewidth=0.8, **style)
    axes.set_xticks(range(len(ticks)), ticks)


def _all_lines(figure: Figure) -> tuple[list[Any], list[str]]:
    """Handles and labels of the lines in all panels for one legend, each label once, in the order of the tables."""
    found = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels())}
    titles = [method.title for method in {**ROWS, **PARTS}.values()]
    labels = sorted(found, key=titles.index)
    return [found[label] for label in labels], labels
