"""Runs as a service meets them: restarts, signals, stalls, full disks and files that others touch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import psutil
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Run = Callable[..., Any]
Samples = Callable[..., List[Sample]]


@pytest.fixture
def bundle(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


@pytest.fixture
def kept(tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples) -> Path:
    """A recording of four seconds of an IMU, made without recognising."""
    with RecordingWriter(tmp_path / "kept.mcap", {"imu": infos["imu"]}) as writer:
        for sample in samples("imu", 0, 4.2):
            writer.write(sample)
    return writer.path


def _command(bundle: Path, *words: object) -> List[str]:
    """A live run of the emulated IMU and radar in a process of its own."""
    rig = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", str(bundle)]
    return [sys.executable, "-m", "cosmo_runtime.runtime.cli", *rig, *map(str, words)]


def _wait_for(found: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_lines_are_appended_to_those_of_the_runs_before(cosmo: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    output = tmp_path / "lines"
    output.write_text('{"of": "another run"}\n')
    words = ["--sensors", "imu", "--bundle", bundle, "--replay", kept, "--speed", "max", "--output", output]
    assert (cosmo(*words).code, cosmo(*words).code) == (0, 0)
    first, *lines = map(json.loads, output.read_text().splitlines())
    assert first == {"of": "another run"}
    assert [line["sequence"] for line in lines] == [*range(7), *range(7)]


def test_a_run_without_a_window_says_what_was_lacking_and_fails(
    cosmo: Run, bundle: Path, infos: Dict[str, SensorInfo], samples: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "no-rate.mcap"
    with RecordingWriter(path, {name: infos[name] for name in ("imu", "radar")}) as writer:
        for sample in samples("imu", 0, 4.2):
            sample.data[3:6] = float("nan")
            writer.write(sample)
    figures = tmp_path / "figures.json"
    words = ["--sensors", "imu,radar", "--bundle", bundle, "--replay", path, "--speed", "max", "--summary", figures]
    done = cosmo(*words)
    assert done.code == 1
    assert "no window could be recognised: imu: no angular rate; radar: no samples" in done.err
    assert "7 windows lost: no sensor had enough data in them" in done.err
    (line,) = done.lines
    assert line["activity"] is None
    assert line["sensors"] == {"imu": "absent", "radar": "absent"}
    assert line["windows_lost"] == {"empty": 7, "outdated": 0, "refused": 0}
    assert json.loads(figures.read_text())["windows_lost"]["empty"] == 7


def test_a_recording_whose_messages_bring_no_sample_is_no_success(
    cosmo: Run, bundle: Path, infos: Dict[str, SensorInfo], tmp_path: Path
) -> None:
    path = tmp_path / "empty.mcap"
    with RecordingWriter(path, {"imu": infos["imu"]}) as writer:
        writer.write_json("/predictions", 1, {})
    done = cosmo("--sensors", "imu", "--bundle", bundle, "--replay", path, "--speed", "max")
    assert (done.code, "no window could be recognised: imu: no samples" in done.err) == (1, True)


def test_no_recording_is_begun_when_the_lines_cannot_be_written(cosmo: Run, bundle: Path, tmp_path: Path) -> None:
    rig = ["--sensors", "imu", "--bundle", bundle, "--emulate", "person", "--duration", 1]
    recording = tmp_path / "new.mcap"
    done = cosmo(*rig, "--record", recording, "--output", "/nowhere/lines")
    assert (done.code, "/nowhere/lines: No such file" in done.err) == (1, True)
    assert not recording.exists()


@pytest.mark.slow
def test_the_same_words_again_record_beside_what_is_there(cosmo: Run, bundle: Path, tmp_path: Path) -> None:
    rig = ["--sensors", "imu", "--emulate", "person", "--duration", 2.5]
    paths = [tmp_path / name for name in ("run.mcap", "run-2.mcap", "run-3.mcap")]
    for path in paths[:2]:
        done = cosmo(*rig, "--bundle", bundle, "--record", paths[0])
        assert done.code == 0, done.err
        assert not Recording(path).cut
    done = cosmo("record", *rig, paths[0])
    assert done.code == 0, done.err
    assert f"{paths[0]} already exists. This run is recorded to {paths[2]}" in done.err
    assert sorted(tmp_path.glob("*.mcap")) == sorted(paths)


def test_two_runs_never_write_to_one_file(cosmo: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    output = tmp_path / "lines"
    process = subprocess.Popen(_command(bundle, "--output", output), stderr=subprocess.DEVNULL)
    try:
        _wait_for(lambda: output.exists() and output.stat().st_size > 0)
        replay = ["--sensors", "imu", "--bundle", bundle, "--replay", kept, "--speed", "max", "--output", output]
        done = cosmo(*replay)
        assert (done.code, f"--output {output}: another run writes its lines there" in done.err) == (1, True)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert [json.loads(line)["sequence"] for line in output.read_text().splitlines()]
    assert cosmo(*replay).code == 0


def test_a_recording_that_is_deleted_under_the_run_is_said(bundle: Path, tmp_path: Path) -> None:
    recording = tmp_path / "run.mcap"
    command = _command(bundle, "--record", recording, "--output", "-")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stdout.readline()
    recording.unlink()
    assert any(f"{recording} was deleted while it is written" in line.decode() for line in process.stderr)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{recording} was deleted while it was being written. Nothing of this run is left" in err.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_that_still_connects(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    hanging = """
import sys
from cosmo_runtime.sensors.imu.driver import Imu
def connect(self):
    print("connects", flush=True)
    while True:
        pass
Imu.connect = connect
from cosmo_runtime.runtime.cli import main
sys.exit(main())
"""
    (tmp_path / "cosmo.toml").write_text('[imu]\nport = "/dev/ttyNOWHERE"\n')
    words = ["--sensors", "imu", "--bundle", str(bundle), "--config", str(tmp_path / "cosmo.toml")]
    process = subprocess.Popen([sys.executable, "-c", hanging, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"connects\n"
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert b"Traceback" not in err


@pytest.mark.slow
def test_a_process_that_is_stopped_for_three_seconds_loses_no_window_and_no_sensor(bundle: Path) -> None:
    process = subprocess.Popen(
        _command(bundle, "--output", "-", "--duration", 9), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    messages = [json.loads(line) for line in [*lines, *out.splitlines()]]
    ends = [message["window_end_ns"] for message in messages]
    assert {after - before for before, after in zip(ends, ends[1:])} == {500_000_000}
    assert [message["sequence"] for message in messages] == list(range(len(messages)))
    assert all("lost" not in message["sensors"].values() for message in messages)
    assert b"is lost" not in err
    assert messages[-1]["windows_lost"] == {"empty": 0, "outdated": 0, "refused": 0}


@pytest.mark.slow
def test_windows_of_a_long_stop_are_counted_in_lines_and_summary(bundle: Path, tmp_path: Path) -> None:
    figures, recording = tmp_path / "figures.json", tmp_path / "run.mcap"
    words = ["--output", "-", "--duration", 20, "--summary", figures, "--record", recording]
    process = subprocess.Popen(_command(bundle, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGSTOP)
    time.sleep(12)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    messages = [json.loads(line) for line in [*lines, *out.splitlines()]]
    ends = [message["window_end_ns"] for message in messages]
    missing = sum(round((after - before) / 5e8) - 1 for before, after in zip(ends, ends[1:]))
    assert missing > 10
    lost = messages[-1]["windows_lost"]
    assert lost["empty"] + lost["outdated"] == missing
    assert json.loads(figures.read_text())["windows_lost"] == lost
    assert b"this machine cannot keep up" in err
    replay = ["--sensors", "imu,radar", "--bundle", str(bundle), "--replay", str(recording), "--speed", "max"]
    again = subprocess.run([sys.executable, "-m", "cosmo_runtime.runtime.cli", *replay], capture_output=True)
    assert again.returncode == 0, again.stderr
    assert f"bit for bit: {len(messages)} of {len(messages)}" in again.stderr.decode()
    assert len(again.stdout.splitlines()) == len(messages) + lost["outdated"]


@pytest.mark.slow
def test_a_rig_that_stalls_is_said_at_once_and_again(bundle: Path) -> None:
    process = subprocess.Popen(
        _command(bundle, "--output", "-", "--duration", 22), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(3)]
    (rig,) = [
        child for child in psutil.Process(process.pid).children() if "emulation.devices" in " ".join(child.cmdline())
    ]
    rig.suspend()
    time.sleep(15)  # said when they are lost, and ten seconds later
    rig.resume()
    out, err = process.communicate(timeout=40)
    messages = [json.loads(line) for line in [*lines, *out.splitlines()]]
    silent = [message for message in messages if message["activity"] is None]
    assert len(silent) == 2
    assert silent[0]["sensors"] == silent[1]["sensors"] == {"imu": "lost", "radar": "lost"}
    assert messages[-1]["activity"] is not None
    assert messages[-1]["windows_lost"]["empty"] > 10
    said = err.decode()
    for words in "imu is lost: ", "radar is lost: ", "imu is back", "radar is back":
        assert said.count(words) == 1
    assert said.count("nothing is recognised: imu: lost") == 2
