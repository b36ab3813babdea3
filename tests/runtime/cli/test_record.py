"""Prompted recordings as people meet them, on the emulated rig."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, List

import pytest

from cosmo_runtime.runtime.cli import record
from cosmo_runtime.runtime.cli.common import TERMINAL
from cosmo_runtime.runtime.labels.table import read_labels
from cosmo_runtime.runtime.recognition.loop import Sink
from cosmo_runtime.runtime.sinks import view
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording

Run = Callable[..., Any]


@pytest.fixture
def activities(tmp_path: Path) -> Path:
    path = tmp_path / "activities.txt"
    path.write_text("wave, 1, 1\nwalk, 1, 1\nwave, 1, 1\nwalk, 1, 1\n")
    return path


def command(activities: Path, file: Path) -> List[str]:
    words = ["record", "--sensors", "imu", "--emulate", "person", "--prompt", activities, "--rest", 1, file]
    return [str(word) for word in words]


@pytest.mark.slow
def test_a_prompted_recording_has_the_labels_that_were_prompted(cosmo: Run, activities: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.mcap"
    done = cosmo(*command(activities, file))
    assert done.code == 0
    assert done.err.index("now: wave") < done.err.index("now: walk") < done.err.index("4 of 4: walk, in 1 s")
    assert f"{tmp_path}/session.csv: labels of 4 of 4 activities" in done.err
    assert "does not follow the prompt" in done.err
    assert "only once" not in done.err, "lines of one name count together"
    ((path, segments),) = read_labels(tmp_path / "session.csv").items()
    assert path == file
    assert [segment.activity for segment in segments] == ["wave", "walk", "wave", "walk"]
    recording = Recording(file)
    held = sum(isinstance(event, Sample) for event in recording.events())
    assert f" MB, samples: imu {held}\n" in done.err
    for segment in segments:
        assert segment.end_ns - segment.start_ns == pytest.approx(1e9, abs=4e8)
    assert (segments[-1].end_ns - recording.start_ns) / 1e9 == pytest.approx(recording.duration_s, abs=3)
    for before, after in zip(segments, segments[1:]):
        assert after.start_ns - before.end_ns == pytest.approx(1.5e9, abs=4e8)


def test_ctrl_c_keeps_what_was_done_and_a_terminal_shows_and_sounds_it(activities: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.mcap"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cosmo_runtime.runtime.cli", *command(activities, file)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(theirs)
    screen = b""
    try:
        while b"2 of 4" not in screen:
            screen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while True:
            screen += os.read(ours, 65536)
    except OSError:  # the other end has closed
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    shown = screen.decode(errors="replace")
    assert "begins in 1 s" in shown
    assert "then walk" in shown
    assert shown.count("\a") >= 2
    began, _, label = (tmp_path / "session.csv").read_text().splitlines()
    assert began.startswith("# recording began ")
    assert label.endswith(",wave")
    assert not Recording(file).cut


@pytest.mark.slow
def test_a_table_that_somebody_makes_meanwhile_stays(activities: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *command(activities, tmp_path / "session.mcap")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = []
        for line in process.stderr:
            said.append(line)
            if "1 of 4" in line:
                (tmp_path / "session.csv").write_text("mine")
    assert process.returncode == 0, said
    assert (tmp_path / "session.csv").read_text() == "mine"
    assert "It stays; the prompted labels are in session-prompted.csv.\n" in said[-2]
    assert f"{tmp_path}/session-prompted.csv: labels of 4 of 4 activities" in said[-1]


@pytest.mark.parametrize("words", [["record"], ["--record"]])
def test_the_screen_is_closed_even_if_the_recording_cannot_be(
    cosmo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: List[str]
) -> None:
    class View(Sink):
        closed = False

        def close(self) -> None:
            View.closed = True

    monkeypatch.setattr(type(TERMINAL), "is_terminal", True)
    monkeypatch.setattr(record, "LiveView", lambda *_: View())
    monkeypatch.setattr(view, "LiveView", lambda *_: View())
    monkeypatch.setattr(RecordingSink, "close", lambda self: 1 / 0)
    rig = ["--sensors", "imu", "--emulate", "person", "--duration", "0.5"]
    with suppress(ZeroDivisionError):
        cosmo(*words, tmp_path / "run.mcap", *rig)
    assert View.closed


def test_nothing_done_leaves_no_labels(cosmo: Run, activities: Path, tmp_path: Path) -> None:
    done = cosmo(*command(activities, tmp_path / "session.mcap"), "--duration", "0.5")
    assert done.code == 0
    assert "no activity was completed, so there are no labels" in done.err
    assert not (tmp_path / "session.csv").exists()


@pytest.mark.parametrize("prompted", [False, True])
def test_a_new_recording_does_not_adopt_the_labels_of_an_older_one(
    cosmo: Run, activities: Path, tmp_path: Path, prompted: bool
) -> None:
    (tmp_path / "session.csv").write_text("mine")
    words = command(activities, tmp_path / "session.mcap")
    at = words.index("--prompt")
    done = cosmo(*(words if prompted else words[:at] + words[-1:]), "--duration", "0.5")
    assert done.code == 0, done.err
    free = tmp_path / "session-2.mcap"
    assert f"{tmp_path}/session.csv already exists. This run is recorded to {free}" in done.err
    assert (tmp_path / "session.csv").read_text() == "mine"
    assert list(tmp_path.glob("*.mcap")) == [free]


def test_wrong_usage(cosmo: Run, activities: Path, tmp_path: Path) -> None:
    done = cosmo(*command(activities, tmp_path / "session.csv"))
    assert done.code == 2
    assert "session.csv': a recording is a file that ends in .mcap, or a folder without a dot in its name" in done.err
    done = cosmo("record", "--sensors", "imu", "--rest", "2", tmp_path / "x.mcap")
    assert (done.code, "--rest needs --prompt" in done.err) == (2, True)
    activities.write_text("wave\n")
    done = cosmo(*command(activities, tmp_path / "session.mcap"))
    assert done.code == 1
    assert "line 1: 'wave' does not have the form: activity, seconds, times" in done.err


@pytest.mark.parametrize("closed", [False, True])
def test_a_prompt_that_nobody_could_see_is_refused(activities: Path, tmp_path: Path, closed: bool) -> None:
    file = tmp_path / "session.mcap"
    words = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *command(activities, file)]
    streams: Any = {"preexec_fn": lambda: os.close(2)} if closed else {"stderr": subprocess.DEVNULL}
    assert subprocess.run(words, stdout=subprocess.DEVNULL, **streams).returncode == 2
    assert not file.exists()


def test_a_dumb_terminal_is_told_line_by_line(activities: Path, tmp_path: Path) -> None:
    activities.write_text("wave, 1, 1\n")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *command(activities, tmp_path / "session.mcap")]
    streams: Any = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen(words, env={**os.environ, "TERM": "dumb"}, **streams)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end has closed
        while True:
            shown += os.read(ours, 65536)
    os.close(ours)
    assert process.wait(60) == 0
    assert shown.index(b"1 of 1: wave, in 1 s") < shown.index(b"now: wave") < shown.index(b"stop")
    assert b"\x1b" not in shown
