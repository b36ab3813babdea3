"""The comparison's results as Markdown tables, each with the command that makes it, and as one JSON file."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import mean, stdev
from typing import Any, Iterable, Mapping, Sequence

from training.comparison import PARTS, ROWS, STUDIED, STUDIES, applies
from training.protocols import PROTOCOLS, Protocol
from training.runs import COST, Results, is_current

Result = Mapping[str, Any]
COMMAND = "python tools/reproduce.py --data PATH"

_STUDIED = f"{STUDIED[0]}:{STUDIED[1]}"
_OF_STUDIES = f"{PROTOCOLS[STUDIED[0]].title}, {STUDIED[1]} % labelled"
_WITH_FEWER = ("cosmo-spread", "cosmo")
_INTRODUCTION = f"""# Learning, compared

Cosmo, the systems that its paper compares it with, and two classical methods, on the same windows, splits and labels,
always after the last epoch. Scores are means over seeds ± their standard deviation (number of seeds); the best of each
column is bold. This page, its figures and `learning.json`, which has every single result, are written by

```sh
{COMMAND} --report docs/benchmarks
```

which runs what has no result yet, all of it more than a day on one core; the commands below run a part, with three
seeds where `--seeds` gives no other number. `PATH` holds `utd-mhad` (`Inertial`, `Skeleton` and `Depth` as published,
and beside them `label_splits.json`, which names the trials that the paper's code takes as labelled, in the form that
`published_split` in `training/datasets/utd.py` reads), `usc-had` (`Subject1` to `Subject14`) and `radhar` (text records
in a folder an activity, or an archive).

*Cosmo* is the published method with small encoders of our own, which SingleModal and CMC share; *the authors' network*
has their encoders, attention and classifier, as large as published. DeepSense, AttnSense and CPC follow their
publications, and their files name what differs; CPC's encoder learns without augmentation and stays frozen while its
classifier learns, as published. All others but the classical methods share one augmentation. Each part of Cosmo,
encoders and classifier, makes about as many minibatches with labels as a rival's whole network, drops sensors at
random, and has a weight decay of 0.01, where theirs is 0.001. *Label spreading* and *mined neighbours* are additions
to the published method: before stage 2, labels spread to windows that stage 1 puts nearby, most of them of other
people, so that a minibatch has 64 windows instead of 16, and stage 1 takes such windows for the same activity. Sensors
are concatenated; on USC-HAD, where they are alike and the paper sums them, that has a row of its own.

Settings were chosen on people held out of the training ones; [there](held-out.md) Cosmo and CMC are compared, too. Two
rows are kinder than that: details of DTW's distance and CPC's pooling were set after a look at test figures."""
FIGURES = {
    "accuracy": (
        "Accuracy against the label rate",
        "tables",
        "Bars are standard deviations over seeds.",
    ),
    "unlabelled": (
        "Accuracy against the amount of unlabelled data",
        f"--only '{_STUDIED}:unlabelled-*' {_STUDIED}:cosmo {_STUDIED}:cosmo-spread {_STUDIED}:cmc",
        f"{_OF_STUDIES}. The number of minibatches is the same for all amounts.",
    ),
    "convergence": (
        "Loss and accuracy while Cosmo learns",
        f"--only '{_STUDIED}:cosmo*'",
        f"{_OF_STUDIES}; one thin line a seed. The accuracy is that of the test people, only looked at: nothing is "
        "chosen by it. Seconds are those of one thread, without the time that measuring takes.",
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
}
"""By the name of a figure's file its title, the arguments of the command that makes it, and what to know about it."""


class Collected:
    """All results there are, by what was measured."""

    def __init__(self, results: Results):
        """Read those of today's methods.

        Raises:
            ResultError: one is damaged.
        """
        self.all: list[Result] = []
        self.cost = results.read(COST)
        self._by_method: dict[tuple[str, int, str], list[Result]] = defaultdict(list)
        for name in results.names():
            result = results.read(name)
            if name != COST and result and is_current(result):
                self.all.append(result)
                self._by_method[result["protocol"], result["rate"], result["method"]].append(result)

    def of(self, protocol: str, rate: int, method: str) -> list[Result]:
        """One result a seed."""
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


def markdown(collected: Collected, figures: bool) -> str:
    """All tables that there are results for.

    Args:
        collected: the results.
        figures: whether the figures of ``training.figures`` lie beside the text, to be shown in it.
    """
    parts = [_INTRODUCTION]
    for protocol in PROTOCOLS.values():
        if any(collected.of(protocol.name, rate, row) for rate in protocol.rates for row in ROWS):
            parts += _protocol(protocol, collected)
    parts += _parts(collected)
    for name, (title, arguments, caption) in FIGURES.items():
        tables = _settings(name, collected)
        if is_shown(name, collected) and (figures or tables):
            picture = [f"![{title}]({name}.png)"] if figures else []
            parts += [f"## {title}", _shell(arguments), *picture, caption, *tables]
    return "\n\n".join([*parts, *_cost(collected)]) + "\n"


def is_shown(figure: str, collected: Collected) -> bool:
    """Whether there is something to compare: of a study, at least two values of its setting."""
    studies = [study for study in STUDIES.values() if study.figure == figure]
    return not studies or any(
        sum(bool(collected.of(*STUDIED, name)) for name in study.methods.values()) > 1 for study in studies
    )


def as_json(collected: Collected) -> str:
    """Every result, one a line."""
    results = ",\n".join(json.dumps(result) for result in collected.all)
    return f'{{"results": [\n{results}\n],\n"cost": {json.dumps(collected.cost)}}}\n'


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± sample standard deviation (number of values)."""
    if not values:
        return "not run"
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation} ({len(values)})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its numbers to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def _shell(arguments: str) -> str:
    return f"```sh\n{COMMAND} {arguments}\n```"


def _protocol(protocol: Protocol, collected: Collected) -> list[str]:
    rows = [row for row in ROWS if applies(row, protocol.spec.sensors)]
    found = [r for rate in protocol.rates for row in rows for r in collected.of(protocol.name, rate, row)]
    held_out = found[0]["held_out"]
    train = [person for person in protocol.train if person not in held_out]
    drawn = held_out or not protocol.published
    parts = [
        f"## {protocol.title}",
        f"Trained on {protocol.unit} {_numbers(train)}, tested on {_numbers(held_out or protocol.test)}. "
        f"Labels: {'drawn, as many of each activity' if drawn else 'the published lists'}. About "
        f"{protocol.pretrain_steps} minibatches of 64 without labels, {protocol.steps} of 16 with labels.",
        _shell(f"--only {protocol.name}"),
    ]
    for score, title in (("accuracy", "Accuracy, %"), ("macro_f1", "Macro F1, %")):
        header = [title, *(f"{rate} % labelled" for rate in protocol.rates)]
        columns = ([collected.values(protocol.name, rate, row, score) for row in rows] for rate in protocol.rates)
        lines = zip(*map(_best_in_bold, columns))
        parts.append(table(header, ([ROWS[row].title, *line] for row, line in zip(rows, lines))))
    return [*parts, *_with_fewer(protocol, collected, found), *_quality(protocol, collected)]


def _with_fewer(protocol: Protocol, collected: Collected, found: Sequence[Result]) -> list[str]:
    """Cosmo without some of its sensors, under what those that are left can do when trained alone."""
    subsets = next((list(result["with"]) for result in found if "with" in result), [])
    if not subsets:
        return []
    lines = []
    for rate in protocol.rates:
        alone = (collected.values(protocol.name, rate, f"single-{subset}", "accuracy") for subset in subsets)
        cells = ("" if "+" in subset else spread(values) for subset, values in zip(subsets, alone))
        lines.append([f"{rate} %: SingleModal", *cells])
        for row in _WITH_FEWER:
            kept = [collected.values(protocol.name, rate, row, "with", subset, "accuracy") for subset in subsets]
            lines.append([f"{rate} %: {ROWS[row].title}", *map(spread, kept)])
    header = ["Accuracy, %, with only", *(subset.replace("+", " + ") for subset in subsets)]
    return ["Where a sensor is missing at test time:", table(header, lines)]


def _quality(protocol: Protocol, collected: Collected) -> list[str]:
    """Quality of modality, which needs no labels: of any label rate's run, for all share stage 1."""
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
        "Of each person's unlabelled windows, means over people: q is the Hopkins statistic divided by how far the "
        "number of clusters is from that of classes, at least 1. The statistic differs little between sensors, so the "
        "number decides."
    )
    return [table(header, ([sensor, *cells] for sensor, cells in measured.items())), note]


def _parts(collected: Collected) -> list[str]:
    """What each part of Cosmo adds."""
    found = {part: collected.of(*STUDIED, part) for part in PARTS}
    if not any(found[part] for part in PARTS if part not in ROWS):
        return []
    columns = [[collected.values(*STUDIED, part, score) for part in PARTS] for score in ("accuracy", "macro_f1")]
    cells = zip(*map(_best_in_bold, columns))
    header = [_OF_STUDIES, "accuracy, %", "macro F1, %"]
    lines = [[PARTS[part].title, *line] for part, line in zip(PARTS, cells)]
    return ["## The parts of Cosmo", _shell(f"--only '{_STUDIED}:cosmo*' '{_STUDIED}:cmc*'"), table(header, lines)]


def _settings(figure: str, collected: Collected) -> list[str]:
    """What a figure shows of the studies, in numbers: one table a setting."""
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
        "networks in turns in one process, on one thread: medians of "
        f"{collected.cost['runs']} trainings and {collected.cost['latency_runs']} inferences (ONNX Runtime).",
        table(["", "Cosmo", "Cosmo, the authors' network", "ratio"], lines),
    ]


def _best_in_bold(column: Sequence[Sequence[float]]) -> list[str]:
    best = max((mean(values) for values in column if values), default=None)
    return [f"**{spread(values)}**" if values and mean(values) == best else spread(values) for values in column]


def _numbers(numbers: Sequence[int]) -> str:
    run = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if run else " and ".join(map(str, numbers))
