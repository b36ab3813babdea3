"""A process under something that listens as systemd does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from cosmo_runtime.models.bundle import Bundle

_HANGS = """
import sys, time
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
whole, count = Recognizer.predict, 0
def predict(self, *arguments):
    global count
    count += 1
    if count == 6:
        time.sleep(3600)
    return whole(self, *arguments)
Recognizer.predict = predict
from cosmo_runtime.runtime.cli import main
sys.exit(main())
"""


class Systemd:
    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(0.1)
        self.heard: List[str] = []

    def listen(self, until: Callable[[], Any], timeout_s: float = 60) -> None:
        end = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < end, self.heard
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except socket.timeout:
                continue


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(tmp_path / "notify")
    yield listening
    listening.socket.close()


@pytest.fixture
def start(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Callable[..., subprocess.Popen]]:
    processes: List[subprocess.Popen] = []

    def run(code: str = "", watchdog_s: float = 2.0) -> subprocess.Popen:
        program = ["-c", code] if code else ["-m", "cosmo_runtime.runtime.cli"]
        words = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", str(tiny_bundle.path), "--output", "-"]
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        environment.pop("WATCHDOG_PID", None)
        processes.append(
            subprocess.Popen([sys.executable, *program, *words], stdout=subprocess.DEVNULL, env=environment)
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def test_a_service_is_ready_with_its_first_window_and_says_what_it_sees(systemd: Systemd, start: Any) -> None:
    process = start()
    systemd.listen(lambda: "READY=1" in systemd.heard and "WATCHDOG=1" in systemd.heard)
    status = next(line for line in systemd.heard if line.startswith("STATUS="))
    assert "imu " in status
    assert "radar " in status
    process.terminate()
    assert process.wait(60) == 0
    systemd.listen(lambda: "STOPPING=1" in systemd.heard)


@pytest.mark.slow
def test_a_loop_that_hangs_feeds_the_watchdog_no_more(systemd: Systemd, start: Any) -> None:
    start(_HANGS, watchdog_s=2.0)
    systemd.listen(lambda: "READY=1" in systemd.heard and "WATCHDOG=1" in systemd.heard)
    systemd.listen(lambda: not _recent(systemd))  # as systemd does, which then kills it


def _recent(systemd: Systemd) -> bool:
    """Whether the watchdog is fed within two seconds."""
    heard = systemd.heard.count("WATCHDOG=1")
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        try:
            systemd.heard += systemd.socket.recv(4096).decode().splitlines()
        except socket.timeout:
            continue
        if systemd.heard.count("WATCHDOG=1") > heard:
            return True
    return False
