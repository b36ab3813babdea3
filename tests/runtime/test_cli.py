"""The command line as people and programs meet it, on the emulated rig."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from serial.tools import list_ports

from models.bundle import Bundle
from models.spec import ModelSpec
from runtime.aligner import Aligner
from runtime.cli.common import stop_on_signals
from runtime.replay import windows_key
from sensors.events import Event, Sample, Truth
from sensors.recording import Recording, RecordingWriter
from sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]

_ALL = "imu,depth,radar"


Run = Callable[..., Any]


@pytest.fixture
def bundle(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


@pytest.fixture
def kept(tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples, by_arrival: Merge) -> Path:
    """A recording of four seconds of an IMU and a radar, made without recognising."""
    path = tmp_path / "kept.mcap"
    with RecordingWriter(path, {name: infos[name] for name in ("imu", "radar")}) as writer:
        for event in by_arrival(samples("imu", 0, 4.2), samples("radar", 0, 4.2), [Truth(0, "walk")]):
            writer.write(event)
    return path


def _command(bundle: Path, *words: object) -> List[str]:
    """A live run of the emulated IMU and radar in a process of its own."""
    rig = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", str(bundle)]
    return [sys.executable, "-m", "runtime.cli", *rig, *map(str, words)]


@pytest.mark.parametrize(
    "words, wrong",
    [
        ("--sensors imu --bundle {bundle} --emulate dog", "--emulate: 'dog': expected person"),
        ("record --sensors imu --emulate person:x x.mcap", "--emulate: 'person:x': expected person"),
        ("", "--sensors"),
        ("--sensors imu,sonar", "'imu,sonar': expected any of imu, depth, radar, separated by commas"),
        ("--sensors ,", "','"),
        ("--sensors imu --duration soon", "'soon': expected a number of seconds above 0"),
        ("--sensors imu --duration 0", "'0'"),
        ("--sensors imu --duration nan", "'nan'"),
        ("--sensors imu --duration inf", "'inf': expected a number of seconds above 0"),
        ("--sensors imu --duration 1e300", "at most 1e9"),
        ("record --sensors imu --rest inf x.mcap", "'inf'"),
        ("--sensors imu --speed 3", "--speed"),
        ("--sensors imu --speed max --bundle {bundle}", "--speed goes with --replay only"),
        ("--sensors imu --replay x.mcap --emulate person --bundle {bundle}", "--replay goes with neither"),
        ("--sensors imu --replay x.mcap --record y.mcap --bundle {bundle}", "--replay goes with neither"),
        ("--sensors depth --replay {kept} --bundle {bundle}", "holds none of them; it holds imu, radar"),
        ("--sensors imu --replay {kept} --bundle {bundle} --output /nowhere/lines", "--output /nowhere/lines: No such"),
        ("record --sensors imu", "FILE.mcap"),
        ("doctor --sensors imu,sonar", "imu,sonar"),
    ],
)
def test_wrong_usage_is_explained_on_stderr_with_exit_code_2(
    cosmo: Run, bundle: Path, kept: Path, words: str, wrong: str
) -> None:
    done = cosmo(*words.format(bundle=bundle, kept=kept).split())
    assert done.code == 2
    assert wrong in done.err
    assert done.out == ""


def test_a_sensor_that_the_model_does_not_know_is_wrong_usage(
    cosmo: Run, kept: Path, spec: ModelSpec, tiny_onnx: Path, tmp_path: Path
) -> None:
    from models.bundle import write_bundle

    alone = spec.model_copy(update={"modalities": spec.modalities[:1], "quality": (1.0,)})
    path = tmp_path / "imu-only"
    write_bundle(path, alone, onnx=tiny_onnx.read_bytes(), weights=b"", provenance={}, metrics={})
    done = cosmo("--sensors", _ALL, "--bundle", path)
    assert done.code == 2
    assert f"{path} has no depth, radar; it has imu" in done.err


@pytest.mark.parametrize(
    "words, wrong",
    [
        ("--sensors imu --config {tmp}/none.toml", "none.toml: cannot read it (No such file or directory)"),
        ("--sensors imu --bundle {tmp}/none", "none/model.json not found"),
        ("--sensors imu --bundle {bundle} --replay {tmp}/none.mcap", "none.mcap cannot be read"),
        ("--sensors imu --bundle {bundle} --replay {bundle}/model.json", "model.json is no MCAP file"),
        ("record --sensors imu --emulate person {kept}", "kept.mcap exists already"),
        ("record --sensors imu --emulate person {tmp}/none/x.mcap", "x.mcap cannot be written: No such file"),
    ],
)
def test_a_failure_is_explained_on_stderr_with_exit_code_1(
    cosmo: Run, bundle: Path, kept: Path, tmp_path: Path, words: str, wrong: str
) -> None:
    done = cosmo(*words.format(bundle=bundle, kept=kept, tmp=tmp_path).split())
    assert done.code == 1
    assert wrong in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_help_shows_the_other_commands_and_ways_to_begin(cosmo: Run) -> None:
    done = cosmo("--help")
    assert done.code == 0
    for words in "cosmo-runtime record", "cosmo-runtime doctor", "--emulate person", "--replay", "no hardware needed":
        assert words in done.out
    assert "FILE.mcap" in cosmo("record", "--help").out


def test_training_without_its_extra_says_how_to_get_it(
    cosmo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "training"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("runtime.cli.finetune.read_labels", lambda *_: {})
    for words in ("pretrain", "person", "--out", tmp_path / "out"), ("finetune", "--labels", tmp_path / "labels.csv"):
        done = cosmo(*words)
        assert done.code == 1
        assert "pip install 'cosmo-runtime[train]'" in done.err
        assert cosmo(words[0], "--help").code == 0


def test_sensors_that_are_not_there_fail_fast_with_what_was_looked_for_and_what_to_try(
    cosmo: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    began = time.monotonic()
    done = cosmo("--sensors", "imu,radar", "--bundle", bundle)
    assert time.monotonic() - began < 3
    assert done.code == 1
    assert "IMU: looked for a USB serial port; no USB serial port is attached" in done.err
    assert "radar: looked for a TI board (XDS110 or CP2105); no USB serial port is attached" in done.err
    assert done.err.count("--emulate") == 1
    assert "cosmo-runtime --sensors imu,radar --emulate person" in done.err


def test_a_configured_port_that_is_not_there_is_named(cosmo: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "cosmo.toml").write_text('[imu]\nport = "/dev/ttyNOWHERE"\n')
    done = cosmo("--sensors", "imu", "--bundle", bundle, "--config", tmp_path / "cosmo.toml")
    assert done.code == 1
    assert "/dev/ttyNOWHERE: no such device" in done.err


def test_a_replay_answers_every_window_of_the_sensors_that_it_holds(cosmo: Run, bundle: Path, kept: Path) -> None:
    done = cosmo("--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max")
    assert done.code == 0
    assert [line["window_end_ns"] for line in done.lines] == [n * 500_000_000 for n in range(2, 9)]
    for line in done.lines:
        assert line["sensors"] == {"imu": "ok", "radar": "ok"}
        assert line["weights"] == {"imu": 0.5, "depth": 0.0, "radar": 0.5}
        assert line["truth"] == "walk"
    assert "7 windows" in done.err
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
            for sample in samples("imu", 0, 2.2):
                writer.write(sample)
            for end_ns, digest in digests.items():
                writer.write_json("/windows", end_ns, {"end_ns": end_ns, "digest": digest, "late": False})
        return path

    aligner = Aligner(spec, {"imu": 100})
    windows = [window for sample in samples("imu", 0, 2.2) for window in aligner.feed(sample)]
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
    assert (done.code, "bit for bit: 1 of 1\n" in done.err) == (0, True)


def test_lines_and_figures_go_to_files_where_asked(cosmo: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    lines, figures = tmp_path / "lines", tmp_path / "figures.json"
    words = ["--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max"]
    done = cosmo(*words, "--output", lines, "--summary", figures)
    assert (done.code, done.out) == (0, "")
    assert len([json.loads(line) for line in lines.read_text().splitlines()]) == 7
    summary = json.loads(figures.read_text())
    assert summary["windows"] == 7
    assert summary["latency_ms"]["p50"] > 0
    assert cosmo(*words, "--output", lines, "--summary", "/nowhere/figures.json").code == 2


def test_a_full_disk_under_the_lines_leaves_the_rest_of_the_run(
    cosmo: Run, bundle: Path, kept: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    words = ["--sensors", _ALL, "--bundle", bundle, "--replay", kept, "--speed", "max"]
    done = cosmo(*words, "--output", "/dev/full", "--summary", figures)
    assert done.code == 1
    assert "cosmo-runtime: /dev/full: no more lines: No space left on device" in done.err
    assert "Traceback" not in done.err
    assert json.loads(figures.read_text())["windows"] == 7
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "runtime.cli", *map(str, words), "--output", "-"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert b"<stdout>: no more lines: No space left on device" in ended.stderr
    assert b"Exception ignored" not in ended.stderr


def test_lines_and_recording_are_opened_both_or_neither(cosmo: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    rig = ["--sensors", "imu", "--bundle", bundle, "--emulate", "person", "--duration", 1]
    recording, lines = tmp_path / "new.mcap", tmp_path / "lines"
    done = cosmo(*rig, "--record", recording, "--output", "/nowhere/lines")
    assert (done.code, "/nowhere/lines: No such file" in done.err) == (2, True)
    assert not recording.exists()
    lines.write_text("of the run before")
    done = cosmo(*rig, "--record", kept, "--output", lines)
    assert (done.code, f"{kept} exists already" in done.err) == (1, True)
    assert lines.read_text() == "of the run before"


def test_the_configuration_reaches_the_recogniser(cosmo: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text(f'[recognition]\nmin_confidence = 1.0\nbundle = "{bundle}"\n')
    done = cosmo("--sensors", _ALL, "--config", config, "--replay", kept, "--speed", "max")
    assert {line["activity"] for line in done.lines} == {"uncertain"}


def test_a_live_run_brings_json_lines_and_its_recording_replays_bit_for_bit(
    cosmo: Run, bundle: Path, tmp_path: Path
) -> None:
    recording = tmp_path / "run.mcap"
    rig = ["--sensors", _ALL, "--bundle", bundle]
    live = cosmo(*rig, "--emulate", "person", "--duration", 6, "--output", "-", "--record", recording)
    assert live.code == 0, live.err
    assert len(live.lines) >= 8
    ends = [json.loads(line)["window_end_ns"] for line in live.out.splitlines()]
    assert ends == sorted(ends)
    for line in map(json.loads, live.out.splitlines()):
        assert set(line) == {
            *("time", "window_end_ns", "bundle", "activity", "confidence", "probabilities", "weights"),
            *("sensors", "latency_ms", "engine_ms", "truth"),
        }
        assert set(line["sensors"]) == {"imu", "depth", "radar"}
        assert 0 < line["engine_ms"] <= line["latency_ms"]
        assert abs(sum(line["probabilities"].values()) - 1) < 0.01
    assert {"imu": "ok", "depth": "ok", "radar": "ok"} in [line["sensors"] for line in live.lines]

    again = cosmo(*rig, "--replay", recording, "--speed", "max", "--output", "-")
    assert again.code == 0, again.err
    assert f"bit for bit: {len(live.lines)} of {len(live.lines)}" in again.err

    def without_time(lines: List[Dict[str, object]]) -> List[Dict[str, object]]:
        return [{key: value for key, value in line.items() if key != "time"} for line in lines]

    assert without_time(again.lines) == without_time(live.lines)


def test_a_recording_that_was_cut_plays_to_its_cut_and_says_so(cosmo: Run, bundle: Path, kept: Path) -> None:
    whole = cosmo("--sensors", "imu,radar", "--bundle", bundle, "--replay", kept, "--speed", "max", "--output", "-")
    assert "cut short" not in whole.err
    kept.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])
    cut = cosmo("--sensors", "imu,radar", "--bundle", bundle, "--replay", kept, "--speed", "max", "--output", "-")
    assert cut.code == 0
    assert "kept.mcap: was cut short" in cut.err
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whole(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    recording = tmp_path / "run.mcap"
    process = subprocess.Popen(
        _command(bundle, "--record", recording, "--output", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()  # it runs
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert b"Traceback" not in err
    assert b"windows, " in err
    assert not Recording(recording).cut


def test_ctrl_c_ends_a_replay_in_a_long_gap(
    bundle: Path, infos: Dict[str, SensorInfo], samples: Samples, tmp_path: Path
) -> None:
    recording = tmp_path / "gap.mcap"
    with RecordingWriter(recording, {"imu": infos["imu"]}) as writer:
        for sample in [*samples("imu", 0, 1.1), *samples("imu", 100, 101)]:
            writer.write(sample)
    words = ["--sensors", "imu", "--bundle", str(bundle), "--replay", str(recording), "--output", "-"]
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()  # of the window that ends after 1 s
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, b"")
    assert b"1 windows" in err


def test_a_reader_that_has_seen_enough_ends_a_run_quietly(bundle: Path) -> None:
    process = subprocess.Popen(_command(bundle, "--output", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=20) == 0, err
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


def test_on_a_terminal_there_is_a_live_view_and_no_json(bundle: Path) -> None:
    terminal, far_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        _command(bundle, "--duration", 3), stdout=far_end, stderr=far_end, stdin=far_end, env=environment
    )
    os.close(far_end)
    shown = b""
    while select.select([terminal], [], [], 30)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    assert process.wait(timeout=20) == 0
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    assert "emulated: person" in text
    assert "truth:" in text
    assert re.search(r"imu +ok", text)
    assert "window_end_ns" not in text


def test_a_second_ctrl_c_ends_a_run_at_once() -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop = stop_on_signals()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
