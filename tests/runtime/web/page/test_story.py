"""From opening the page to a model that knows more, as a person does it who has read nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import List, Tuple

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")
pytest.importorskip("scipy", reason="the emulated rig needs the extra [emulation]")
pytest.importorskip("torch", reason="teaching needs the extra [train]")

from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.recording import Recording
from tests.runtime.web.page.conftest import OpenTab, Page, Served, go, key_of, labels_of, often, saved

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NEW = "greet"
RECORDED_MS = 300_000
TAUGHT_MS = 1_200_000  # a busy machine takes its time


def test_from_a_session_to_a_better_model_that_is_in_use(rig: Served, recordings: Path, open_tab: OpenTab) -> None:
    page = open_tab(rig.url)
    page.wait_for_selector("#activity:not(.silent)")
    assert page.inner_text("#bundle") == "person"

    path = _record(page, recordings)
    assert [activity for _, _, activity in labels_of(path)] == ["wave"] * 3
    page.click("[data-recording=monday] a:has-text('Open and label')")
    page.wait_for_selector("#timeline")
    _clear(page)
    assert labels_of(path) == []
    truth = _truth(path)
    _label(page, truth)
    assert labels_of(path) == truth

    _drag_and_undo(page, path)
    page.reload()
    page.wait_for_selector("#timeline")
    page.keyboard.press("l")
    page.wait_for_selector(f"#doing:text-is('{truth[0][2]}')")
    assert labels_of(path) == truth

    before, after = _teach(page)
    assert after > before
    assert after >= 50
    page.click("#use-new")
    page.wait_for_selector("[data-model^=everyday-] .chip.good")
    page.click("nav a:has-text('Live')")
    page.wait_for_selector("#bundle:text-matches('^everyday-')")
    page.click("nav a:has-text('Teach')")
    page.click("#rollback")
    page.wait_for_selector("[data-model=person] .chip.good")


def _record(page: Page, recordings: Path) -> Path:
    """Ninety seconds with prompts, which the simulated person does not follow."""
    page.click("nav a:has-text('Sessions')")
    page.click("#new-recording")
    page.fill("input[name=name]", "monday")
    page.fill("textarea", "wave, 25, 3\n")
    page.fill("input[name=rest_s]", "5")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cue-name:text('wave')")
    page.wait_for_selector("[data-recording=monday]", timeout=RECORDED_MS)
    return recordings / "monday.mcap"


def _clear(page: Page) -> None:
    for _ in range(3):
        page.keyboard.press("l")
        page.keyboard.press("Delete")
    saved(page)


def _truth(path: Path) -> List[Tuple[float, float, str]]:
    """What was done more than once; the most frequent activity gets a name that the model does not know."""
    recording, truths = Recording(path), TruthLine()
    for event in recording.events():
        if isinstance(event, Truth):
            truths.add(event)
    start_ns, end_ns = recording.start_ns, recording.start_ns + round(recording.duration_s * 1e9)
    rows = often(row for row in truths.segments() if start_ns <= row.start_ns and row.end_ns <= end_ns)
    ((best, _),) = Counter(row.activity for row in rows if row.activity != "none").most_common(1)
    return [
        (
            round((row.start_ns - start_ns) / 1e9, 1),
            round((row.end_ns - start_ns) / 1e9, 1),
            NEW if row.activity == best else row.activity,
        )
        for row in rows
    ]


def _label(page: Page, rows: List[Tuple[float, float, str]]) -> None:
    page.fill("#new-activity", NEW)
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    at_s = 0.0
    for start_s, end_s, activity in rows:
        key = key_of(page, activity)
        go(page, at_s, start_s)
        page.keyboard.press(key)
        go(page, start_s, end_s)
        page.keyboard.press(key)
        page.keyboard.press("Escape")
        at_s = end_s
    saved(page)


def _drag_and_undo(page: Page, path: Path) -> None:
    before = labels_of(path)
    edge_s = before[0][1]
    page.keyboard.press("Home")
    while page.evaluate("Number(document.getElementById('timeline').dataset.span)") > 2 * edge_s + 10:
        page.keyboard.press("+")
    page.wait_for_timeout(300)
    span = page.evaluate("Number(document.getElementById('timeline').dataset.span)")
    box = page.locator("#timeline").bounding_box()
    x, y = box["x"] + edge_s / span * box["width"], box["y"] + box["height"] - 25
    page.mouse.move(x - 1, y)
    page.mouse.down()
    page.mouse.move(x - 0.5 / span * box["width"], y, steps=5)
    page.mouse.up()
    saved(page)
    assert labels_of(path)[0][1] == pytest.approx(edge_s - 0.5, abs=0.15)
    page.keyboard.press("Control+z")
    saved(page)
    assert labels_of(path) == before


def _teach(page: Page) -> Tuple[int, int]:
    page.click("nav a:has-text('Teach')")
    page.wait_for_selector("[data-session=monday]")
    assert page.eval_on_selector("#base", "base => base.value") == "person"
    page.select_option("#base", "everyday")  # it has never seen this person
    page.click("#teach")
    page.wait_for_selector("[role=progressbar]")
    page.wait_for_selector("#use-new", timeout=TAUGHT_MS)
    shown = page.locator("#result .big.number").all_inner_texts()
    return int(shown[0].split()[0]), int(shown[1].split()[0])
