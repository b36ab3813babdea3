from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime import state
from cosmo_runtime.runtime.health.heartbeat import Heartbeat
from cosmo_runtime.runtime.health.vitals import Trouble, Vitals
from tests.runtime.health.test_vitals import infos, outcome

Run = Callable[..., Any]


_BEATING = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.health.heartbeat import Heartbeat
from cosmo_runtime.runtime.health.vitals import Vitals
from cosmo_runtime.runtime.state import log_folder

home = Path(sys.argv[1])
log = EpisodeLog(log_folder(home), lambda _: 0)
with Heartbeat(home, Vitals({}), "1"):
    time.sleep(600)
"""


@pytest.fixture
def beating(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process that does of a run what status looks at."""
    process = subprocess.Popen([sys.executable, "-c", _BEATING, str(tmp_path)])
    end = time.monotonic() + 60
    while not (tmp_path / "health.json").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def _beat_at(home: Path, moment: datetime) -> None:
    beat = json.loads((home / "health.json").read_text())
    (home / "health.json").write_text(json.dumps({**beat, "time": moment.isoformat(timespec="seconds")}))


def test_a_run_that_was_killed_is_missed_at_once(cosmo: Run, tmp_path: Path, beating: subprocess.Popen) -> None:
    assert cosmo("status", "--home", tmp_path).code == 0
    beating.kill()
    beating.wait()
    done = cosmo("status", "--home", tmp_path)
    assert done.code == 1
    assert done.out.startswith("not well: no run with --home is running; its last heartbeat was ")


def test_a_run_whose_heartbeat_stands_still_or_is_of_the_future_is_there_but_not_well(
    cosmo: Run, tmp_path: Path, beating: subprocess.Popen
) -> None:
    _beat_at(tmp_path, datetime.now(timezone.utc) - timedelta(minutes=10))
    told = json.loads(cosmo("status", "--home", tmp_path, "--json").out)
    assert (told["running"], told["well"]) == (True, False)
    assert told["troubles"][0].startswith(
        "a run is active, but its heartbeat has stopped; its last heartbeat was 10 min ago"
    )
    _beat_at(tmp_path, datetime.now(timezone.utc) + timedelta(hours=1))
    done = cosmo("status", "--home", tmp_path)
    assert done.code == 1
    assert re.search("is of a time (59|60) min from now, so the clock was set back", done.out)


@pytest.mark.parametrize(
    "uptime_s, free_bytes, words",
    [
        (45.2, 512 * 10**6, ("up 45 s ", "512.0 MB free")),
        (5400, 14 * 10**9, ("up 90 min ", "14.0 GB free")),
        (100 * 3600, 10**6, ("up 4 days ", "1.0 MB free")),
    ],
)
def test_durations_and_sizes_are_in_the_units_that_a_person_would_choose(
    cosmo: Run, tmp_path: Path, beating: subprocess.Popen, uptime_s: float, free_bytes: int, words: tuple[str, ...]
) -> None:
    beat = json.loads((tmp_path / "health.json").read_text())
    last = {"activity": "walk", "confidence": 0.9, "last_prediction_s_ago": 3.4, "time": "2026-01-02T03:04:05+00:00"}
    changed = {**beat, **last, "uptime_s": uptime_s, "disk_free_bytes": free_bytes}
    (tmp_path / "health.json").write_text(json.dumps(changed))
    out = cosmo("status", "--home", tmp_path).out
    assert all(word in out for word in (*words, "last: walk (90%) at 2026-01-02T03:04:01+00:00"))


def test_where_nobody_may_look_at_the_lock_the_heartbeat_tells(
    cosmo: Run, tmp_path: Path, beating: subprocess.Popen
) -> None:
    lock = tmp_path / "episodes" / ".lock"
    lock.unlink()
    lock.symlink_to(lock)  # it cannot be opened, not even by root
    assert cosmo("status", "--home", tmp_path).code == 0
    _beat_at(tmp_path, datetime.now(timezone.utc) - timedelta(minutes=10))
    done = cosmo("status", "--home", tmp_path)
    assert (done.code, "no run with --home is running; its last heartbeat was 10 min ago" in done.out) == (1, True)


def test_without_a_run_it_says_so_and_fails(cosmo: Run, tmp_path: Path) -> None:
    done = cosmo("status", "--home", tmp_path, "--json")
    told = json.loads(done.out)
    assert (done.code, told["running"], told["well"]) == (1, False, False)
    assert told["troubles"] == ["no run with --home is running"]
    assert told["bundle_in_use"] == "everyday"


def test_where_there_is_a_service_its_folder_is_named(
    cosmo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_OF_SERVICES", tmp_path)
    assert "service" not in cosmo("status", "--home", tmp_path / "home").out
    state.service_folder().mkdir()
    told = cosmo("status", "--home", tmp_path / "home").out.splitlines()[0]
    assert told.endswith(f"; this looked in {tmp_path}/home. For the service, use --home {state.service_folder()}")
    assert "For the service" not in cosmo("status", "--home", state.service_folder()).out


def test_a_run_is_shown_while_it_runs_and_missed_when_its_heart_stands_still(
    cosmo: Run, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    words = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", str(tiny_bundle.path), "--home", str(home)]
    process = subprocess.Popen(
        [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words, "--output", "-"], stdout=subprocess.DEVNULL
    )
    said = []
    try:
        end = time.monotonic() + 60
        while "well" not in said:
            assert time.monotonic() < end
            time.sleep(0.2)
            said.append(cosmo("status", "--home", home).out.splitlines()[0])
        assert list(dict.fromkeys(said))[-2:] == ["starting", "well"]
        assert not any("missing" in words for words in said)
        done = cosmo("status", "--home", home)
        assert done.code == 0
        assert "well" in done.out
        assert re.search("memory: [0-9]+ MB\n", done.out), done.out
        assert re.search("sensors: imu (ok|not worn), radar ok", done.out), done.out  # not worn until it moves
    finally:
        process.terminate()
        process.wait(60)
    assert json.loads(cosmo("status", "--home", home, "--json").out)["running"] is False
    beat = json.loads((home / "health.json").read_text())
    beat["running"] = True
    beat["time"] = (datetime.now(timezone.utc) - timedelta(minutes=10)).isoformat(timespec="seconds")
    (home / "health.json").write_text(json.dumps(beat))
    done = cosmo("status", "--home", home)
    assert (done.code, "its last heartbeat was 10 min ago" in done.out) == (1, True)


def test_what_does_not_make_a_run_ill_is_told_all_the_same(cosmo: Run, tmp_path: Path) -> None:
    vitals = Vitals(infos(), others=lambda: [Trouble("[episodes.activities]: no 'lie'", grave=False)])
    vitals.outcome(outcome(imu="ok", radar="ok"))
    with Heartbeat(tmp_path, vitals, "1"):
        while not (tmp_path / "health.json").exists():
            time.sleep(0.01)
        done = cosmo("status", "--home", tmp_path)
    assert done.code == 0
    assert done.out.startswith("well, but [episodes.activities]: no 'lie'\n")


def test_a_run_on_a_full_disk_is_not_well_though_its_last_heartbeat_said_so(
    cosmo: Run, tmp_path: Path, beating: subprocess.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmo_runtime.runtime.cli.status.disk_usage", lambda path: SimpleNamespace(free=0))
    done = cosmo("status", "--home", tmp_path)
    assert done.code == 1
    assert "is full, so that no heartbeat can be kept; its last heartbeat was " in done.out
