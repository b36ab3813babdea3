"""Tables of the accuracy that a method retains when sensors are faulty."""

from __future__ import annotations

from statistics import mean
from typing import Any, Mapping, Sequence

from cosmo_runtime.training.benchmark.comparison import ROWS
from cosmo_runtime.training.benchmark.corruptions import CORRUPTIONS
from cosmo_runtime.training.benchmark.protocol import Protocol
from cosmo_runtime.training.benchmark.tables import best_in_bold, table

Found = Mapping[tuple[int, str], Sequence[Mapping[str, Any]]]
"""By label rate and row, one result for each seed."""

_NOTE = (
    "Each test window was corrupted in the same way for every method; none learned from the suite or was chosen by it. "
    "*Corrupted* is the mean over the suite. A corruption's column is the mean over its three strengths, all of them "
    "unknown to the method: a dead sensor still counts as present."
)


def robustness(protocol: Protocol, found: Found) -> list[str]:
    """One table for each label rate, and the meaning of the strengths; empty if nothing was measured."""
    corruptions = {name: fault for name, fault in CORRUPTIONS.items() if fault.applies(protocol.spec)}
    parts = []
    for rate in protocol.rates:
        results = {row: of_seeds for (of_rate, row), of_seeds in found.items() if of_rate == rate and of_seeds}
        if results:
            rows = [row for row in ROWS if row in results]
            columns = [
                [[100 * result["accuracy"] for result in results[row]] for row in rows],
                [[100 * corrupted_mean(result) for result in results[row]] for row in rows],
                *([[100 * mean(r["corrupted"][name]) for r in results[row]] for row in rows] for name in corruptions),
            ]
            clean, corrupted, *each = map(best_in_bold, columns)
            whole = [[ROWS[row].title, *cells] for row, *cells in zip(rows, clean, corrupted)]
            whole += [
                [f"*{other.system}, published*", f"{other.accuracy:.2f}", f"{other.corrupted:.2f}"]
                for other in protocol.elsewhere
                if other.corrupted and other.rate == rate
            ]
            by_fault = [[ROWS[row].title, *cells] for row, *cells in zip(rows, *each)]
            parts.append(table([f"Accuracy, %, {rate} % labelled", "clean", "corrupted"], whole))
            parts.append(table([f"{rate} % labelled", *(fault.title for fault in corruptions.values())], by_fault))
    if not parts:
        return []
    strengths = [
        [fault.title, ", ".join(f"{strength:g}" for strength in fault.strengths), fault.meaning]
        for fault in corruptions.values()
    ]
    return [
        "Where sensors are faulty at test time:",
        _NOTE,
        *parts,
        table(["Suite", "strengths", "of what"], strengths),
    ]


def corrupted_mean(result: Mapping[str, Any]) -> float:
    """Mean accuracy over all corruptions and strengths."""
    return mean(accuracy for accuracies in result["corrupted"].values() for accuracy in accuracies)
