"""What holds of every page: it fits a phone, it goes by keys, and it finds its server again."""

from __future__ import annotations

import math
import shutil
from itertools import combinations
from pathlib import Path
from typing import List

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")
pytest.importorskip("scipy", reason="the emulated rig needs the extra [emulation]")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.runtime.labels.table import labels_beside
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.recording.index import RecordingIndex
from tests.runtime.web.page.conftest import OpenTab, Page, Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_every_page_fits_a_phone_in_both_colours(rig: Served, lived: Path, recordings: Path, open_tab: OpenTab) -> None:
    for path in lived, labels_beside(lived):
        shutil.copy2(path, recordings / path.name)
    for scheme in "light", "dark":
        for part in "live", "days", "sessions", "label/lived", "teach":
            page = open_tab(f"{rig.url}#/{part}", 360, 740, scheme)
            page.wait_for_timeout(1200)
            assert _overflow(page) <= 0, (part, scheme)
            page.context.close()


def test_a_server_that_was_killed_and_came_back(recordings: Path, open_tab: OpenTab) -> None:
    served = Served(recordings)
    page = open_tab(served.url)
    page.wait_for_selector("#connection.good")
    served.kill()
    page.wait_for_selector("#connection.bad:has-text('trying again')")
    served.start()
    page.wait_for_selector("#connection.good")
    page.wait_for_selector(".notice:has-text('The server is back')")
    served.stop()


def test_all_pages_are_reached_and_left_by_keys_alone(shelf_only: Served, open_tab: OpenTab) -> None:
    page = open_tab(shelf_only.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    names: List[str] = []
    for _ in range(5):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert names == ["cosmo", "Live", "Days", "Sessions", "Teach"]
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Teach')")


def test_what_is_no_activity_has_colours_that_differ(shelf_only: Served, open_tab: OpenTab) -> None:
    page = open_tab(shelf_only.url)
    names = ["none", "gap", "uncertain", "nobody"]
    colours = page.evaluate(f"import('/page/draw.js').then((draw) => {names}.map(draw.activityColour))")
    assert len(set(colours)) == len(names), colours


def test_activities_have_colours_that_people_tell_apart(shelf_only: Served, open_tab: OpenTab) -> None:
    page = open_tab(shelf_only.url)
    names = [*load_bundle(SHIPPED_BUNDLE).spec.classes, "nobody", "gap", "uncertain"]
    colours = page.evaluate(f"import('/page/draw.js').then((draw) => {names}.map(draw.activityColour))")
    reds_greens_blues = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours]
    assert min(math.dist(*pair) for pair in combinations(reds_greens_blues, 2)) > 40


def test_text_on_an_activity_is_readable(shelf_only: Served, open_tab: OpenTab) -> None:
    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    page = open_tab(shelf_only.url)
    names = [*load_bundle(SHIPPED_BUNDLE).spec.classes, "nobody", "gap", "uncertain", "push", "lunge", "knock"]
    grounds = f"{names}.map(draw.activityColour).map((ground) => [ground, draw.inkOn(ground)])"
    for ground, ink in page.evaluate(f"import('/page/draw.js').then((draw) => {grounds})"):
        low, high = sorted([luminance(ground), luminance(ink)])
        assert (high + 0.05) / (low + 0.05) > 4, f"{ink} on {ground}"


def test_times_that_are_rounded_have_no_sixty_seconds(shelf_only: Served, open_tab: OpenTab) -> None:
    page = open_tab(shelf_only.url)
    asked = [[0, 0], [59.4, 0], [59.7, 0], [59.997, 2], [119.999, 2], [3599.9, 0], [3661.5, 1]]
    shown = page.evaluate(f"import('/page/dom.js').then((dom) => {asked}.map((times) => dom.clock(...times)))")
    assert shown == ["0:00", "0:59", "1:00", "1:00.00", "2:00.00", "1:00:00", "1:01:01.5"]


def test_no_measurement_is_cut_off_at_the_edge_of_its_lane(shelf_only: Served, open_tab: OpenTab) -> None:
    page = open_tab(shelf_only.url)
    rows = [0.0, 1, -90, 3, 0, 0, 0, 5.0, 1, 2, 3, 0, 0, 0, 9.0, 200, 0, 0, 40, 0, 0]
    reach = f"(begin, end, first) => draw.reachOf({rows}, {{ begin, end, first, usual: 30 }})"
    asked = f"import('/page/draw.js').then((draw) => [[0, 5, 1], [1, 5, 1], [0, 9, 4]].map((a) => ({reach})(...a)))"
    assert page.evaluate(asked) == [90, 30, 40]


def test_damage_in_the_middle_of_a_recording_is_said(
    shelf_only: Served, recordings: Path, kept: Path, open_tab: OpenTab
) -> None:
    index = RecordingIndex(Recording(kept))
    hole, content = index._files[0].first[len(index) // 2], kept.read_bytes()
    shutil.copy2(kept, recordings / "whole.mcap")
    (recordings / "holed.mcap").write_bytes(content[:hole] + bytes(1000) + content[hole:])
    page = open_tab(f"{shelf_only.url}#/sessions")
    page.wait_for_selector("[data-recording=holed] .chip.bad:text-is('damaged')")
    assert not page.is_visible("[data-recording=whole] .chip.bad")
    page.click("[data-recording=holed] a:has-text('Open and label')")
    page.wait_for_selector(f"#damage:has-text('damaged: holed.mcap at byte {hole}, and nothing behind that is shown')")
    page.goto(f"{shelf_only.url}#/label/whole")
    page.wait_for_selector("h1:text-is('whole')")
    assert not page.is_visible("#damage")
