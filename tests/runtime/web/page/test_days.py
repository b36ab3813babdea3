"""Days, on a machine whose clock is not the browser's."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator, List

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")
pytest.importorskip("scipy", reason="the emulated rig needs the extra [emulation]")

from aiohttp import web

from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.runtime.web.server import Settings, listen, make_app
from tests.runtime.web.page.conftest import OpenTab, Page, Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("berlin")]

NS = 10**9


def _hours(page: Page, day: str) -> List[Any]:
    """The hours below the line of a day, each with how many have passed since midnight."""
    told = f"fetch('/api/days?day={day}').then((answer) => answer.json())"
    hours = f"{told}.then((told) => days.hoursOf(told).map(([at, hour]) => [(at - told.start_ms) / 3600e3, hour]))"
    return list(page.evaluate(f"import('/page/days.js').then((days) => {hours})"))


def test_the_hours_are_those_of_the_machine_also_when_its_clocks_change(shelf_only: Served, open_tab: OpenTab) -> None:
    for zone in "America/New_York", "Asia/Kolkata":
        page = open_tab(f"{shelf_only.url}#/days", zone=zone)
        assert _hours(page, "2026-03-28") == [[hour, hour] for hour in range(24)]
        assert _hours(page, "2026-03-29") == [[passed, passed + (passed >= 2)] for passed in range(23)]
        assert _hours(page, "2026-10-25") == [[passed, passed - (passed >= 3)] for passed in range(25)]


def test_times_are_those_of_the_machine(recordings: Path, tmp_path: Path, open_tab: OpenTab) -> None:
    noon = datetime.now().replace(hour=12, minute=0, second=0, microsecond=0)
    noon_ns, now_ns = round(noon.timestamp()) * NS, time.monotonic_ns()
    log = EpisodeLog(log_folder(tmp_path / "home"), lambda _: noon_ns - now_ns, slept_ns=lambda: 0)
    log.ended(Episode("walk", now_ns - 7200 * NS, now_ns - 3600 * NS, 0.9, ("imu",), 7200, "person"))
    log.ended(Episode("sit", now_ns, now_ns + 3600 * NS, 0.9, ("imu",), 7200, "person"))
    evidence = {"activity": "fall", "since": "2026-11-27T23:50:10.000+00:00"}
    log.alarm("fall", now_ns, {"state": "raised", "stands": True, "quiet": True, "on": True, "evidence": evidence})
    log.close()
    served = Served(recordings, "--home", str(tmp_path / "home"))
    away, here = (open_tab(f"{served.url}#/days", zone=zone) for zone in ("Asia/Kolkata", "Europe/Berlin"))
    for page in away, here:
        page.wait_for_selector("[aria-label='Alarms of the day'] .number:text-matches('^12:00:00.PM$')")
        assert page.inner_text("#idle") == "Nothing ran for 1 h 0 min."
        page.hover("[aria-label='Time line'] canvas", position={"x": _middle(page) + 9, "y": 20})
        page.wait_for_selector("[aria-label='Time line'] p:text-matches('^sit, 12:00:00.PM to 1:00:00.PM$')")
    assert away.is_visible("[aria-label='Alarms of the day'] .chip:text-is('raised, quiet')")
    assert away.is_visible("[data-alarm=fall]:has-text('began Nov 27, 23:50'):has-text('no run watches now')")
    away.click("[data-alarm=fall] button:text-is('Acknowledge')")
    away.wait_for_selector(".notice:has-text('The run is told')")
    assert away.is_disabled("[data-alarm=fall] button")
    assert [path.name for path in (tmp_path / "home" / "acknowledged").iterdir()] == ["fall@1"]
    assert away.inner_text("#zone").startswith("Times are those of the machine that runs this, UTC+0")
    assert not here.is_visible("#zone")
    served.stop()


@contextmanager
def _in_this_process(settings: Settings) -> Iterator[str]:
    """A server whose day changes with the time zone of this process; brings its address."""
    listening, end = listen("127.0.0.1", 0), threading.Event()

    async def serve() -> None:
        runner = web.AppRunner(make_app(settings))
        await runner.setup()
        await web.SockSite(runner, listening).start()
        while not end.is_set():
            await asyncio.sleep(0.05)
        await runner.cleanup()

    serving = threading.Thread(target=asyncio.run, args=(serve(),))
    serving.start()
    try:
        yield f"http://localhost:{listening.getsockname()[1]}/"
    finally:
        end.set()
        serving.join(30)


def test_a_view_of_today_goes_on_to_the_next_day_and_one_of_another_day_stays(
    recordings: Path, tmp_path: Path, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_zone(zone: str) -> str:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        return f"{datetime.now():%B} {datetime.now().day}, {datetime.now().year}"

    with _in_this_process(Settings(recordings, home=tmp_path / "home")) as url:
        before = in_zone("WEST+12")
        today, back_again, fixed = (open_tab(f"{url}#/days") for _ in range(3))
        for page in today, back_again, fixed:
            page.wait_for_selector(f"#day:has-text('{before}')")
        back_again.click("[aria-label='The day before']")
        back_again.wait_for_selector(f"#day:not(:has-text('{before}'))")
        back_again.click("[aria-label='The day after']")
        back_again.wait_for_selector(f"#day:has-text('{before}')")
        fixed.click("[aria-label='The day before']")
        fixed.wait_for_selector(f"#day:not(:has-text('{before}'))")
        shown = fixed.inner_text("#day")
        after = in_zone("EAST-14")
        for page in today, back_again:
            page.wait_for_selector(f"#day:has-text('{after}')")
        assert fixed.inner_text("#day") == shown


def test_a_day_that_the_machine_s_country_skipped_is_shown_empty(
    recordings: Path, tmp_path: Path, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Apia")
    time.tzset()
    start_ns, now_ns = round(datetime(2011, 12, 29, 22).timestamp()) * NS, time.monotonic_ns()
    log = EpisodeLog(log_folder(tmp_path / "home"), lambda _: start_ns - now_ns, slept_ns=lambda: 0)
    log.ended(Episode("walk", now_ns, now_ns + 5 * 3600 * NS, 0.9, ("imu",), 7200, "person"))
    log.close()
    with _in_this_process(Settings(recordings, home=tmp_path / "home")) as url:
        page = open_tab(url)
        page.route("**/api/days", lambda route: route.continue_(url=f"{route.request.url}?day=2011-12-30"))
        page.click("nav a:text-is('Days')")
        page.wait_for_selector("#day:has-text('December 30, 2011')")
        page.wait_for_selector("[aria-label=Week] button[aria-label='12/29/2011, 2 h 0 min']")
        assert page.locator("[aria-label=Durations] .share").count() == 0
        page.click("[aria-label='The day after']")
        page.wait_for_selector("[aria-label=Durations] .share:text-is('3 h 0 min')")


def test_a_log_that_is_damaged_is_told_from_none(recordings: Path, tmp_path: Path, open_tab: OpenTab) -> None:
    served = Served(recordings, "--home", str(tmp_path / "home"))
    page = open_tab(f"{served.url}#/days")
    page.wait_for_selector("h3:text-is('No log is kept yet')")
    log_folder(tmp_path / "home").mkdir(parents=True)
    (log_folder(tmp_path / "home") / "episodes.sqlite").write_bytes(b"noise" * 1000)
    page.reload()
    page.wait_for_selector(".empty:has-text('The log cannot be read'):has-text('episodes.sqlite is damaged')")
    served.stop()


def _middle(page: Page) -> float:
    return float(page.locator("[aria-label='Time line'] canvas").bounding_box()["width"]) / 2
