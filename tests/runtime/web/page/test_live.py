"""What is done and measured now, and a sensor that is pulled out."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Iterator, List

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")
pytest.importorskip("scipy", reason="the emulated rig needs the extra [emulation]")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.runtime.alarms.board import AlarmBoard, News
from cosmo_runtime.runtime.alarms.rules import AlarmRule
from cosmo_runtime.runtime.episodes.clock import ClockWatch
from cosmo_runtime.runtime.episodes.entries import DATABASE, local
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.state import log_folder, take_acknowledgements
from tests.free_port import free_port
from tests.full_disk import full_at
from tests.runtime.web.page.conftest import OpenTab, Served, wait_until_more

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_the_live_page_shows_what_is_done_and_what_is_measured(rig: Served, open_tab: OpenTab) -> None:
    page = open_tab(rig.url)
    page.wait_for_selector("#activity:not(.silent)")
    assert page.inner_text("#bundle") == "person"
    for sensor in "imu", "depth", "radar":
        page.wait_for_selector(f"[data-sensor={sensor}] .chip.good")
    count = "Number(document.querySelector('[data-sensor=depth] canvas').dataset.pictures)"
    wait_until_more(page, count, page.evaluate(count) + 20)  # how fast they come is up to the machine
    roles = page.evaluate("[...document.querySelectorAll('header, nav, main, section')].map((e) => e.tagName)")
    assert {"HEADER", "NAV", "MAIN", "SECTION"} <= set(roles)


def test_a_recording_that_a_full_disk_has_stopped_is_said(recordings: Path, open_tab: OpenTab) -> None:
    words = ["--sensors", "imu,depth", "--emulate", "person", "--record", str(recordings / "run"), "--output", "-"]
    with full_at(60_000):  # which the server inherits
        served = Served(recordings, *words, command="--web")
    page = open_tab(served.url)
    page.wait_for_selector("#trouble:visible")
    assert "recording stopped: File too large" in page.inner_text("#trouble")
    page.wait_for_selector("#activity:not(.silent)")
    served.stop()


def test_alarms_are_shown_at_once_and_go_when_anybody_acknowledges_them(
    recordings: Path, tmp_path: Path, open_tab: OpenTab
) -> None:
    config, home = tmp_path / "cosmo.toml", tmp_path / "home"
    anything = json.dumps(load_bundle(SIMULATED_BUNDLE).spec.classes)
    rules = [f'[[alarms]]\nname = "{name}"\nnothing_but = {anything}\nheld_s = 20\n' for name in ("a", "b", "c")]
    config.write_text("".join(rules))
    words = ["--sensors", "imu,depth,radar", "--emulate", "person", "--config", str(config), "--home", str(home)]
    served = Served(recordings, *words)
    live = open_tab(f"{served.url}#/live")
    live.wait_for_selector("#activity:not(.silent)")
    assert not live.is_visible(".alarms")
    _, days = others = [open_tab(f"{served.url}#/{part}") for part in ("live", "days")]
    pages = [live, *others]
    for page in pages:
        for name in "a", "b", "c":
            page.wait_for_selector(f"[data-alarm={name}]:has-text('began') .chip:text-is('goes on')")
    live.focus("[data-alarm=a] button")
    live.keyboard.press("Enter")
    days.click("[data-alarm=b] button")
    for page in pages:
        for name in "a", "b":
            page.wait_for_selector(f"[data-alarm={name}]", state="hidden")
        assert page.is_visible("[data-alarm=c]")
    command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", "alarms", "--home", str(home)]
    subprocess.run([*command, "--acknowledge", "c"], check=True, stderr=subprocess.DEVNULL)
    for page in pages:
        page.wait_for_selector(".alarms", state="hidden")
    served.stop()


def test_several_falls_show_the_first_what_was_not_seen_stays_and_quiet_ones_say_so(
    recordings: Path, tmp_path: Path, open_tab: OpenTab
) -> None:
    offset_ns = round(datetime(2026, 3, 3, 12).timestamp()) * 10**9
    log = EpisodeLog(log_folder(tmp_path), lambda _: offset_ns, slept_ns=lambda: 0)

    def local_time(at_ns: int) -> datetime:
        return local(at_ns + offset_ns)

    def keep(news: News) -> None:
        details = news._asdict()
        log.alarm(details.pop("rule").name, details.pop("at_ns"), details)

    rules = [AlarmRule(name="fall", activity="fall"), AlarmRule(name="still", activity="still", quiet="12:00-12:15")]
    clock = ClockWatch(lambda at_ns: offset_ns, lambda: 0)
    board = AlarmBoard(rules, [keep], local_time, clock, None, lambda: take_acknowledgements(tmp_path))

    def does(activity: str, minute: int) -> None:
        board.now(Episode(activity, minute * 60 * 10**9, (minute * 60 + 5) * 10**9, 0.9, ("imu",), 4, "person"))

    served = Served(recordings, "--home", str(tmp_path))
    page = open_tab(served.url)
    does("fall", 0)
    page.wait_for_selector("[data-alarm=fall]:has-text('began Mar 3, 12:00')")
    assert not page.is_visible("[data-alarm=fall]:has-text('times')")
    does("still", 5)
    page.wait_for_selector("[data-alarm=still] .chip:text-is('quiet')")
    assert not page.is_visible("[data-alarm=fall] .chip:text-is('quiet')")
    for minute in (10, 20):
        does("walk", minute - 1)
        does("fall", minute)
    page.wait_for_selector("[data-alarm=fall]:has-text('began Mar 3, 12:00'):has-text('3 times, last Mar 3, 12:20')")
    page.wait_for_selector("[data-alarm=still] .chip:text-is('quiet')", state="hidden")  # somebody was notified since
    page.click("[data-alarm=fall] button")
    page.wait_for_selector(".notice:has-text('The run is told')")
    does("walk", 29)
    page.wait_for_selector("[data-alarm=fall]", state="hidden")
    does("fall", 30)
    page.wait_for_selector("[data-alarm=fall]:has-text('began Mar 3, 12:30')")
    does("walk", 39)
    page.wait_for_selector("[data-alarm=fall] .chip:text-is('over')")
    page.click("[data-alarm=fall] button")
    page.wait_for_selector("[data-alarm=fall] button:disabled")
    seen = [path.name for path in (tmp_path / "acknowledged").iterdir()]
    (tmp_path / "acknowledged").rename(tmp_path / "later")  # until it is back, nobody can take it
    does("fall", 40)
    page.wait_for_selector("[data-alarm=fall] button:not(:disabled)")
    (tmp_path / "later").rename(tmp_path / "acknowledged")
    does("walk", 49)
    page.wait_for_selector("[data-alarm=fall]:has-text('began Mar 3, 12:40'):not(:has-text('times'))")
    assert seen == ["fall@4"]
    log.close()
    served.stop()


def test_a_log_that_cannot_be_read_is_said_where_alarms_would_be(
    recordings: Path, tmp_path: Path, open_tab: OpenTab
) -> None:
    folder = log_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / DATABASE).write_bytes(b"noise" * 1000)
    served = Served(recordings, "--home", str(tmp_path))
    page = open_tab(served.url)
    page.wait_for_selector(f"#unread:has-text('which alarms stand'):has-text('{DATABASE} is damaged')")
    (folder / DATABASE).unlink()
    page.wait_for_selector("#unread", state="hidden")
    served.stop()


@contextmanager
def _live(recordings: Path, *words: object) -> Iterator[str]:
    """A run with its page in a thread of this process; brings the page's address."""
    from cosmo_runtime.runtime.cli import main, rig

    port, stop = free_port(), threading.Event()
    command = ["web", "--sensors", "imu,radar", "--emulate", "person", *map(str, words)]
    command += ["--listen", f"127.0.0.1:{port}", "--recordings", str(recordings)]
    running = threading.Thread(target=main, args=(command,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig, "stop_on_signals", lambda: stop)
        running.start()
        try:
            end = time.monotonic() + 60
            while not _answers(port):
                assert running.is_alive()
                assert time.monotonic() < end
                time.sleep(0.1)
            yield f"http://localhost:{port}/"
        finally:
            stop.set()
            running.join(90)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_sensor_out_of_step_and_one_that_was_put_in_step_are_said(
    recordings: Path, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cosmo_runtime.runtime.sync.correction import Corrector

    news: List[dict] = []
    decide, may_correct = Corrector.out_of_step, threading.Event()
    monkeypatch.setattr("cosmo_runtime.runtime.sync.watch.StepWatch.look", lambda *_: news.pop() if news else None)
    monkeypatch.setattr(
        Corrector, "out_of_step", lambda self, behind_ms: decide(self, behind_ms) if may_correct.is_set() else None
    )
    (tmp_path / "cosmo.toml").write_text("[recognition]\nauto_sync = true\n")
    with _live(recordings, "--config", tmp_path / "cosmo.toml") as url:
        page = open_tab(url)
        page.wait_for_selector("[data-sensor=radar] .chip.good")
        assert not page.is_visible("[data-sensor=radar] .step")
        news.append({"radar": 180.0})
        page.wait_for_selector("[data-sensor=radar] .step.warn:has-text('180 ms behind')")
        may_correct.set()
        news.append({"radar": 180.0})
        page.wait_for_selector("[data-sensor=radar] .step.plain:has-text('put in step by 180 ms')")
        assert not page.is_visible("[data-sensor=imu] .step")


def test_a_sensor_that_is_unplugged_looks_lost_and_comes_back(
    recordings: Path, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmo_runtime.sensors.emulation.rig import EmulatedRig

    rigs: List[EmulatedRig] = []
    enter = EmulatedRig.__enter__
    monkeypatch.setattr(EmulatedRig, "__enter__", lambda self: rigs.append(self) or enter(self))
    with _live(recordings) as url:
        page = open_tab(url)
        page.wait_for_selector("[data-sensor=imu] .chip.good")
        rigs[0].unplug("imu")
        page.wait_for_selector(".sensor.lost[data-sensor=imu] .chip.bad")
        rigs[0].plug("imu")
        page.wait_for_selector(".sensor:not(.lost)[data-sensor=imu] .chip.good")
