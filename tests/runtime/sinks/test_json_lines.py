from __future__ import annotations

import errno
import io
import json
import os
from typing import Dict, List, Optional

import pytest

from cosmo_runtime.runtime.recognition.loop import EndOfRun, Outcome
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks.json_lines import JsonLines
from cosmo_runtime.runtime.sinks.line_file import LineFile
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.sensor import SensorInfo

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
    return Outcome(
        prediction,
        window,
        {"imu": "ok", "depth": "lost", "radar": "absent"},
        0,
        truth,
        inside=False,
        hop_ns=500_000_000,
    )


def _sink(file: io.BytesIO, infos: Optional[Dict[str, SensorInfo]] = None) -> JsonLines:
    return JsonLines(LineFile(file, "memory"), infos or {}, lambda _: _WALL_OFFSET_NS)


def _lines(file: io.BytesIO) -> List[dict]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def _line(outcome: Outcome) -> dict:
    file = io.BytesIO()
    _sink(file).outcome(outcome)
    assert file.getvalue().endswith(b"}\n")
    (line,) = _lines(file)
    return line


def test_a_prediction_is_one_line_with_all_that_is_promised() -> None:
    assert _line(_outcome()) == {
        "sequence": 0,
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
        "losses": {},
        "windows_lost": {"empty": 0, "outdated": 0, "refused": 0},
        "lines_lost": 0,
    }


def test_lines_say_which_sensors_are_out_of_step_as_long_as_they_are() -> None:
    file = io.BytesIO()
    lines = _sink(file)
    for behind_ms in ({"depth": 180.0}, {}):
        lines.out_of_step(behind_ms)
        lines.outcome(_outcome())
    lines.corrected({"depth": 180.0})
    lines.outcome(_outcome())
    assert [line.get("out_of_step_ms") for line in _lines(file)] == [{"depth": 180.0}, None, None]
    assert [line.get("corrected_ms") for line in _lines(file)] == [None, None, {"depth": 180.0}]


def test_a_line_tells_all_losses_up_to_it_by_sensor_and_reason() -> None:
    infos = {"imu": SensorInfo("imu", "an IMU", 100), "radar": SensorInfo("radar", "a radar", 20)}
    file = io.BytesIO()
    sink = _sink(file, infos)
    sink.outcome(_outcome())
    infos["imu"].counts.update(samples=100, bad_checksums=17, skipped_bytes=0)
    infos["radar"].counts.update(samples=20, lost_samples=340)
    sink.empty(48)
    sink.outdated(_outcome().window)
    sink.outdated(_outcome().window)
    sink.outcome(_outcome())
    before, after = _lines(file)
    assert (before["sequence"], after["sequence"]) == (0, 1)
    assert before["losses"] == {"imu": {}, "radar": {}}
    assert after["losses"] == {"imu": {"bad_checksums": 17}, "radar": {"lost_samples": 340}}
    assert after["windows_lost"] == {"empty": 48, "outdated": 2, "refused": 0}


def test_silence_is_a_line_without_an_activity() -> None:
    file = io.BytesIO()
    _sink(file).silence(Silence(12_500_000_000, {"imu": "lost"}, "imu: lost (unplugged)"))
    (line,) = _lines(file)
    assert line == {
        "sequence": 0,
        "time": "2023-11-14T22:13:32.500+00:00",
        "activity": None,
        "sensors": {"imu": "lost"},
        "reason": "imu: lost (unplugged)",
        "losses": {},
        "windows_lost": {"empty": 0, "outdated": 0, "refused": 0},
        "lines_lost": 0,
    }


def test_a_clock_that_is_set_while_it_runs_is_followed() -> None:
    file, offsets = io.BytesIO(), iter([0, _WALL_OFFSET_NS])
    lines = JsonLines(LineFile(file, "memory"), {}, lambda _: next(offsets))
    for _ in range(2):
        lines.outcome(_outcome())
    assert [line["time"][:4] for line in _lines(file)] == ["1970", "2023"]


@pytest.mark.parametrize("truth", ["walk", "sit down"])
def test_the_truth_is_told_only_where_it_is_known(truth: str) -> None:
    assert "truth" not in _line(_outcome())
    assert _line(_outcome(truth))["truth"] == truth


def test_a_full_disk_is_said_once_and_the_lines_come_back_with_a_count_of_what_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Disk(io.BytesIO):
        full = False

        def write(self, data: bytes) -> int:  # type: ignore[override]
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    disk = Disk()
    sink = _sink(disk)
    for disk.full in (False, True, True, True, False, False):
        sink.outcome(_outcome())
    assert [(line["sequence"], line["lines_lost"]) for line in _lines(disk)] == [(0, 0), (4, 3), (5, 3)]
    assert [record.message for record in caplog.records] == [
        "memory cannot be written: No space left on device; lines come back when it can",
        "memory can be written again; 3 lines are missing so far",
    ]
    assert sink.failure == "memory: 3 of 6 lines could not be written: No space left on device"


def test_a_reader_that_is_gone_is_no_failure_but_an_end() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as file:
        sink = JsonLines(LineFile(file, "pipe"), {}, lambda _: _WALL_OFFSET_NS)
        with pytest.raises(EndOfRun):
            sink.outcome(_outcome())
    assert sink.failure is None


def test_lines_that_did_not_fit_into_a_queue_leave_a_gap_in_the_sequence_and_are_counted() -> None:
    file = io.BytesIO()
    sink = _sink(file)
    sink.outcome(_outcome())
    sink.missed({"outcome": 3, "silence": 1, "empty": 7})
    sink.outcome(_outcome())
    assert [(line["sequence"], line["lines_lost"]) for line in _lines(file)] == [(0, 0), (5, 4)]
    assert _lines(file)[1]["windows_lost"]["empty"] == 7
    assert sink.failure == "memory: 4 of 6 lines could not be written: its reader or disk was too slow"
