from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Optional

import pytest

from runtime.aligner import Window
from runtime.json_lines import JsonLines
from runtime.loop import Outcome
from runtime.recognizer import Prediction

_WALL_OFFSET_NS = 1_700_000_000 * 10**9


def _outcome(truth: Optional[str] = None) -> Outcome:
    prediction = Prediction(
        bundle="person",
        window_end_ns=12_500_000_000,
        activity="walk",
        confidence=0.9123456,
        probabilities={"walk": 0.9123456, "wave": 0.0876544},
        weights={"imu": 0.60001, "depth": 0.39999, "radar": 0.0},
        present={"imu": True, "depth": True, "radar": False},
        engine_ms=1.23456,
        latency_ms=3.45678,
    )
    window = Window(12_500_000_000, {}, prediction.present, 12_510_000_000)
    return Outcome(prediction, window, {"imu": "ok", "depth": "lost", "radar": "absent"}, 0, truth, inside=False)


def _line(outcome: Outcome) -> dict:
    file = io.StringIO()
    JsonLines(file, lambda: _WALL_OFFSET_NS).outcome(outcome)
    assert file.getvalue().endswith("}\n")
    assert file.getvalue().count("\n") == 1
    return json.loads(file.getvalue())


def test_a_prediction_is_one_line_with_all_that_is_promised() -> None:
    assert _line(_outcome()) == {
        "time": "2023-11-14T22:13:32.500+00:00",
        "window_end_ns": 12_500_000_000,
        "bundle": "person",
        "activity": "walk",
        "confidence": 0.9123,
        "probabilities": {"walk": 0.9123, "wave": 0.0877},
        "weights": {"imu": 0.6, "depth": 0.4, "radar": 0.0},
        "sensors": {"imu": "ok", "depth": "lost", "radar": "absent"},
        "latency_ms": 3.46,
        "engine_ms": 1.23,
    }


def test_a_clock_that_is_set_while_it_runs_is_followed() -> None:
    file, offsets = io.StringIO(), iter([0, _WALL_OFFSET_NS])
    lines = JsonLines(file, lambda: next(offsets))
    for _ in range(2):
        lines.outcome(_outcome())
    years = [json.loads(line)["time"][:4] for line in file.getvalue().splitlines()]
    assert years == ["1970", "2023"]


@pytest.mark.parametrize("truth", ["walk", "sit down"])
def test_the_truth_is_told_only_where_it_is_known(truth: str) -> None:
    assert "truth" not in _line(_outcome())
    assert _line(_outcome(truth))["truth"] == truth


def test_each_line_is_out_before_the_next_prediction(tmp_path: Path) -> None:
    with (tmp_path / "lines").open("w") as file:
        sink = JsonLines(file, lambda: _WALL_OFFSET_NS)
        for number in 1, 2:
            sink.outcome(_outcome())
            assert len((tmp_path / "lines").read_text().splitlines()) == number


def test_a_full_disk_ends_the_lines_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with Path("/dev/full").open("w") as file:  # nothing is left in it that would make its closing fail
        sink = JsonLines(file, lambda: _WALL_OFFSET_NS)
        for _ in range(3):
            sink.outcome(_outcome())
    assert sink.failure == "/dev/full: no more lines: No space left on device; what was written before is kept"
    assert [record.message for record in caplog.records] == [sink.failure]


def test_a_reader_that_is_gone_is_no_failure_but_an_end() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        sink = JsonLines(file, lambda: _WALL_OFFSET_NS)
        with pytest.raises(BrokenPipeError):
            sink.outcome(_outcome())
    assert sink.failure is None
