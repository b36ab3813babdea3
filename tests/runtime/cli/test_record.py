"""Prompted recordings as people meet them, on the emulated rig."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List

import pytest

from runtime.session import read_labels
from sensors.recording import Recording

Run = Callable[..., Any]


@pytest.fixture
def activities(tmp_path: Path) -> Path:
    path = tmp_path / "activities.txt"
    path.write_text("wave, 1, 2\nwalk, 1, 2\n")
    return path


def command(activities: Path, file: Path) -> List[str]:
    words = ["record", "--sensors", "imu", "--emulate", "person", "--prompt", activities, "--rest", 1, file]
    return [str(word) for word in words]


def test_a_prompted_recording_has_the_labels_that_were_prompted(cosmo: Run, activities: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.mcap"
    done = cosmo(*command(activities, file))
    assert done.code == 0
    assert done.err.index("now: wave") < done.err.index("now: walk") < done.err.index("4 of 4: walk, in 1 s")
    assert f"{tmp_path}/session.csv: labels of 4 of 4 activities" in done.err
    assert "does not follow the prompt" in done.err
    ((path, segments),) = read_labels(tmp_path / "session.csv").items()
    assert path == file
    assert [segment.activity for segment in segments] == ["wave", "walk", "wave", "walk"]
    recording = Recording(file)
    for segment in segments:
        assert segment.end_ns - segment.start_ns == pytest.approx(1e9, abs=1e8)
    assert (segments[-1].end_ns - recording.start_ns) / 1e9 == pytest.approx(recording.duration_s, abs=3)
    for before, after in zip(segments, segments[1:]):
        assert after.start_ns - before.end_ns == pytest.approx(1.5e9, abs=1e8)


def test_ctrl_c_keeps_what_was_done_and_a_terminal_shows_and_sounds_it(activities: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.mcap"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", *command(activities, file)],
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
    assert process.wait(10) == 0
    shown = screen.decode(errors="replace")
    assert "begins in 1 s" in shown
    assert "then walk" in shown
    assert shown.count("\a") >= 2
    assert (tmp_path / "session.csv").read_text().splitlines()[1].endswith(",wave")
    assert len((tmp_path / "session.csv").read_text().splitlines()) == 2
    assert not Recording(file).cut


def test_nothing_done_leaves_no_labels(cosmo: Run, activities: Path, tmp_path: Path) -> None:
    done = cosmo(*command(activities, tmp_path / "session.mcap"), "--duration", "0.5")
    assert done.code == 0
    assert "nothing was done to its end, so there are no labels" in done.err
    assert not (tmp_path / "session.csv").exists()


def test_labels_that_are_there_already_are_refused_before_anything_is_recorded(
    cosmo: Run, activities: Path, tmp_path: Path
) -> None:
    (tmp_path / "session.csv").write_text("mine")
    done = cosmo(*command(activities, tmp_path / "session.mcap"))
    assert done.code == 1
    assert f"{tmp_path}/session.csv exists already" in done.err
    assert (tmp_path / "session.csv").read_text() == "mine"
    assert not (tmp_path / "session.mcap").exists()


def test_wrong_usage(cosmo: Run, activities: Path, tmp_path: Path) -> None:
    done = cosmo(*command(activities, tmp_path / "session.csv"))
    assert done.code == 2
    assert "session.csv': the name of a recording ends in .mcap" in done.err
    done = cosmo("record", "--sensors", "imu", "--rest", "2", tmp_path / "x.mcap")
    assert (done.code, "--rest goes with --prompt only" in done.err) == (2, True)
    activities.write_text("wave\n")
    done = cosmo(*command(activities, tmp_path / "session.mcap"))
    assert done.code == 1
    assert "line 1: 'wave' is not of the form: activity, seconds, times" in done.err
