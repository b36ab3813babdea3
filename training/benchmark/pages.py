"""The pages of the comparison: a first one to take in at a glance, one for each protocol, and those behind them."""

from __future__ import annotations

from statistics import mean
from typing import Dict, Iterator, List, NamedTuple, Tuple

from cosmo_runtime.training.benchmark.comparison import ROWS, rows_of
from cosmo_runtime.training.benchmark.introduction import SETUP
from cosmo_runtime.training.benchmark.protocol import Protocol
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.report import FIGURES, Collected, of_cost, of_protocol, of_studies
from cosmo_runtime.training.benchmark.tables import best_in_bold, table

FIRST = "learning.md"
FOLDER = "learning"
"""All other pages and the figures are in this folder, beside the first page."""

_OURS = ("cosmo-warped", "cosmo-person", "cosmo-spread", "cosmo")


def pages(collected: Collected, figures: bool) -> Dict[str, str]:
    """All pages that have results, in Markdown, by their path in the report's folder.

    Args:
        collected: the results.
        figures: whether the figures of ``training.benchmark.figures`` are beside the pages, so that these show them.
    """
    behind = {protocol.name: of_protocol(protocol, collected, figures) for protocol in PROTOCOLS.values()}
    behind.update({"studies": of_studies(collected, figures), "cost": of_cost(collected, figures), "setup": SETUP})
    behind = {name: text for name, text in behind.items() if text}
    first = _first(collected, figures, {name: text.split("\n", 1)[0].lstrip("# ") for name, text in behind.items()})
    return {FIRST: first, **{f"{FOLDER}/{name}.md": text for name, text in behind.items()}}


class _Line(NamedTuple):
    """One line of the first table.

    Attributes:
        protocol, rate: what was measured.
        ours: accuracies of each of our rows, in percent, one a seed.
        other: the row of the best other system.
        theirs: its accuracies.
    """

    protocol: Protocol
    rate: int
    ours: List[List[float]]
    other: str
    theirs: List[float]

    @property
    def ours_lead(self) -> bool:
        return max(mean(values) for values in self.ours if values) > mean(self.theirs)


def _lines(collected: Collected) -> Iterator[_Line]:
    """The fewest and the most labels of each protocol, where both Cosmo and another system were run."""
    for protocol in PROTOCOLS.values():
        for rate in dict.fromkeys((protocol.rates[0], protocol.rates[-1])):
            found = {row: collected.values(protocol.name, rate, row, "accuracy") for row in rows_of(protocol)}
            others = {row: values for row, values in found.items() if values and not row.startswith("cosmo")}
            ours = [found.get(row, []) for row in _OURS]
            if others and any(ours):
                best = max(others, key=lambda row: mean(others[row]))
                yield _Line(protocol, rate, ours, best, others[best])


def _first(collected: Collected, figures: bool, titles: Dict[str, str]) -> str:
    lines = list(_lines(collected))
    picture = [f"![{FIGURES['accuracy'][0]}]({FOLDER}/accuracy.png)"] if figures else []
    links = [f"- [{title}]({FOLDER}/{name}.md)" for name, title in titles.items()]
    parts = ["# Learning, compared", " ".join(_sentences(collected, lines)), *picture, _table(lines), "\n".join(links)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sentences(collected: Collected, lines: List[_Line]) -> Iterator[str]:
    systems = {result["method"] for result in collected.all if result["method"] in ROWS} - set(_OURS)
    yield (
        "Cosmo (as published, with label spreading, and with two kinds of balanced spreading and warping) stands "
        f"beside {len(systems)} other systems, all with the same windows, splits, labels and budget."
    )
    behind = [f"{line.protocol.title} ({line.protocol.column(line.rate)})" for line in lines if not line.ours_lead]
    if lines:
        yield (
            f"One of these forms leads in {len(lines) - len(behind)} of the {len(lines)} comparisons below."
            + (f" None leads on {'; '.join(behind)}." if behind else "")
        )
    yield "Accuracies are in percent, on people who were not learned from: mean ± standard deviation (seeds)."
    yield "One seed in brackets is one training, and tells little."
    yield f"[Data and methods]({FOLDER}/setup.md) says what is behind the figures, and how to run all of it again."


def _table(lines: List[_Line]) -> str:
    if not lines:
        return ""
    header = ["", *(ROWS[row].title for row in _OURS), "best other system", ""]
    return table(header, (_cells(line) for line in lines))


def _cells(line: _Line) -> Tuple[str, ...]:
    where = f"[{line.protocol.title}]({FOLDER}/{line.protocol.name}.md), {line.protocol.column(line.rate)}"
    cells = best_in_bold([*line.ours, line.theirs])
    ours = (cell if row in rows_of(line.protocol) else "–" for row, cell in zip(_OURS, cells))
    return (where, *ours, cells[-1], ROWS[line.other].title)
