"""Labelling by keys and by the mouse, in one tab and in two."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")
pytest.importorskip("scipy", reason="the emulated rig needs the extra [emulation]")

from cosmo_runtime.runtime.labels.exchange import Label, to_label_studio
from tests.runtime.web.page.conftest import OpenTab, Served, go, key_of, labels_of, saved, wait_until_more

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def recording(lived: Path, recordings: Path) -> Path:
    """A copy of the long recording in the page's folder, without labels."""
    return Path(shutil.copy2(lived, recordings))


def test_a_recording_is_labelled_by_keys_dragged_and_undone(
    shelf_only: Served, recording: Path, open_tab: OpenTab
) -> None:
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#timeline")
    page.keyboard.press("k")  # from here
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("1")
    saved(page)
    first = page.get_attribute(".palette button >> nth=0", "data-activity")
    assert labels_of(recording) == [(0.0, 4.0, first)]
    page.keyboard.press("Escape")
    page.keyboard.press("2")  # begins at the playhead, and ends there
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("2")
    saved(page)
    assert [(start, end) for start, end, _ in labels_of(recording)] == [(0.0, 4.0), (4.0, 6.0)]
    page.keyboard.press("d")  # its end, a little earlier
    saved(page)
    assert labels_of(recording)[1][1] == 5.95

    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("+")
    page.wait_for_timeout(300)
    box = page.locator("#timeline").bounding_box()
    span = page.evaluate("Number(document.getElementById('timeline').dataset.span)")
    x, y = box["x"] + 5.95 / span * box["width"], box["y"] + box["height"] - 25
    page.mouse.move(x - 1, y)
    page.mouse.down()
    page.mouse.move(x + 2 / span * box["width"], y, steps=5)
    page.mouse.up()
    saved(page)
    assert labels_of(recording)[1][1] == pytest.approx(7.95, abs=0.15)
    page.keyboard.press("Control+z")
    saved(page)
    assert labels_of(recording)[1][1] == 5.95
    page.keyboard.press("Control+Shift+z")
    saved(page)
    before = labels_of(recording)
    page.reload()
    page.wait_for_selector("#timeline")
    page.wait_for_timeout(500)
    page.keyboard.press("k")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("3")  # over the first: a new label cuts the old
    saved(page)
    after = labels_of(recording)
    assert (after[0][:2], after[1][:2], after[1][2]) == ((0.0, 1.0), (1.0, 4.0), first)
    assert after[2:] == before[1:]


def test_a_key_at_the_end_of_a_label_begins_the_next(shelf_only: Served, recording: Path, open_tab: OpenTab) -> None:
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#timeline")
    first, second = (page.get_attribute(f".palette button >> nth={n}", "data-activity") for n in (0, 1))
    page.keyboard.press("k")
    go(page, 0, 0.8)  # in steps whose sum is a little less
    page.keyboard.press("1")  # what this labels is chosen
    page.keyboard.press("2")
    go(page, 0.8, 1.5)
    page.keyboard.press("2")
    saved(page)
    assert labels_of(recording) == [(0.0, 0.8, first), (0.8, 1.5, second)]
    go(page, 1.5, 1.4)
    page.keyboard.press("1")  # inside a label that is chosen: renames it
    saved(page)
    assert labels_of(recording) == [(0.0, 0.8, first), (0.8, 1.5, first)]


def test_labels_that_are_too_short_are_left_out_and_that_is_said(
    shelf_only: Served, recording: Path, open_tab: OpenTab
) -> None:
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#timeline")
    rows = [Label(*times, "greet") for times in [(0.1, 0.12), (1, 1.01), (2, 2), (3, 4), (900, 901)]]
    file = {"name": "x.json", "mimeType": "application/json", "buffer": to_label_studio(rows, "lived").encode()}
    page.set_input_files("[aria-label='Label file']", file)
    page.wait_for_selector(
        ".notice:text-is('2 labels taken over, 1 outside the recording and 2 shorter than 0.02 s left out.')"
    )
    saved(page)
    assert labels_of(recording) == [(0.1, 0.12, "greet"), (3.0, 4.0, "greet")]
    page.keyboard.press("k")
    page.keyboard.press("1")
    page.wait_for_selector(".notice:has-text('A label is at least 0.02 s long')")


def test_labels_that_cannot_be_saved_cannot_be_changed(shelf_only: Served, recording: Path, open_tab: OpenTab) -> None:
    recording.with_suffix(".csv").write_text("start,end,activity,session\n1,2,walk,tuesday\n")
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#saved:text-is('read only')")
    page.keyboard.press("k")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("1")
    go(page, 1, 0.5)
    assert page.inner_text("#doing") == "no label"
    assert page.is_disabled("button:text-is('Import')")
    assert page.is_disabled("#propose")
    recording.with_suffix(".csv").write_text("start,end,activity\n1,2,walk\n")
    page.evaluate("window.dispatchEvent(new Event('focus'))")  # somebody comes back from the editor
    page.wait_for_selector("#saved:text-is('saved')")
    page.keyboard.press("l")
    page.keyboard.press("Delete")
    page.wait_for_selector("#doing:text-is('no label')")
    saved(page)
    assert labels_of(recording) == []


def test_a_table_that_becomes_one_of_several_recordings_is_left_alone(
    shelf_only: Served, recording: Path, open_tab: OpenTab
) -> None:
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#timeline")
    table = "start,end,activity,session\n1,2,walk,tuesday\n"
    recording.with_suffix(".csv").write_text(table)
    for _ in range(2):
        page.keyboard.press("k")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("1")
        page.wait_for_selector("#saved:text-is('read only')")
    page.wait_for_selector(".notice:has-text('can no longer be changed here')")
    assert recording.with_suffix(".csv").read_text() == table


def test_traces_are_drawn_where_they_were_measured(shelf_only: Served, recording: Path, open_tab: OpenTab) -> None:
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#timeline")
    for _ in range(4):
        page.keyboard.press("+")  # to 19 s, which are in two or three tiles
    go(page, 0, 45)
    share = """(() => { // of the columns in which an acceleration is drawn
        const canvas = document.getElementById("timeline");
        const copy = new OffscreenCanvas(canvas.width, 38 * devicePixelRatio);
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.drawImage(canvas, 0, -84 * devicePixelRatio);
        const { data } = context.getImageData(0, 0, copy.width, copy.height);
        const colourful = (at) => Math.max(...data.slice(at, at + 3)) - Math.min(...data.slice(at, at + 3)) > 90;
        const drawn = (x) => [...Array(copy.height).keys()].some((y) => colourful(4 * (y * copy.width + x)));
        return [...Array(copy.width).keys()].filter(drawn).length / copy.width;
    })()"""
    wait_until_more(page, share, 0.95)


def test_a_key_that_is_held_while_it_plays_makes_a_label(
    shelf_only: Served, recording: Path, open_tab: OpenTab
) -> None:
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#timeline")
    page.keyboard.press(" ")
    page.wait_for_selector("#time:not(:text-matches('^0:00'))")
    began = time.monotonic()
    page.keyboard.down("1")
    played_s = "Number(document.getElementById('timeline').dataset.at)"
    wait_until_more(page, played_s, page.evaluate(played_s) + 1.2)  # it waits for pictures on a busy machine
    page.keyboard.up("1")
    held_s = time.monotonic() - began
    page.keyboard.press(" ")
    saved(page)
    ((start, end, _),) = labels_of(recording)
    assert 0.7 < end - start < held_s + 1.5


def test_a_second_tab_is_told(shelf_only: Served, recording: Path, open_tab: OpenTab) -> None:
    one, two = (open_tab(f"{shelf_only.url}#/label/lived") for _ in range(2))
    for page in one, two:
        page.wait_for_selector("#timeline")
        page.wait_for_selector("#connection.good")
    one.keyboard.press("k")
    one.keyboard.press("Shift+ArrowRight")
    one.keyboard.press("1")
    saved(one)
    two.wait_for_selector(".notice:has-text('Another tab')")
    two.keyboard.press("Shift+ArrowRight")
    two.keyboard.press("Shift+ArrowRight")
    two.keyboard.press("k")
    two.keyboard.press("Shift+ArrowRight")
    two.keyboard.press("2")
    saved(two)
    assert [(start, end) for start, end, _ in labels_of(recording)] == [(0.0, 1.0), (2.0, 3.0)]


def test_a_recording_is_opened_and_labelled_by_keys_alone(
    shelf_only: Served, recording: Path, open_tab: OpenTab
) -> None:
    page = open_tab(f"{shelf_only.url}#/sessions")
    page.wait_for_selector("[data-recording=lived]")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Open and label":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#timeline")
    page.keyboard.press("/")
    page.keyboard.type("greet")
    page.keyboard.press("Enter")
    page.keyboard.press("k")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press(key_of(page, "greet"))
    saved(page)
    assert labels_of(recording) == [(0.0, 1.0, "greet")]
    page.keyboard.press("Delete")
    saved(page)
    assert labels_of(recording) == []


def test_what_a_model_could_not_tell_is_named_or_deleted(
    shelf_only: Served, recording: Path, open_tab: OpenTab
) -> None:
    recording.with_suffix(".csv").write_text("start,end,activity\n1,2,uncertain\n3,4,uncertain\n")
    page = open_tab(f"{shelf_only.url}#/label/lived")
    page.wait_for_selector("#unsure:has-text('2 stretches are uncertain')")
    assert page.locator(".palette [data-activity=uncertain]").count() == 0
    page.keyboard.press("l")
    page.keyboard.press("1")
    saved(page)
    page.keyboard.press("l")
    page.keyboard.press("Delete")
    saved(page)
    assert labels_of(recording) == [(1.0, 2.0, page.get_attribute(".palette button >> nth=0", "data-activity"))]
    page.goto(f"{shelf_only.url}#/sessions")
    page.wait_for_selector("[data-recording=lived] .chip:text-is('1 label')")


def test_labels_made_while_the_server_was_away_are_saved_when_it_is_back(
    recording: Path, recordings: Path, open_tab: OpenTab
) -> None:
    served = Served(recordings)
    page = open_tab(f"{served.url}#/label/lived")
    page.wait_for_selector("#timeline")
    page.wait_for_selector("#connection.good")
    served.kill()
    page.wait_for_selector("#connection.bad")
    page.keyboard.press("k")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("1")
    page.wait_for_selector("#saved.bad:has-text('not saved')")
    served.start()
    page.wait_for_selector("#connection.good")
    saved(page)
    assert [(start, end) for start, end, _ in labels_of(recording)] == [(0.0, 1.0)]
    served.stop()


def test_teach_says_why_a_recording_is_not_offered(shelf_only: Served, recording: Path, open_tab: OpenTab) -> None:
    recording.with_suffix(".csv").write_text("start,end,activity\n0,00:31,wave\n")
    page = open_tab(f"{shelf_only.url}#/teach")
    page.wait_for_selector("[data-bad=lived]:has-text('lived is not offered'):has-text('hh:mm:ss')")
    recording.rename(recording.with_name("lived [old].mcap"))
    page.reload()
    page.wait_for_selector(".bad:has-text('lived [old].mcap is not offered. A name has')")
    page.goto(f"{shelf_only.url}#/sessions")
    page.wait_for_selector("[data-left-out]:has-text('lived [old].mcap is not shown. A name has')")
    assert page.locator("[data-recording]").count() == 0
    assert page.locator("[data-session=lived]").count() == 0
