from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.runtime.health.heartbeat import FILE, Heartbeat
from cosmo_runtime.runtime.health.vitals import Vitals
from tests.full_disk import full_at
from tests.runtime.health.test_vitals import infos, outcome


def test_where_it_cannot_be_kept_it_is_told_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: List[str] = []
    vitals = Vitals(infos())
    vitals.outcome(outcome(imu="ok", radar="ok"))
    with caplog.at_level(logging.INFO), full_at(100), Heartbeat(tmp_path, vitals, "1", tell=told.append, every_s=0.05):
        end = time.monotonic() + 60
        while len(told) < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert json.loads(told[-1])["well"]
    assert f"{tmp_path / FILE} cannot be written: File too large" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_made_has_a_heartbeat_too(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("in the way")
    told: List[str] = []
    with Heartbeat(tmp_path / "user" / "state" / "home", Vitals(infos()), "1", tell=told.append):
        pass
    assert json.loads(told[-1])["disk_free_bytes"] > 0


def test_a_run_starts_and_is_well_with_its_first_window_not_a_minute_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: List[str] = []
    vitals = Vitals(infos())
    with caplog.at_level(logging.INFO), Heartbeat(tmp_path, vitals, "1", tell=told.append):
        end = time.monotonic() + 10
        while len(told) < 1 and time.monotonic() < end:
            time.sleep(0.01)
        vitals.outcome(outcome(imu="ok", radar="ok"))
        while len(told) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(told) == 2
    assert [json.loads(words)["starting"] for words in told] == [True, False, False]
    assert all(json.loads(words)["well"] for words in told)
    assert caplog.messages == ["starting", "well", "well"]
