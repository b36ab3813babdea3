"""Takes the pictures of docs/web.md: records the emulated person, labels its actions, teaches, and opens each page.

python tools/screenshots.py docs/web
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from cosmo_runtime.runtime.labels.table import labels_beside, write_labels
from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.tools.measure.page_browser import browser, served


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("folder", type=Path)
    take_screenshots(command.parse_args().folder)


def take_screenshots(folder: Path) -> None:
    """Records the emulated person, labels what it really did, teaches, and takes a picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "cosmo.toml"
        config.write_text('[[alarms]]\nname = "fall"\nactivity = "fall"\nheld_s = 1\n')
        rig = ("--sensors", "imu,depth,radar", "--emulate", "person", "--config", str(config))
        with served("web", *rig, "--recordings", scratch, "--home", scratch) as (_, url), browser() as chromium:
            page = chromium.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
            page.goto(url)
            page.wait_for_selector("#activity:not(.silent)", timeout=60_000)
            _record_monday(page, url)
            _label_the_truth(Path(scratch) / "monday.mcap")
            page.goto(f"{url}#/live")
            page.wait_for_timeout(6000)
            _shoot(page, folder / "live.png")
            _open_monday(page, url)
            _shoot(page, folder / "label.png")
            page.goto(f"{url}#/days")
            page.wait_for_timeout(2000)
            _shoot(page, folder / "days.png")
            _teach(page, url)
            _shoot(page, folder / "teach.png")
            _begin_tuesday(page, url)
            _shoot(page, folder / "prompt.png")
            page.click("#stop-recording")
            page.wait_for_timeout(1500)
            phone = chromium.new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
            phone.goto(url)
            phone.wait_for_timeout(6000)
            phone.screenshot(path=str(folder / "phone.png"))


def _record_monday(page: Any, url: str) -> None:
    page.goto(f"{url}#/sessions")
    page.click("#new-recording")
    page.fill("input[name=name]", "monday")
    page.uncheck("input[name=prompted]")
    page.click("button:has-text('Begin')")
    page.wait_for_timeout(120_000)
    page.click("#stop-recording")
    page.wait_for_selector("[data-recording=monday]")


def _open_monday(page: Any, url: str) -> None:
    page.goto(f"{url}#/label/monday")
    page.wait_for_timeout(2000)
    for _ in range(3):
        page.keyboard.press("+")
    for _ in range(8):
        page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(5000)


def _teach(page: Any, url: str) -> None:
    page.goto(f"{url}#/teach")
    page.wait_for_timeout(1500)
    page.select_option("#base", "everyday")  # it has never seen this person
    page.click("#teach")
    page.wait_for_selector("#use-new", timeout=600_000)
    page.wait_for_timeout(500)


def _begin_tuesday(page: Any, url: str) -> None:
    page.goto(f"{url}#/sessions")
    page.wait_for_timeout(1000)
    page.click("#new-recording")
    page.fill("input[name=name]", "tuesday")
    page.fill("textarea", "wave, 5, 4\nsit down, 5, 4\nnone, 10, 4\n")
    page.click("button:has-text('Begin')")
    page.wait_for_timeout(7500)


def _shoot(page: Any, path: Path) -> None:
    page.screenshot(path=str(path), full_page=True)


def _label_the_truth(path: Path) -> None:
    truths = TruthLine()
    recording = Recording(path)
    for event in recording.events():
        if isinstance(event, Truth):
            truths.add(event)
    first_ns, last_ns = recording.start_ns, recording.end_ns
    rows = [row for row in truths.segments() if first_ns <= row.start_ns and row.end_ns <= last_ns]
    names = [row.activity for row in rows]
    write_labels(labels_beside(path), [row for row in rows if names.count(row.activity) > 1], recording)


if __name__ == "__main__":
    main()
