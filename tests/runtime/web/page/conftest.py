"""Debian's Chromium, the page in it, and an emulated rig."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

import pytest

from cosmo_runtime.runtime.labels.table import labels_beside, write_labels
from cosmo_runtime.runtime.labels.truth import Segment, TruthLine
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Sample, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from tests.free_port import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
Page = Any
OpenTab = Callable[..., Page]
WAIT_MS = 180_000  # a busy machine takes longer than a minute to a page


@pytest.fixture(scope="module")  # while it is open, nothing else in this thread may run an event loop
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="a browser is driven by playwright: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser: Any) -> Iterator[Callable[..., Page]]:
    """Opens tabs. Whatever one complains of in its console fails the test, and so does a request to another host."""
    complaints: List[str] = []
    contexts = []

    def open_one(
        url: str, width: int = 1200, height: int = 900, scheme: str = "light", zone: Optional[str] = None
    ) -> Page:
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, timezone_id=zone)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: _note(message, complaints))
        page.on("request", lambda request: _check_host(request.url, url, complaints))
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


# what Chromium says of a server that a test has killed: before, during or after the page asks it for something
_AWAY = re.compile("net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED|ABORTED)|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)")


def _note(message: Any, complaints: List[str]) -> None:
    if message.type in ("error", "warning") and not _AWAY.search(message.text) and "409" not in message.text:
        complaints.append(message.text)


def _check_host(asked: str, url: str, complaints: List[str]) -> None:
    if not asked.startswith(("blob:", "data:")) and re.split("[/#]", asked)[2] != re.split("[/#]", url)[2]:
        complaints.append(f"asked {asked}")


class Served:
    """``cosmo-runtime web`` in a process of its own, or ``cosmo-runtime --web``."""

    def __init__(self, recordings: Path, *words: str, command: str = "web") -> None:
        self.port = free_port()
        self.url = f"http://localhost:{self.port}/"
        self.words = [sys.executable, "-m", "cosmo_runtime.runtime.cli", command, "--listen", f"127.0.0.1:{self.port}"]
        self.words += ["--recordings", str(recordings), *words]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said: List[str] = []
        threading.Thread(target=self._listen, daemon=True).start()
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, "".join(self.said)
            time.sleep(0.1)

    def _listen(self) -> None:
        assert self.process.stderr
        self.said.extend(self.process.stderr)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        assert self.process.poll() is None, "".join(self.said)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


@pytest.fixture
def rig(recordings: Path) -> Iterator[Served]:
    served = Served(recordings, "--sensors", "imu,depth,radar", "--emulate", "person")
    yield served
    served.stop()


@pytest.fixture
def shelf_only(recordings: Path) -> Iterator[Served]:
    served = Served(recordings)
    yield served
    served.stop()


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 150 s of a person whom the shipped model has never met, and what was done in it."""
    from cosmo_runtime.sensors.emulation.motions import open_motion
    from cosmo_runtime.sensors.simulation import offline

    path = tmp_path_factory.mktemp("lived") / "lived.mcap"
    motion = open_motion("person:1000")
    shift_ns = time.monotonic_ns() - 150 * 10**9
    truths = TruthLine()
    with RecordingWriter(path, offline.infos_of(motion)) as writer:
        for event in offline.events(motion, 150, DepthConfig()):
            if isinstance(event, Sample):
                stamp_ns = event.stamp_ns + shift_ns
                event = Sample(event.sensor, stamp_ns, stamp_ns, event.data)
                while len(writer._queue) > 1000:
                    time.sleep(0.01)
            elif isinstance(event, Truth):
                event = Truth(event.stamp_ns + shift_ns, event.activity)
                truths.add(event)
            writer.write(event)
    assert writer.dropped == 0
    recording = Recording(path)
    rows = often(row for row in truths.segments() if row.start_ns >= recording.start_ns)
    write_labels(labels_beside(path), rows, recording)
    return path


def often(segments: Iterable[Segment]) -> List[Segment]:
    """Those of activities that were done more than once, as fine-tuning needs them."""
    rows = list(segments)
    names = [row.activity for row in rows]
    return [row for row in rows if names.count(row.activity) > 1]


def labels_of(path: Path) -> List[Tuple[float, float, str]]:
    with labels_beside(path).open() as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return [(float(row["start"]), float(row["end"]), row["activity"]) for row in rows]


def saved(page: Page) -> None:
    """Waits until all labels are saved."""
    page.wait_for_selector("#saved:text-is('saved')")


def wait_until_more(page: Page, number: str, than: float) -> None:
    """Waits until a number in the page is larger. The page's own policy forbids playwright's ``wait_for_function``."""
    end = time.monotonic() + WAIT_MS / 1000
    while page.evaluate(number) <= than:
        assert time.monotonic() < end, f"{number} is {page.evaluate(number)}"
        page.wait_for_timeout(50)


def go(page: Page, from_s: float, to_s: float) -> None:
    """Moves the playhead by keys, to a tenth of a second."""
    tenths = round((to_s - from_s) * 10)
    arrow = "ArrowRight" if tenths > 0 else "ArrowLeft"
    for key, times in ((f"Shift+{arrow}", abs(tenths) // 10), (arrow, abs(tenths) % 10)):
        for _ in range(times):
            page.keyboard.press(key)


def key_of(page: Page, activity: str) -> str:
    """The key that stands beside an activity."""
    return str(page.inner_text(f".palette [data-activity='{activity}'] kbd")).strip()
