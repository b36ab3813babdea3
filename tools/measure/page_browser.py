"""Starts a command that serves the page, and Debian's Chromium to open it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any, Iterator

COMMAND = [sys.executable, "-m", "cosmo_runtime.runtime.cli"]


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def served(*words: str, nice: int = 0) -> Iterator[tuple[subprocess.Popen, str]]:
    """Runs a command that serves the page. Yields its process and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["nice", "-n", str(nice), *COMMAND, *words, "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process, f"http://localhost:{port}/"
    finally:
        process.terminate()
        process.wait(30)
