"""Replays as people and programs meet them on the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from cosmo_runtime.models.bundle import write_bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.sources.replay import windows_key
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.runtime import rigs
from tests.sensors.recording.flushed import wait_until_flushed

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]
_ALL = "imu,depth,radar"

Run = Callable[..., Any]


def test_a_replay_answers_every_window_of_the_sensors_that_it_holds(cosmo: Run, bundle: Path, kept: Path) -> None:
    done = cosmo("--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max")
    assert done.code == 0
    assert [line["window_end_ns"] for line in done.lines] == [n * 500_000_000 for n in range(2, 9)]
    for line in done.lines:
        assert line["sensors"] == {"imu": "ok", "radar": "ok"}
        assert line["weights"] == {"imu": 0.5, "depth": 0.0, "radar": 0.5}
        assert line["truth"] == "walk"
    assert "7 windows" in done.err
    assert f"{kept}: has no depth, and is played without" in done.err
    assert "bit for bit" not in done.err  # the recording holds no windows to compare with


def test_only_the_sensors_that_are_asked_for_are_replayed(cosmo: Run, bundle: Path, kept: Path) -> None:
    done = cosmo("--sensors", "radar", "--bundle", bundle, "--replay", kept, "--speed", "max")
    assert done.code == 0
    assert len(done.lines) == 7
    for line in done.lines:
        assert line["sensors"] == {"radar": "ok"}
        assert line["weights"] == {"imu": 0.0, "depth": 0.0, "radar": 1.0}


def test_duration_ends_a_replay_by_its_own_clock(cosmo: Run, bundle: Path, kept: Path) -> None:
    options = ["--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max"]
    done = cosmo(*options, "--duration", "2.2")
    assert [line["window_end_ns"] for line in done.lines] == [1_000_000_000, 1_500_000_000, 2_000_000_000]


def test_a_replay_that_sees_other_windows_than_the_run_fails(
    cosmo: Run, bundle: Path, spec: ModelSpec, infos: Dict[str, SensorInfo], samples: Samples, tmp_path: Path
) -> None:
    def recording(name: str, digests: Dict[int, str]) -> Path:
        path = tmp_path / name
        run = {"windows": windows_key(spec, lateness_ms=300)}
        with RecordingWriter(path, {"imu": infos["imu"]}, run) as writer:
            waiting = sorted(digests.items())
            for sample in [*samples("imu", 0, 2.2), None]:
                if sample:
                    writer.write(sample)
                while waiting and (not sample or waiting[0][0] <= sample.stamp_ns):  # in its place, as in a run
                    end_ns, digest = waiting.pop(0)
                    writer.write_json("/windows", end_ns, {"end_ns": end_ns, "features": digest, "late": False})
        return path

    windows = Aligner(spec, rigs.infos(imu=100)).windows(samples("imu", 0, 2.2))
    true = {window.end_ns: window.digest() for window in windows}
    options = ["--sensors", "imu", "--bundle", bundle, "--speed", "max", "--replay"]

    done = cosmo(*options, recording("true.mcap", true))
    assert (done.code, "bit for bit: 3 of 3" in done.err) == (0, True)
    done = cosmo(*options, recording("other.mcap", {**true, 1_500_000_000: "0"}))
    assert (done.code, "bit for bit: 2 of 3" in done.err) == (1, True)
    longer = recording("longer.mcap", {**true, 2_500_000_000: "0"})
    done = cosmo(*options, longer)
    assert (done.code, "bit for bit: 3 of 4" in done.err) == (1, True)
    done = cosmo(*options, longer, "--duration", 1.7)  # what was not asked for is not missed
    assert (done.code, "bit for bit: 2 of 2" in done.err) == (0, True)


def test_a_replay_whose_reader_has_seen_enough_is_not_compared_to_its_end(
    cosmo: Run, bundle: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = ["--sensors", "imu,radar", "--bundle", bundle, "--output", "-"]
    recording = tmp_path / "run.mcap"
    assert cosmo(*rig, "--emulate", "person", "--duration", 4, "--record", recording).code == 0
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    done = cosmo(*rig, "--replay", recording, "--speed", "max")
    assert done.code == 0
    assert re.search(r"bit for bit: (\d+) of \1\n", done.err)


def test_a_run_of_real_people_says_that_the_model_knows_none(
    cosmo: Run, bundle: Path, kept: Path, tmp_path: Path, spec: ModelSpec
) -> None:
    doll = tmp_path / "doll"
    onnx = (bundle / "model.onnx").read_bytes()
    write_bundle(doll, spec, onnx=onnx, weights=b"", provenance={"people": "simulated"}, metrics={})
    warning = "doll: it learned from simulated people only"
    rig = ["--sensors", "imu,radar", "--bundle", doll]
    assert warning in cosmo(*rig, "--replay", kept, "--speed", "max").err
    recording = tmp_path / "person.mcap"
    assert warning not in cosmo(*rig, "--emulate", "person", "--duration", 3, "--record", recording).err
    assert warning not in cosmo(*rig, "--replay", recording, "--speed", "max").err
    assert (
        "learned from simulated"
        not in cosmo("--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max").err
    )


def test_lines_and_figures_go_to_files_where_asked(cosmo: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    lines, figures = tmp_path / "lines", tmp_path / "figures.json"
    words = ["--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max"]
    done = cosmo(*words, "--output", lines, "--summary", figures)
    assert (done.code, done.out) == (0, "")
    assert len([json.loads(line) for line in lines.read_text().splitlines()]) == 7
    summary = json.loads(figures.read_text())
    assert summary["windows"] == 7
    assert summary["latency_ms"]["p50"] > 0
    assert summary["windows_lost"] == {"empty": 0, "outdated": 0, "refused": 0}


def test_a_full_disk_under_the_lines_leaves_the_rest_of_the_run(
    cosmo: Run, bundle: Path, kept: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    words = ["--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max"]
    done = cosmo(*words, "--output", "/dev/full", "--summary", figures)
    assert done.code == 1
    assert "cosmo-runtime: /dev/full: 7 of 7 lines could not be written: No space left on device" in done.err
    assert done.err.count("lines come back when it can") == 1
    assert "Traceback" not in done.err
    assert json.loads(figures.read_text())["windows"] == 7
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *map(str, words), "--output", "-"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert b"<stdout>: 7 of 7 lines could not be written: No space left on device" in ended.stderr
    assert b"Exception ignored" not in ended.stderr


def test_the_configuration_reaches_the_recogniser(cosmo: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text(f'[recognition]\nmin_confidence = 1.0\nbundle = "{bundle}"\n')
    done = cosmo("--sensors", _ALL, "--config", config, "--replay", kept, "--speed", "max")
    assert {line["activity"] for line in done.lines} == {"uncertain"}


def test_a_recording_that_was_cut_plays_to_its_cut_and_says_so(
    cosmo: Run, bundle: Path, infos: Dict[str, SensorInfo], samples: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "cut.mcap"
    with RecordingWriter(path, {"imu": infos["imu"]}) as writer:
        for begin_s in 0, 2.2:
            for sample in samples("imu", begin_s, begin_s + 2.2):
                writer.write(sample)
            wait_until_flushed(writer)
    words = ["--sensors", "imu", "--bundle", bundle, "--replay", path, "--speed", "max", "--output", "-"]
    whole = cosmo(*words)
    assert "cut short" not in whole.err
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut = cosmo(*words)
    assert cut.code == 0
    assert "cut.mcap: was cut short" in cut.err
    assert 0 < len(cut.lines) < len(whole.lines)
    assert whole.lines[: len(cut.lines)] == cut.lines


def test_what_was_only_recorded_is_recognised_later(cosmo: Run, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "kept.mcap"
    done = cosmo("record", "--sensors", "imu,radar", "--emulate", "person", "--duration", 3, path)
    assert done.code == 0, done.err
    assert done.out == ""
    assert re.search(r"kept\.mcap: [\d.]+ MB, samples: imu \d+, radar \d+", done.err)
    recording = Recording(path)
    assert not recording.cut
    assert {event.sensor for event in recording.events() if isinstance(event, Sample)} == {"imu", "radar"}
    replayed = cosmo("--sensors", "imu,radar", "--bundle", bundle, "--replay", path, "--speed", "max")
    assert replayed.code == 0
    assert len(replayed.lines) >= 3


@pytest.mark.slow
def test_a_run_whose_sensors_sleep_replays_with_the_same_windows_and_answers(
    cosmo: Run, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "cosmo.toml").write_text(
        "[recognition]\nmin_confidence = 0\n[selection]\nsure = 0\ndoubt = 0\nradar_after_s = 1\n"
    )
    rig = ["--sensors", _ALL, "--bundle", bundle, "--output", "-", "--config", tmp_path / "cosmo.toml", "--save-energy"]
    recording = tmp_path / "run.mcap"
    live = cosmo(*rig, "--emulate", "person", "--duration", 6, "--record", recording)
    states = [line["sensors"]["depth"] for line in live.lines]
    assert live.code == 0
    assert "asleep" in states
    assert states[0] == "ok"
    replayed = cosmo(*rig, "--replay", recording, "--speed", "max")
    assert replayed.code == 0
    assert re.search(r"bit for bit: (\d+) of \1\n", replayed.err)
    told = [(line["window_end_ns"], line["sensors"], line["probabilities"]) for line in live.lines]
    assert [(line["window_end_ns"], line["sensors"], line["probabilities"]) for line in replayed.lines] == told
