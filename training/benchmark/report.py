"""The comparison's results as Markdown tables, each with the command that makes it, and as one JSON file."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import Any, Mapping, Sequence

from cosmo_runtime.training.benchmark.comparison import PARTS, ROWS, STUDIED, STUDIES, rows_of
from cosmo_runtime.training.benchmark.introduction import COMMAND
from cosmo_runtime.training.benchmark.protocol import Protocol
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.results import COST, INFERENCE, ONCE, Results
from cosmo_runtime.training.benchmark.robustness import robustness
from cosmo_runtime.training.benchmark.runs import is_current
from cosmo_runtime.training.benchmark.tables import best_in_bold, spread, table

Result = Mapping[str, Any]

_STUDIED = f"{STUDIED[0]}:{STUDIED[1]}"
_OF_STUDIES = f"{PROTOCOLS[STUDIED[0]].title}, {STUDIED[1]} % labelled"
_WITH_FEWER = ("cosmo-person", "cosmo-spread", "cosmo")
FIGURES = {
    "accuracy": (
        "Accuracy against the label rate",
        "tables",
        "The error bars are standard deviations over seeds.",
    ),
    "own": (
        "Accuracy against labels of the test people",
        "--only utd-own usc-own",
        "The error bars are standard deviations over seeds.",
    ),
    "unlabelled": (
        "Accuracy against the amount of unlabelled data",
        f"--only '{_STUDIED}:unlabelled-*' {_STUDIED}:cosmo {_STUDIED}:cosmo-spread {_STUDIED}:cmc",
        f"{_OF_STUDIES}. The number of minibatches is the same for all amounts.",
    ),
    "convergence": (
        "Loss and accuracy while Cosmo learns",
        f"--only '{_STUDIED}:cosmo*'",
        f"{_OF_STUDIES}; each thin line is a seed. The accuracy is that of the test people; nothing was chosen by it. "
        "Seconds are those of one thread, without the time for measuring.",
    ),
    "settings": (
        "T_iter, batch size, range of the fusion weights",
        f"--only '{_STUDIED}:turn=*' '{_STUDIED}:batch=*' '{_STUDIED}:range=*' {_STUDIED}:cosmo",
        f"Cosmo on {_OF_STUDIES}. Stage 1 sees as many windows whatever its batch size is.",
    ),
    "distance": (
        "Distance between modalities",
        f"--only '{_STUDIED}:distance=*'",
        "Mean cosine distance between what two modalities show, in the space in which stage 1 contrasts, on windows of "
        f"the test people ({PROTOCOLS[STUDIED[0]].title}): of one window, and of any two.",
    ),
    "inference": (
        "Accuracy against the cost of inference",
        "inference",
        f"Accuracy of {_OF_STUDIES}. Networks answered one window at a time, in turns, on one thread of ONNX Runtime, "
        "whose own time counts; medians. Memory is what loading and running adds to a process. The classical methods "
        "have no network; CPC, which is in two pieces, is left out.",
    ),
}
"""For each figure's file: its title, the arguments of the command that makes it, and notes about it."""

_OWN = (
    "The test people's {0} are learned from as well: as many windows of each activity as a column says have a label, "
    "drawn from these people in turns, and the others have none. They are tested on {1}. {2} % of the other people's "
    "windows have a label."
)
_NOT_OURS = (
    "Rows marked *published* are the figures of their authors, whose windows, budgets and choices are their own; "
    "nothing of them was run here. "
)


class Collected:
    """All existing results, by what was measured."""

    def __init__(self, results: Results):
        """Reads the results of the current methods.

        Raises:
            ResultError: one is damaged.
        """
        self.all: list[Result] = []
        self.cost, self.inference = results.read(COST), results.read(INFERENCE)
        self._by_method: dict[tuple[str, int, str], list[Result]] = defaultdict(list)
        for name in results.names():
            result = results.read(name)
            if name not in ONCE and result and is_current(result):
                self.all.append(result)
                self._by_method[result["protocol"], result["rate"], result["method"]].append(result)

    def of(self, protocol: str, rate: int, method: str) -> list[Result]:
        """The results, one for each seed."""
        return self._by_method.get((protocol, rate, method), [])

    def values(self, protocol: str, rate: int, method: str, *keys: str) -> list[float]:
        """One figure of each seed's result, found by its keys; scores in percent."""
        found = []
        for result in self.of(protocol, rate, method):
            value: Any = result
            for key in keys:
                value = value.get(key, {})
            if isinstance(value, (int, float)):
                found.append(100 * value if keys[-1] in ("accuracy", "macro_f1") else value)
        return found


def of_protocol(protocol: Protocol, collected: Collected, figures: bool) -> str:
    """The page of one protocol; "" if nothing was run."""
    if not any(collected.of(protocol.name, rate, row) for rate in protocol.rates for row in ROWS):
        return ""
    own = _figure("own", collected, figures) if protocol.own else []
    return _page(f"# {protocol.title}", *_protocol(protocol, collected), *own)


def of_studies(collected: Collected, figures: bool) -> str:
    """The page of Cosmo's parts and settings; "" if nothing was run."""
    shown = [_figure(name, collected, figures) for name in ("unlabelled", "convergence", "settings", "distance")]
    sections = [*_parts(collected), *(part for section in shown for part in section)]
    return _page("# Cosmo, part by part", *sections) if sections else ""


def of_cost(collected: Collected, figures: bool) -> str:
    """The page of what networks cost; "" if nothing was run."""
    sections = [*_figure("inference", collected, figures), *_cost(collected)]
    return _page("# What networks cost", *sections) if sections else ""


def _page(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


def _figure(name: str, collected: Collected, figures: bool) -> list[str]:
    """A section with a figure, or only with its numbers."""
    title, arguments, caption = FIGURES[name]
    tables = _inference(collected) if name == "inference" else _settings(name, collected)
    if not is_shown(name, collected) or not (figures or tables):
        return []
    picture = [f"![{title}]({name}.png)"] if figures else []
    return [f"## {title}", _shell(arguments), *picture, caption, *tables]


def is_shown(figure: str, collected: Collected) -> bool:
    """Whether there is something to compare: for a study, at least two values of its setting."""
    if figure == "inference":
        return bool(collected.inference)
    if figure == "own":
        return any(PROTOCOLS[result["protocol"]].own for result in collected.all)
    studies = [study for study in STUDIES.values() if study.figure == figure]
    return not studies or any(
        sum(bool(collected.of(*STUDIED, name)) for name in study.methods.values()) > 1 for study in studies
    )


def as_json(collected: Collected) -> str:
    """All results, one on each line."""
    results = ",\n".join(json.dumps(result) for result in collected.all)
    once = {COST: collected.cost, INFERENCE: collected.inference}
    rest = ",\n".join(f'"{name}": {json.dumps(once[name])}' for name in ONCE)
    return f'{{"results": [\n{results}\n],\n{rest}}}\n'


def _shell(arguments: str) -> str:
    return f"```sh\n{COMMAND} {arguments}\n```"


def _protocol(protocol: Protocol, collected: Collected) -> list[str]:
    """A protocol's split, its command and its tables."""
    rows = rows_of(protocol)
    found = [r for rate in protocol.rates for row in rows for r in collected.of(protocol.name, rate, row)]
    held_out = found[0]["held_out"]
    if held_out:
        protocol = replace(protocol, elsewhere=())
    train = [person for person in protocol.train if person not in held_out]
    drawn = held_out or not protocol.published
    if protocol.fold and not held_out:
        split = protocol.fold.words
    else:
        split = f"Trained on {protocol.unit} {_numbers(train)}, tested on {_numbers(held_out or protocol.test)}."
    parts = [
        f"{split} "
        f"Labels: {'drawn, as many of each activity' if drawn else 'the published lists'}. About "
        f"{protocol.pretrain_steps} minibatches of 64 without labels, {protocol.steps} of 16 with labels.",
        *([_OWN.format(*protocol.own.parts, protocol.own.others)] if protocol.own else []),
        _shell(f"--only {protocol.name}"),
    ]
    for score, title in (("accuracy", "Accuracy, %"), ("macro_f1", "Macro F1, %")):
        header = [title, *map(protocol.column, protocol.rates)]
        columns = ([collected.values(protocol.name, rate, row, score) for row in rows] for rate in protocol.rates)
        lines = [[ROWS[row].title, *line] for row, line in zip(rows, zip(*map(best_in_bold, columns)))]
        if score == "accuracy":
            lines += _elsewhere(protocol)
        parts.append(table(header, lines))
    if protocol.elsewhere:
        parts.append(_NOT_OURS + " ".join(f"{other.system}: {other.note}." for other in protocol.elsewhere))
    if protocol.corrupted:
        found_by = {(rate, row): collected.of(protocol.name, rate, row) for rate in protocol.rates for row in rows}
        parts += robustness(protocol, found_by)
    return [*parts, *_with_fewer(protocol, collected, found), *_quality(protocol, collected)]


def _elsewhere(protocol: Protocol) -> list[list[str]]:
    """What others published, one row each."""
    return [
        [f"*{other.system}, published*", *(f"{other.accuracy:.2f}" * (rate == other.rate) for rate in protocol.rates)]
        for other in protocol.elsewhere
    ]


def _with_fewer(protocol: Protocol, collected: Collected, found: Sequence[Result]) -> list[str]:
    """Cosmo without some of its sensors, below methods that are trained on the remaining sensors alone."""
    subsets = next((list(result["with"]) for result in found if "with" in result), [])
    if not subsets or protocol.own:
        return []
    lines = []
    for rate in protocol.rates:
        alone = (collected.values(protocol.name, rate, f"single-{subset}", "accuracy") for subset in subsets)
        cells = ("" if "+" in subset else spread(values) for subset, values in zip(subsets, alone))
        label = protocol.column(rate).replace(" labelled", "")
        lines.append([f"{label}: SingleModal", *cells])
        for row in (row for row in _WITH_FEWER if row in rows_of(protocol)):
            kept = [collected.values(protocol.name, rate, row, "with", subset, "accuracy") for subset in subsets]
            lines.append([f"{label}: {ROWS[row].title}", *map(spread, kept)])
    header = ["Accuracy, %, with only", *(subset.replace("+", " + ") for subset in subsets)]
    return ["Where a sensor is missing at test time:", table(header, lines)]


def _quality(protocol: Protocol, collected: Collected) -> list[str]:
    """Quality of modality. It needs no labels, so any label rate's run will do: all share stage 1."""
    measured = {
        sensor: [
            spread(collected.values(protocol.name, protocol.rates[0], "cosmo", "quality", sensor, key), digits)
            for key, digits in (("hopkins", 3), ("clusters", 1), ("q", 3), ("weight", 2))
        ]
        for sensor in protocol.spec.sensors
    }
    if not collected.values(protocol.name, protocol.rates[0], "cosmo", "quality", protocol.spec.sensors[0], "q"):
        return []
    clusters = f"clusters ({len(protocol.spec.classes)} classes)"
    header = ["Quality of modality", "Hopkins statistic", clusters, "q", "weight"]
    note = (
        "The figures are those of each person's unlabelled windows, averaged over people. q is the Hopkins statistic "
        "divided by the difference between the numbers of clusters and classes (at least 1). The statistic differs "
        "little between sensors, so the number of clusters decides."
    )
    return [table(header, ([sensor, *cells] for sensor, cells in measured.items())), note]


def _parts(collected: Collected) -> list[str]:
    """What each part of Cosmo adds."""
    found = {part: collected.of(*STUDIED, part) for part in PARTS}
    if not any(found[part] for part in PARTS if part not in ROWS):
        return []
    columns = [[collected.values(*STUDIED, part, score) for part in PARTS] for score in ("accuracy", "macro_f1")]
    cells = zip(*map(best_in_bold, columns))
    header = [_OF_STUDIES, "accuracy, %", "macro F1, %"]
    lines = [[PARTS[part].title, *line] for part, line in zip(PARTS, cells)]
    return ["## The parts of Cosmo", _shell(f"--only '{_STUDIED}:cosmo*' '{_STUDIED}:cmc*'"), table(header, lines)]


def _settings(figure: str, collected: Collected) -> list[str]:
    """The numbers of a figure of the studies, one table for each setting."""
    scores, digits = {"accuracy": "accuracy, %"}, 1
    if figure == "distance":
        scores, digits = {"same_window": "of one window", "any_windows": "of any two"}, 3
    lines: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for study in STUDIES.values():
        if study.figure == figure and any(collected.of(*STUDIED, name) for name in study.methods.values()):
            for score, title in scores.items():
                values = (collected.values(*STUDIED, name, score) for name in study.methods.values())
                lines[(study.setting, *study.methods)].append(
                    [f"{study.label}: {title}", *(spread(v, digits) for v in values)]
                )
    return [table(header, rows) for header, rows in lines.items()]


def _inference(collected: Collected) -> list[str]:
    if not collected.inference:
        return []
    lines = [
        [
            ROWS[row].title,
            spread(collected.values(*STUDIED, row, "accuracy")),
            "{1:.3f} ({0:.3f} to {2:.3f})".format(*network["latency_ms"]),
            f"{network['memory_mb']:.1f}",
            f"{network['parameters']:,d}",
            f"{network['multiply_adds']:,d}",
        ]
        for row, network in collected.inference["networks"].items()
        if row in ROWS
    ]
    header = ["", "accuracy, %", "ms (5 % to 95 %)", "memory, MB", "parameters", "multiply-adds"]
    return [table(header, lines)]


def _cost(collected: Collected) -> list[str]:
    if not collected.cost:
        return []
    default, reference = (collected.cost["networks"][name] for name in ("default", "reference"))
    lines = [
        [title, f"{default[key]:{form}}", f"{reference[key]:{form}}", f"{reference[key] / default[key]:.1f} ×"]
        for key, title, form in (
            ("stage_1_s", "stage 1, seconds an epoch", ".3f"),
            ("stage_2_s", "stage 2, seconds an epoch", ".4f"),
            ("latency_ms", "inference, ms a window", ".3f"),
            ("parameters", "parameters", ",d"),
            ("multiply_adds", "multiply-adds a window", ",d"),
        )
    ]
    return [
        "## Cost",
        _shell("cost"),
        f"IMU and skeleton, {collected.cost['windows']} windows, {collected.cost['labelled']} of them labelled. Both "
        "networks ran in turns in one process, on one thread. The figures are medians of "
        f"{collected.cost['runs']} trainings and {collected.cost['latency_runs']} inferences (ONNX Runtime).",
        table(["", "Cosmo", "Cosmo, the authors' network", "ratio"], lines),
    ]


def _numbers(numbers: Sequence[int]) -> str:
    *first, last = numbers
    if len(first) > 1 and list(numbers) == list(range(first[0], last + 1)):
        return f"{first[0]} to {last}"
    return f"{', '.join(map(str, first))} and {last}" if first else str(last)
