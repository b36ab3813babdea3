"""Markdown tables of figures over several seeds."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Iterable, Sequence


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± sample standard deviation (number of values)."""
    if not values:
        return "not run"
    deviation = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{deviation} ({len(values)})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with its numbers aligned to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def best_in_bold(column: Sequence[Sequence[float]]) -> list[str]:
    """``spread`` of each row's values, with the best mean in bold."""
    best = max((mean(values) for values in column if values), default=None)
    return [f"**{spread(values)}**" if values and mean(values) == best else spread(values) for values in column]
