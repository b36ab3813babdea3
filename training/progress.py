"""The bars that show how far a training is."""

from __future__ import annotations

from typing import Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def bars(console: Optional[Console] = None, disable: bool = False) -> Progress:
    """A bar for each task, with the time that it has taken and will take. They are on standard output by default."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=disable,
    )
