"""What the last entry of an alarm in the log says of it. Entries of earlier versions say less."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping

from cosmo_runtime.runtime.alarms.rules import RAISED
from cosmo_runtime.runtime.episodes.entries import is_written, last_alarms


def is_on(last: Mapping[str, Any]) -> bool:
    """Whether the alarm was on."""
    return bool(last.get("on", last.get("stands") and not last.get("quiet")))


def lasted(last: Mapping[str, Any]) -> bool:
    """Whether what the alarm was raised for still went on."""
    return bool(last.get("lasts", last.get("state") == RAISED))


def number(last: Mapping[str, Any]) -> int:
    """The number of the alarm's last raise. It never counts down, so it says what somebody has seen."""
    return int(last.get("number", 1))


def times(last: Mapping[str, Any]) -> int:
    """How often the alarm was raised without being acknowledged."""
    return int(last.get("times", 1 if last.get("stands") else 0))


def first(last: Mapping[str, Any]) -> str:
    """Since when the first of these raises had lasted."""
    return str(last.get("first") or last["evidence"]["since"])


def standing(folder: Path) -> List[Dict[str, Any]]:
    """The alarms that nobody has acknowledged, for people, from a log's folder.

    Raises:
        LogError: there is no log, or it cannot be read.
    """
    last = last_alarms(folder).values()
    watched = is_written(folder) is not False
    return [
        {
            "name": entry["name"],
            "activity": entry["evidence"]["activity"],
            "since": first(entry),
            "latest": entry["evidence"]["since"],
            "times": times(entry),
            "number": number(entry),
            "lasts": lasted(entry) if watched else None,
            "quiet": not is_on(entry),  # nobody was notified
        }
        for entry in last
        if entry.get("stands")
    ]
