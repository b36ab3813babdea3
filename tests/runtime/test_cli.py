"""The command line as people and programs meet it, on the emulated rig."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from serial.tools import list_ports

from cosmo_runtime.models.bundle import write_bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]
_ALL = "imu,depth,radar"

Run = Callable[..., Any]


def _command(bundle: Path, *words: object) -> List[str]:
    """A live run of the emulated IMU and radar in a process of its own."""
    rig = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", str(bundle)]
    return [sys.executable, "-m", "cosmo_runtime.runtime.cli", *rig, *map(str, words)]


@pytest.mark.parametrize(
    "words, wrong",
    [
        ("--sensors imu --bundle {bundle} --emulate dog", "--emulate: 'dog': expected person"),
        ("record --sensors imu --emulate person:x x.mcap", "--emulate: 'person:x': expected person"),
        ("", "--sensors"),
        ("--sensors imu,sonar", "knows no sensor sonar; it knows imu, depth, radar"),
        ("--sensors ,", "','"),
        ("--sensors imu,radar,imu", "'imu,radar,imu': name each sensor once"),
        (
            "recrod x.mcap",
            "no command 'recrod'; did you mean record? (there are: record, episodes, alarms, status, ",
        ),
        ("x.mcap", "no command 'x.mcap' (there are: record"),
        ("--sensors imu --emualte person", "unrecognized arguments: --emualte person; did you mean --emulate?"),
        ("doctor --bundel x", "unrecognized arguments: --bundel x; did you mean --bundle?"),
        ("--sensors imu --duration soon", "'soon': expected a number of seconds above 0"),
        ("--sensors imu --duration 0", "'0'"),
        ("--sensors imu --duration nan", "'nan'"),
        ("--sensors imu --duration inf", "'inf': expected a number of seconds above 0"),
        ("--sensors imu --duration 1e300", "at most 1e9"),
        ("record --sensors imu --rest inf x.mcap", "'inf'"),
        ("--sensors imu --emulate person --bundle {bundle} --at-least 2", "--at-least 2: --sensors names only 1"),
        ("record --sensors imu --consent-until 2020-01-01 x.mcap", "'2020-01-01' is in the past; give"),
        ("--sensors imu --speed 3", "--speed"),
        ("--sensors imu --speed max --bundle {bundle}", "--speed needs --replay"),
        ("--sensors imu --replay x.mcap --emulate person --bundle {bundle}", "--replay cannot be used with"),
        ("--sensors imu --replay x.mcap --record y.mcap --bundle {bundle}", "--replay cannot be used with"),
        ("--sensors depth --replay {kept} --bundle {bundle}", "has none of them; it has imu, radar"),
        ("record --sensors imu", "FILE.mcap"),
        ("doctor --sensors imu,Sonar!", "expected sensor names in lower case, separated by commas"),
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

    alone = spec.model_copy(update={"modalities": spec.modalities[:1], "quality": (1.0,)})
    path = tmp_path / "imu-only"
    write_bundle(path, alone, onnx=tiny_onnx.read_bytes(), weights=b"", provenance={}, metrics={})
    done = cosmo("--sensors", _ALL, "--bundle", path)
    assert done.code == 2
    assert f"the model {path.name} knows no sensor depth, radar; it knows imu" in done.err


@pytest.mark.parametrize(
    "words, wrong",
    [
        ("--sensors imu --config {tmp}/none.toml", "none.toml: cannot be read (No such file or directory)"),
        ("--sensors imu --bundle {tmp}/none", "none/model.json not found"),
        ("--sensors imu --bundle {bundle} --replay {tmp}/none.mcap", "none.mcap cannot be read"),
        ("--sensors imu --bundle {bundle} --replay {bundle}/model.json", "model.json is not an MCAP file"),
        ("--sensors imu --replay {kept} --bundle {bundle} --output /nowhere/lines", "--output /nowhere/lines: No such"),
        ("--sensors imu --replay {kept} --bundle {bundle} --summary /nowhere/x.json", "there is no folder /nowhere"),
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


def test_the_version_is_that_of_the_package(cosmo: Run) -> None:
    done = cosmo("--version")
    assert (done.code, done.out) == (0, f"cosmo-runtime {version('cosmo-runtime')}\n")


@pytest.mark.parametrize("command", ["pretrain person --out out", "finetune --labels labels.csv"])
def test_training_without_its_extra_says_how_to_get_it(command: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from cosmo_runtime.runtime.cli import finetune, main; "
        "finetune.read_labels = lambda *_: {}; sys.exit(main())"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)

    done = run(*command.split())
    assert done.returncode == 1
    assert "pip install 'cosmo-runtime[train]'" in done.stderr
    assert run(command.split()[0], "--help").returncode == 0


def test_sensors_that_are_not_there_fail_fast_with_what_was_looked_for_and_what_to_try(
    cosmo: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    began = time.monotonic()
    done = cosmo("--sensors", "imu,radar", "--bundle", bundle)
    assert time.monotonic() - began < 30
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


def test_a_live_run_brings_json_lines_and_its_recording_replays_bit_for_bit(
    cosmo: Run, bundle: Path, tmp_path: Path
) -> None:
    recording = tmp_path / "run.mcap"
    rig = ["--sensors", _ALL, "--bundle", bundle]
    live = cosmo(*rig, "--emulate", "person", "--duration", 4, "--output", "-", "--record", recording)
    assert live.code == 0, live.err
    assert len(live.lines) >= 3
    ends = [json.loads(line)["window_end_ns"] for line in live.out.splitlines()]
    assert ends == sorted(ends)
    for line in map(json.loads, live.out.splitlines()):
        assert set(line) - {"reason"} == {  # a busy machine may show nobody for a moment, and then the line says why
            *("time", "window_end_ns", "bundle", "activity", "confidence", "probabilities", "weights"),
            *("sensors", "latency_ms", "engine_ms", "truth", "sequence", "losses", "windows_lost", "lines_lost"),
        }
        assert set(line["sensors"]) == {"imu", "depth", "radar"}
        assert 0 < line["engine_ms"] <= line["latency_ms"]
        assert abs(sum(line["probabilities"].values()) - 1) < 0.01
    seen = {item for line in live.lines for item in line["sensors"].items()}
    assert {("depth", "ok"), ("radar", "ok")} <= seen  # on a busy machine not in one line
    assert {("imu", "ok"), ("imu", "not worn")} & seen

    again = cosmo(*rig, "--replay", recording, "--speed", "max", "--output", "-")
    assert again.code == 0, again.err
    assert f"bit for bit: {len(live.lines)} of {len(live.lines)}" in again.err

    def without_time(lines: List[Dict[str, object]]) -> List[Dict[str, object]]:
        return [{key: value for key, value in line.items() if key != "time"} for line in lines]

    assert without_time(again.lines) == without_time(live.lines)


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(other, marks=pytest.mark.slow) for other in (signal.SIGINT, signal.SIGHUP))],
)
def test_a_signal_ends_a_run_whole(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    recording = tmp_path / "run.mcap"
    process = subprocess.Popen(
        _command(bundle, "--record", recording, "--output", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()  # it runs
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
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
        [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()  # of the window that ends after 1 s
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=60)
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
    assert process.wait(timeout=60) == 0, err
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


@pytest.mark.slow
def test_a_reader_that_stops_reading_costs_lines_and_no_window(bundle: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    reader, writer = os.pipe()
    fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ: some five lines fit
    words = _command(bundle, "--output", "-", "--duration", 8, "--summary", figures)
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    os.close(reader)
    assert done.returncode == 1
    assert b"JSON lines is still busy 5 s after the end of the run" in done.stderr
    assert b"JSON lines: the last lines could not be written" in done.stderr
    summary = json.loads(figures.read_text())
    assert summary["windows"] >= 10
    assert summary["windows_lost"]["outdated"] == 0
    assert summary["latency_ms"]["p50"] < 500  # a loop that waits for the pipe comes seconds late
    assert summary["sinks"]["JSON lines"]["dropped"]["outcome"] >= 3


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
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    assert "emulated: person" in text
    assert "truth:" in text
    assert re.search(r"imu +ok", text)
    assert "window_end_ns" not in text
