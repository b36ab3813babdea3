"""What an hour of everything at once cost a home: windows, entries of its log, memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Set

import numpy as np

_AFTER_S = 15.0  # what is lost until then is the fault's
_WARM_S = 300.0


def lost(lines: Path, faults: List[Dict[str, Any]], hop_ns: int) -> Dict[str, Any]:
    """Windows that were lost, by fault, and the longest time between predictions."""
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    answered = np.array(sorted({row["window_end_ns"] for row in rows if row.get("activity")}))
    gaps = np.diff(answered)
    missing = [
        end_ns
        for end_ns, gap in zip(answered, gaps)
        for end_ns in range(int(end_ns) + hop_ns, int(end_ns + gap), hop_ns)
    ]
    table: Dict[str, Any] = {}
    for fault in faults:
        until_ns = fault.get("end_ns", fault["begin_ns"]) + _AFTER_S * 1e9
        mine = [end_ns for end_ns in missing if fault["begin_ns"] <= end_ns <= until_ns]
        missing = [end_ns for end_ns in missing if end_ns not in mine]
        row = table.setdefault(fault["fault"], {"times": 0, "windows_lost": []})
        row["times"] += 1
        row["windows_lost"].append(len(mine))
    table["otherwise"] = {"windows_lost": len(missing)}
    return {
        "windows": len(answered),
        "by_fault": table,
        "longest_without_s": round(gaps.max() / 1e9, 1),
        "lines_lost": rows[-1]["lines_lost"],
    }


def unheard(home: Path, heard: Set[int]) -> Dict[str, int]:
    """Entries of the log, and those that the broker's listener never heard."""
    entries = [json.loads(line) for file in home.glob("episodes/*.jsonl") for line in file.read_text().splitlines()]
    ids = {entry["id"] for entry in entries if entry["kind"] in ("episode", "alarm")}
    return {"entries": len(ids), "never_heard": len(ids - heard)}


def memory(looks: List[Dict[str, float]]) -> Dict[str, Any]:
    """Memory after five minutes and at the end, the most, and how fast a straight line between the two rises.

    ``own_mb`` is the run's without what waits for a clip, whose size depends on whether a clip is being recorded, and
    without mapped files, whose pages the system takes back when it needs them.
    """
    seen = [look for look in looks if "run_mb" in look]
    settled = [look for look in seen if look["s"] > _WARM_S] or seen
    figures: Dict[str, Any] = {}
    hours = [look["s"] / 3600 for look in settled]
    for key in "run_mb", "clips_mb", "files_mb", "own_mb", "children_mb", "threads", "files":
        values = [look[key] for look in settled]
        figures[key] = {"first": values[0], "last": values[-1], "most": max(values)}
        figures[key]["growth_an_hour"] = round(float(np.polyfit(hours, values, 1)[0]), 1)
    minutes = np.array([look["s"] for look in seen]) // 600
    figures["own_mb"]["median_each_ten_minutes"] = [
        round(float(np.median([look["own_mb"] for look, minute in zip(seen, minutes) if minute == ten])), 1)
        for ten in np.unique(minutes)
    ]
    return figures
