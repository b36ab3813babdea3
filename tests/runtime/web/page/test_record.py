"""Recording from the page."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")
pytest.importorskip("scipy", reason="the emulated rig needs the extra [emulation]")

from tests.runtime.web.page.conftest import OpenTab, Served, labels_of, saved

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_session_is_recorded_with_prompts_and_keys(rig: Served, recordings: Path, open_tab: OpenTab) -> None:
    page = open_tab(f"{rig.url}#/sessions")
    page.click("#new-recording")
    page.fill("input[name=name]", "prompted")
    page.fill("input[name=participant]", "P17")
    page.fill("textarea", "wave, 1, 2\nwalk, 1, 1\n")
    page.fill("input[name=rest_s]", "6")  # a key during the rest repeats what was done before it
    page.keyboard.press("Enter")
    page.wait_for_selector(".cue-name:text('wave')")
    page.wait_for_selector(".cue:has-text('2 of 3')")  # wave was done once
    second = open_tab(f"{rig.url}#/label/prompted")
    second.wait_for_selector(".chip.bad:has-text('prompted is still being recorded')")
    page.keyboard.press("r")
    page.wait_for_selector(".cue:has-text('1 of 3')")  # and is repeated
    page.wait_for_selector(".cue:has-text('2 of 3')")
    page.keyboard.press("s")
    page.wait_for_selector(".cue:has-text('3 of 3')")
    page.wait_for_selector("[data-recording=prompted] p:has-text('of P17 · ')")
    page.wait_for_selector(".notice:has-text('prompted is kept, with 2 labels.')")
    labels = labels_of(recordings / "prompted.mcap")
    assert [activity for _, _, activity in labels] == ["wave", "wave"]
    assert all(0.9 < end - start < 1.1 for start, end, _ in labels)
    second.wait_for_selector("#saved:text-is('saved')")  # it can be labelled now, without a reload
    second.keyboard.press("l")
    second.keyboard.press("Delete")
    second.wait_for_selector("#doing:text-is('no label')")
    saved(second)
    assert labels_of(recordings / "prompted.mcap") == labels[1:]


def test_a_recording_that_ends_before_anything_was_done_says_that_it_has_no_labels(
    rig: Served, recordings: Path, open_tab: OpenTab
) -> None:
    (recordings / "gone.csv").write_text("start,end,activity\n1,2,wave\n")  # of an older recording
    page = open_tab(f"{rig.url}#/sessions")
    page.click("#new-recording")
    page.fill("input[name=name]", "gone")
    page.fill("textarea", "wave, 60, 1\n")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cue-name:text('wave')")
    page.keyboard.press("e")
    page.wait_for_selector(".notice:has-text('gone-2 is kept. No activity was completed, so it has no labels.')")
    page.wait_for_selector("[data-recording=gone-2] .chip:text-is('no labels')")
    assert (recordings / "gone.csv").read_text() == "start,end,activity\n1,2,wave\n"
