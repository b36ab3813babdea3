from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List

import pytest

from cosmo_runtime.runtime.config import EpisodesConfig
from cosmo_runtime.runtime.episodes.predicted import PredictedDays, PredictedEpisodes

NOON = datetime(2026, 3, 3, 12, tzinfo=timezone.utc)


def _line(second: float, activity: Any, confidence: Any = 0.9) -> Dict[str, Any]:
    time = (NOON + timedelta(seconds=second)).isoformat(timespec="milliseconds")
    return {"time": time, "activity": activity, "confidence": confidence}


def _told(entries: List[Dict[str, Any]]) -> List[tuple]:
    seconds = [
        [(datetime.fromisoformat(entry[edge]) - NOON).total_seconds() for edge in ("start", "end")] for entry in entries
    ]
    return [(entry["activity"], *edges) for entry, edges in zip(entries, seconds)]


def _minute() -> List[Dict[str, Any]]:
    walking = [_line(half / 2, "walk") for half in range(1, 41)]
    return (
        walking
        + [_line(half / 2, "wave") for half in range(41, 81)]
        + [_line(200 + half / 2, "walk") for half in range(20)]
    )


def _days(folder: Path) -> PredictedDays:
    return PredictedDays(EpisodesConfig().rule, lambda: sorted(folder.glob("*.jsonl")))


ALL = 0, 1 << 62


def test_predictions_become_episodes_with_nothing_in_a_gap(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _minute()))
    told = _told(_days(tmp_path).entries(*ALL))
    assert told == [("walk", 0, 20), ("wave", 20, 40), ("walk", 199.5, 209.5)]


def test_what_comes_later_is_read_on(tmp_path: Path) -> None:
    lines = [json.dumps(line) + "\n" for line in _minute()]
    file, days = tmp_path / "a.jsonl", _days(tmp_path)
    file.write_text("".join(lines[:30]) + lines[30][:20])
    assert _told(days.entries(*ALL)) == [("walk", 0, 15)]
    file.write_text("".join(lines))
    assert _told(days.entries(*ALL))[:2] == [("walk", 0, 20), ("wave", 20, 40)]
    file.write_text("".join(lines[:10]))  # made anew
    assert _told(days.entries(*ALL)) == [("walk", 0, 5)]
    file.unlink()
    assert days.entries(*ALL) == []


def test_only_what_lies_in_the_stretch_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _minute()))
    noon_ns = round(NOON.timestamp()) * 10**9
    found = _days(tmp_path).entries(noon_ns + 30 * 10**9, noon_ns + 100 * 10**9)
    assert [activity for activity, *_ in _told(found)] == ["wave"]


def test_the_run_that_goes_on_is_told_with_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in _minute()))
    days = _days(tmp_path)
    for half in range(1, 21):
        days.now.feed(_line(-100 + half / 2, "sit"))
    assert [activity for activity, *_ in _told(days.entries(*ALL))] == ["sit", "walk", "wave", "walk"]


def test_a_second_run_or_a_clock_that_is_set_back_begins_anew() -> None:
    folded = PredictedEpisodes(EpisodesConfig().rule)
    for start in 100, 0:
        for half in range(1, 21):
            folded.feed(_line(start + half / 2, "walk"))
    assert [round(episode.seconds) for episode in folded.episodes] == [10, 10]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n{}\n[]\n3\nnull\n",
        b"\xff\xfe\x00\n",
        b"[" * 100_000,
        b'{"time": "soon", "activity": "walk", "confidence": 1}\n',
        b'{"time": "2026-03-03T12:00:00", "activity": "walk", "confidence": 1}\n',
        b'{"time": "2026-03-03T12:00:00+00:00", "activity": 3, "confidence": 1}\n',
        b'{"time": "2026-03-03T12:00:00+00:00", "activity": "walk", "confidence": NaN}\n',
        b'{"time": "9999-12-31T23:59:59-23:59", "activity": "walk", "confidence": 1}\n',
        b'{"time": ["x"], "activity": "walk", "confidence": true}\n' + b"x" * 70_000,
    ],
    ids=range(10),
)
def test_what_is_no_prediction_is_passed_over(tmp_path: Path, content: bytes) -> None:
    good = "".join(json.dumps(line) + "\n" for line in _minute()[:30]).encode()
    (tmp_path / "a.jsonl").write_bytes(content.rstrip(b"\n") + b"\n" + good)
    assert _told(_days(tmp_path).entries(*ALL))[0][0] == "walk"
