"""The form of every answer of the bench: figures for machines, a table for people, and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import numpy as np
from rich.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE = "#0072B2", "#E69F00"  # Okabe and Ito's colours, which colour-blind people can distinguish
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#D55E00", "#56B4E9")

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}


class Answer(NamedTuple):
    """The answer to one question.

    Attributes:
        figures: the figures for machines (JSON).
        table: the table for people; without rows if nothing could be measured.
        failures: what could not be measured, and why; one line each.
        explanation: how the figures were measured.
        height_in: height of the picture in inches.
        draw: draws the picture.
    """

    figures: Any
    table: Table
    failures: List[str]
    explanation: str
    height_in: float
    draw: Callable[[Figure], None]


def percentiles(times_ms: np.ndarray) -> Dict[str, float]:
    """Returns the percentiles that every report lists, by name."""
    values = np.percentile(times_ms, list(PERCENTILES.values()))
    return {name: round(float(value), 4) for name, value in zip(PERCENTILES, values)}


def new_table(first: str, *columns: str) -> Table:
    """Returns an empty table whose first column holds names and whose others hold numbers."""
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def energy_cell(energy: Optional[Mapping[str, Any]]) -> str:
    """Returns a table's cell for an energy, which may be unmeasured or unresolved."""
    if energy is None:
        return "–"
    if energy["energy_mj"] is None:
        return f"below {energy['uncertainty_mj']:.2g}, the meter's resolution"
    return f"{energy['energy_mj']:.3g} ± {energy['uncertainty_mj']:.1g}"


def threads_in_words(number: int) -> str:
    """Returns "1 thread", "2 threads", …"""
    return f"{number} thread{'s' * (number > 1)}"
