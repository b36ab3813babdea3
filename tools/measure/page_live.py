"""Measures the cost of an open live page, by opening and closing it in turns during one run."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import psutil

from cosmo_runtime.tools.measure.page_browser import browser, served

_PHASE_S = 30.0
_SETTLE_S = 4.0  # at the start of each phase, not counted


def measure_live(minutes: float, nice: int) -> Dict[str, Any]:
    """Opens and closes the page in turns during one run, and compares the windows of both kinds of turn."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines.jsonl"
        words = ["--sensors", "imu,depth,radar", "--emulate", "person", "--web", "--output", str(lines)]
        with served(*words, "--recordings", folder, nice=nice) as (run, url), browser() as chromium:
            server = _server_of(run.pid, url)
            time.sleep(10)
            turns: List[Dict[str, Any]] = []
            for number in range(max(2, round(minutes * 60 / _PHASE_S / 2) * 2)):
                turns.append(_turn(chromium if number % 2 else None, url, psutil.Process(run.pid), server))
            answers = [json.loads(line) for line in lines.read_text().splitlines()]
    result: Dict[str, Any] = {"load_average": psutil.getloadavg()[0]}
    for is_open in False, True:
        these = [turn for turn in turns if turn["open"] is is_open]
        latency = [
            line["latency_ms"]
            for line in answers
            if line["activity"]
            for turn in these
            if turn["from_ns"] < line["window_end_ns"] < turn["to_ns"]
        ]
        result["open" if is_open else "closed"] = {
            "windows": len(latency),
            "latency_ms_p50": round(float(np.percentile(latency, 50)), 2),
            "latency_ms_p99": round(float(np.percentile(latency, 99)), 2),
            "recogniser_cpu_percent": round(float(np.mean([turn["run_cpu"] for turn in these])), 1),
            "server_cpu_percent": round(float(np.mean([turn["server_cpu"] for turn in these])), 1),
        }
    shown = [value for turn in turns for value in turn["shown_ms"]]
    opened = [turn for turn in turns if turn["open"]]
    result["open"].update(
        kilobytes_a_second_to_the_browser=round(
            sum(t["bytes"] for t in opened) / sum(t["seconds"] for t in opened) / 1e3, 1
        ),
        window_end_to_pixel_ms_p50=round(float(np.percentile(shown, 50)), 1),
        window_end_to_pixel_ms_p95=round(float(np.percentile(shown, 95)), 1),
        first_paint_ms=round(float(np.median([turn["paint_ms"] for turn in opened])), 1),
    )
    result["p99_ratio"] = round(result["open"]["latency_ms_p99"] / result["closed"]["latency_ms_p99"], 3)
    return result


def _server_of(run: int, url: str) -> psutil.Process:
    """The page's server, a child process of the run. It takes a while to start."""
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s:
        for process in psutil.Process(run).children():
            if "spawn_main" in " ".join(process.cmdline()) and _serves(process, url):
                return process
        time.sleep(0.5)
    raise SystemExit("the page's server did not start")


def _serves(process: psutil.Process, url: str) -> bool:
    port = int(url.rsplit(":", 1)[1].strip("/"))
    return any(c.status == "LISTEN" and c.laddr.port == port for c in process.net_connections("tcp"))


def _turn(chromium: Any, url: str, run: psutil.Process, server: psutil.Process) -> Dict[str, Any]:
    page = chromium.new_page(viewport={"width": 1300, "height": 900}) if chromium else None
    sizes: List[int] = []
    shown: List[float] = []
    paint_ms = 0.0
    if page:
        page.on("websocket", lambda ws: ws.on("framereceived", lambda data: sizes.append(len(data))))
        page.goto(url)
        paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
    time_asleep = time.monotonic() + _SETTLE_S
    while time.monotonic() < time_asleep:
        page.wait_for_timeout(100) if page else time.sleep(0.1)
    sizes.clear()
    before = [sum(p.cpu_times()[:2]) for p in (run, server)]
    from_ns, last = time.monotonic_ns(), None
    while time.monotonic_ns() - from_ns < (_PHASE_S - _SETTLE_S) * 1e9:
        if not page:
            time.sleep(0.1)
            continue
        page.wait_for_timeout(100)
        value = page.evaluate("document.documentElement.dataset.shown")
        if value and value != last:
            shown.append(float(value))
            last = value
    to_ns = time.monotonic_ns()
    seconds = (to_ns - from_ns) / 1e9
    used = [100 * (sum(p.cpu_times()[:2]) - was) / seconds for p, was in zip((run, server), before)]
    if page:
        page.close()
    return {
        "open": page is not None, "from_ns": from_ns, "to_ns": to_ns, "seconds": seconds, "run_cpu": used[0],
        "server_cpu": used[1], "bytes": sum(sizes), "shown_ms": shown, "paint_ms": paint_ms,
    }  # fmt: skip
