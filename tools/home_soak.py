"""Runs everything that a home has, breaks one thing after another, and says what was lost.

    mount -t tmpfs -o size=3g tmpfs DISK        # a small disk that may be filled
    python tools/home_soak.py DISK --minutes 60 --json FILE.json

An emulated rig recognises, records segments with ``--keep``, keeps episodes, raises alarms with clips, tells a real
broker (mosquitto), serves figures and a page that is open in Chromium. Every ten minutes each cable is pulled for 10 s,
the broker is killed for a minute, the disk is full for a minute, and the process stands still for 30 s.

A window is lost if no prediction came for it; of a fault, if it ends before the fault is over by 15 s.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Set, Tuple

import psutil
from paho.mqtt import client as mqtt

from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.sensors.config import SHORT_FORM
from cosmo_runtime.tools.measure.home import lost, memory, unheard

_CONFIG = """
[mqtt]
host = "127.0.0.1"
port = {port}
device = "soak"

[[alarms]]
name = "fall"
activity = "fall"
held_s = 2
clip = true
"""
_TOPICS = ("episodes", "alarms")
_PICTURES = "Number(document.querySelector('[data-sensor=depth] canvas')?.dataset.pictures ?? -1)"
_CYCLE_S = 600.0
_LOOK_S = 10.0
_CLIP_S = 150.0  # a clip of this age is complete; the tool deletes it, as `purge` does after days
_CHARGE_B = 2**24
_AS_A_SERVICE = {"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_ARENA_MAX": "2"}  # as docs/cosmo-runtime@.service has it


class Fault(NamedTuple):
    name: str
    at_s: float  # in the cycle
    for_s: float
    begin: Callable[[], object]
    end: Callable[[], object]


class Box:
    """A device in a home: the run in a process of its own, its broker, and a tab that shows its page."""

    def __init__(self, disk: Path, out: Path, keep: str) -> None:
        self.disk, self.out = disk, out
        self._ports = [_free_port() for _ in range(3)]
        broker, metrics, page = self._ports
        (out / "cosmo.toml").write_text(_CONFIG.format(port=broker))
        (out / "mosquitto.conf").write_text(
            f"user root\nlistener {broker} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {out}/\nautosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n"
        )
        self.start_broker()
        self.heard: Set[int] = set()
        self._listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "soak", clean_session=False)
        self._listener.on_connect = lambda client, *_: client.subscribe([(f"cosmo/soak/{t}", 1) for t in _TOPICS])
        self._listener.on_message = lambda *arguments: self.heard.add(json.loads(arguments[2].payload)["id"])
        self._listener.reconnect_delay_set(1, 1)
        self._listener.connect("127.0.0.1", broker)
        self._listener.loop_start()
        words = [
            *("--sensors", ",".join(SHORT_FORM), "--emulate", "person:31", "--bundle", SIMULATED_BUNDLE),
            *("--config", out / "cosmo.toml", "--home", disk / "home", "--record", disk / "run", "--keep", keep),
            *("--output", out / "lines.jsonl", "--summary", out / "summary.json"),
            *("--metrics", f"127.0.0.1:{metrics}", "--web", "--listen", f"127.0.0.1:{page}", "--recordings", disk),
        ]
        self.page = f"http://localhost:{page}/"
        self._metrics = f"http://127.0.0.1:{metrics}/metrics"
        self.run = subprocess.Popen(
            [sys.executable, __file__, "--here", *map(str, words)],
            env={**os.environ, **_AS_A_SERVICE},
            stdin=subprocess.PIPE,
            stderr=(out / "said.txt").open("w"),
            text=True,
        )

    def start_broker(self) -> None:
        self._broker = subprocess.Popen(
            ["mosquitto", "-c", str(self.out / "mosquitto.conf")], stderr=subprocess.DEVNULL
        )
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._ports[0])) == 0:
                    return
            time.sleep(0.1)

    def kill_broker(self) -> None:
        self._broker.kill()
        self._broker.wait()

    def cable(self, command: str) -> Callable[[], None]:
        def tell() -> None:
            assert self.run.stdin
            print(command, file=self.run.stdin, flush=True)

        return tell

    def signal(self, number: int) -> Callable[[], None]:
        return lambda: self.run.send_signal(number)

    def fill(self) -> None:
        """Leaves not one byte."""
        with (self.disk / "filler").open("wb", buffering=0) as filler:
            charge = _CHARGE_B
            while charge:
                try:
                    os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), charge)
                except OSError:
                    charge //= 2

    def free(self) -> None:
        (self.disk / "filler").unlink()

    def tidy_clips(self) -> int:
        """Deletes complete clips; returns how many."""
        old = [clip for clip in self.disk.glob("home/clips/*.mcap") if time.time() - clip.stat().st_mtime > _CLIP_S]
        for clip in old:
            clip.unlink()
        return len(old)

    def look(self) -> Dict[str, float]:
        """Memory of the run's process and its children, and what its own figures say."""
        process = psutil.Process(self.run.pid)
        children = process.children(recursive=True)
        with urllib.request.urlopen(self._metrics, timeout=5) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines()]
        figures = {words[0]: float(words[1]) for words in lines if len(words) == 2 and words[0] != "#"}
        memory, clips_mb = process.memory_info(), figures.get("cosmo_clips_memory_bytes", 0.0) / 1e6
        run_mb, files_mb = memory.rss / 1e6, memory.shared / 1e6
        return {
            "run_mb": round(run_mb, 1),
            "clips_mb": round(clips_mb, 1),
            "files_mb": round(files_mb, 1),
            "own_mb": round(run_mb - files_mb - clips_mb, 1),
            "children_mb": round(sum(child.memory_info().rss for child in children) / 1e6, 1),
            "threads": process.num_threads(),
            "files": process.num_fds(),
            "age_s": figures.get("cosmo_last_prediction_age_seconds", -1.0),
        }

    def close(self) -> int:
        """Ends the run; returns its exit code."""
        self.run.send_signal(signal.SIGINT)
        code = self.run.wait(60)
        time.sleep(2)
        self._listener.loop_stop()
        self.kill_broker()
        return code


def soak(box: Box, page: Any, minutes: float) -> Tuple[List[Dict[str, float]], List[Dict[str, Any]]]:
    """Breaks one thing after another. Returns what was seen every ten seconds, and the faults with their times."""
    pulls = [
        Fault(f"{name} pulled", 60 + 30 * number, 10, box.cable(f"unplug {name}"), box.cable(f"plug {name}"))
        for number, name in enumerate(SHORT_FORM)
    ]
    faults = [
        *pulls,
        Fault("broker killed", 180, 60, box.kill_broker, box.start_broker),
        Fault("disk full", 300, 60, box.fill, box.free),
        Fault("process stopped", 420, 30, box.signal(signal.SIGSTOP), box.signal(signal.SIGCONT)),
    ]
    steps = sorted(
        step
        for cycle in range(int(60 * minutes // _CYCLE_S))
        for number, fault in enumerate(faults)
        for step in (
            (cycle * _CYCLE_S + fault.at_s, number, True),
            (cycle * _CYCLE_S + fault.at_s + fault.for_s, number, False),
        )
    )
    looks: List[Dict[str, float]] = []
    done: List[Dict[str, Any]] = []
    began = time.monotonic()
    clips = 0
    while time.monotonic() - began < 60 * minutes and box.run.poll() is None:
        now_s = time.monotonic() - began
        while steps and steps[0][0] <= now_s:
            _, number, begins = steps.pop(0)
            fault = faults[number]
            (fault.begin if begins else fault.end)()
            if begins:
                done.append({"fault": fault.name, "begin_ns": time.monotonic_ns()})
            else:
                next(one for one in done[::-1] if one["fault"] == fault.name)["end_ns"] = time.monotonic_ns()
        standing = bool(done) and done[-1]["fault"] == "process stopped" and "end_ns" not in done[-1]
        if not standing and now_s - (looks[-1]["s"] if looks else -_LOOK_S) >= _LOOK_S:
            clips += box.tidy_clips()
            try:
                seen = {**box.look(), "pictures": float(page.evaluate(_PICTURES)), "clips": clips}
            except Exception as error:  # a page or figures that do not answer are a finding
                seen = {"age_s": -1.0, "pictures": -1.0, "clips": clips}
                print(f"{now_s:.0f} s: {error!r}", flush=True)
            looks.append({"s": round(now_s, 1), **seen})
            if len(looks) % 6 == 1:
                print(json.dumps(looks[-1]), flush=True)
        page.wait_for_timeout(500)
    return looks, done


def run_here(words: List[str]) -> None:
    """The run itself, whose cables obey lines on standard input."""
    from cosmo_runtime.runtime.cli import main as command
    from cosmo_runtime.sensors.emulation.rig import EmulatedRig

    enter = EmulatedRig.__enter__

    def entered(rig: EmulatedRig) -> EmulatedRig:
        def obey() -> None:
            for line in sys.stdin:
                what, name = line.split()
                {"plug": rig.plug, "unplug": rig.unplug}[what](name)

        enter(rig)
        threading.Thread(target=obey, daemon=True).start()
        return rig

    EmulatedRig.__enter__ = entered  # type: ignore[method-assign]
    sys.exit(command(words))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    if sys.argv[1:2] == ["--here"]:
        run_here(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("disk", type=Path, help="an empty folder on a small disk of its own; it will be filled")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--keep", default="1GB", help="as of a run (default: 1GB)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    out = Path(tempfile.mkdtemp(prefix="home-soak-"))
    print(f"lines, messages and summary: {out}", flush=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        box = Box(options.disk, out, options.keep)
        page = browser.new_page()
        complaints: List[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for _ in range(120):
            try:
                page.goto(box.page)
                break
            except Exception:  # it does not listen yet
                time.sleep(0.5)
        page.wait_for_selector("#activity:not(.silent)", timeout=120_000)
        looks, faults = soak(box, page, options.minutes)
        died = box.run.poll()
        code = box.close() if died is None else died
        browser.close()
    from cosmo_runtime.models.bundle import load_bundle

    report = {
        "minutes": options.minutes,
        "ended_by_itself": died,
        "exit_code": code,
        **lost(out / "lines.jsonl", faults, load_bundle(SIMULATED_BUNDLE).spec.hop_ns),
        "log": unheard(options.disk / "home", box.heard),
        "memory": memory(looks),
        "page_errors": complaints,
        "recordings": json.loads((out / "summary.json").read_text()).get("recordings"),
        "said": [line for line in (out / "said.txt").read_text().splitlines() if "recording" in line],
        "faults": faults,
        "looks": looks,
    }
    print(json.dumps({key: value for key, value in report.items() if key not in ("looks", "faults")}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
