"""Single keys, pressed on a pseudo-terminal as a person presses them."""

from __future__ import annotations

import csv
import fcntl
import os
import pty
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from cosmo_runtime.runtime.cli.keys import Keys

ICANON_AND_ECHO = termios.ICANON | termios.ECHO
READER = """
from cosmo_runtime.runtime.cli.keys import Keys
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
with Keys() as keys:
    print("ready", flush=True)
    pressed = ""
    while not pressed.endswith("e"):
        pressed += keys.pressed()
        time.sleep(0.01)
print("pressed", repr(pressed), flush=True)
"""


@contextmanager
def at_a_terminal(words: List[str]) -> Iterator[Tuple[subprocess.Popen, int]]:
    """Runs a command in the foreground of a terminal of its own; yields it, and the keyboard and screen in one."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
    )
    try:
        yield process, ours  # our hold on their end keeps the terminal's state after the command
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def _read_until(screen: int, *texts: str) -> str:
    """What is shown until a text is."""
    shown, deadline = "", time.monotonic() + 60
    os.set_blocking(screen, False)
    while not any(text in shown for text in texts):
        assert time.monotonic() < deadline, shown[-2000:]
        try:
            shown += os.read(screen, 65536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.02)
    return shown


def _line_mode(terminal: int) -> int:
    flags: int = termios.tcgetattr(terminal)[3]
    return flags & ICANON_AND_ECHO


def test_keys_come_without_enter_and_the_terminal_is_as_before_afterwards() -> None:
    with at_a_terminal(["-c", READER]) as (process, terminal):
        _read_until(terminal, "ready")
        assert _line_mode(terminal) == 0
        for key in "r", "s", "é", " ", "e":
            os.write(terminal, key.encode())
        assert "pressed 'rsé e'" in _read_until(terminal, "pressed '")
        assert process.wait(60) == 0
        assert _line_mode(terminal) == ICANON_AND_ECHO


def test_ctrl_c_stays_what_it_is() -> None:
    with at_a_terminal(["-c", READER]) as (process, terminal):
        _read_until(terminal, "ready")
        os.write(terminal, b"\x03")
        assert "KeyboardInterrupt" in _read_until(terminal, "KeyboardInterrupt")
        assert process.wait(60) != 0
        assert _line_mode(terminal) == ICANON_AND_ECHO


def test_where_no_terminal_is_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, b"e")
    with os.fdopen(read) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with Keys() as keys:
            assert keys.pressed() == ""
        assert pipe.read(1) == "e"  # what is piped in is left alone
        os.close(write)


@pytest.mark.slow
def test_the_last_activity_is_repeated_and_the_next_one_skipped_by_keys(tmp_path: Path) -> None:
    activities = tmp_path / "activities.txt"
    activities.write_text("wave, 1, 1\nwalk, 1, 1\nsit, 1, 1\n")
    file = tmp_path / "session.mcap"
    words = ["-m", "cosmo_runtime.runtime.cli", "record", "--sensors", "imu", "--emulate", "person"]
    words += ["--prompt", str(activities), "--rest", "2", str(file)]
    with at_a_terminal(words) as (process, terminal):
        _read_until(terminal, "2 of 3")  # wave was done
        os.write(terminal, b"r")
        _read_until(terminal, "1 of 3")
        _read_until(terminal, "2 of 3")  # and once more
        os.write(terminal, b"s")
        _read_until(terminal, "3 of 3")
        os.write(terminal, b"e")
        _read_until(terminal, "labels of")
        assert process.wait(60) == 0
    ((start, _, activity),) = csv.reader((tmp_path / "session.csv").read_text().splitlines()[2:])
    assert activity == "wave"
    assert float(start) > 4  # the first one, after 2 s, was taken back
