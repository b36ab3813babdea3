from __future__ import annotations

import json
from pathlib import Path

from cosmo_runtime.tools.measure.home import lost, memory, unheard

S = 10**9


def test_windows_are_lost_by_the_fault_during_which_they_are_missing(tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    gone = {*range(20, 24), 60}
    rows = [
        {"window_end_ns": half * S // 2, "activity": None if half == 70 else "walk", "lines_lost": 0}
        for half in range(10, 100)
        if half not in gone
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    faults = [{"fault": "process stopped", "begin_ns": 9 * S, "end_ns": 11 * S}]
    figures = lost(lines, faults, S // 2)
    assert figures["by_fault"] == {
        "process stopped": {"times": 1, "windows_lost": [4]},
        "otherwise": {"windows_lost": 2},  # one without a line, and one without an answer
    }
    assert (figures["windows"], figures["longest_without_s"]) == (84, 2.5)


def test_entries_that_nobody_heard_are_counted(tmp_path: Path) -> None:
    (tmp_path / "episodes").mkdir()
    rows = [{"id": 1, "kind": "episode"}, {"id": 2, "kind": "alarm"}, {"id": 3, "kind": "clock"}]
    (tmp_path / "episodes" / "2026-11-28.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert unheard(tmp_path, {1}) == {"entries": 2, "never_heard": 1}


def test_memory_is_told_from_five_minutes_on_with_and_without_what_waits_for_a_clip() -> None:
    looks = [
        {"s": s, "run_mb": 196 + s / 360, "clips_mb": 36, "files_mb": 60, "own_mb": 100 + s / 360, "children_mb": 1}
        for s in range(0, 3600, 60)
    ]
    figures = memory([{**look, "files": 4, "threads": 3} for look in looks])
    assert figures["run_mb"]["growth_an_hour"] == figures["own_mb"]["growth_an_hour"] == 10
    assert figures["own_mb"]["first"] == looks[6]["own_mb"]
    assert len(figures["own_mb"]["median_each_ten_minutes"]) == 6
    assert figures["clips_mb"]["growth_an_hour"] == 0
