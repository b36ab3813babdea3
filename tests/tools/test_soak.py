from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest

from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.tools import soak

Soak = Callable[..., Dict[str, Any]]


@pytest.fixture
def soaked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Soak:
    """Runs it for some seconds with a bundle that is not the shipped one; returns the report."""
    bundle, report = tmp_path / "mine", tmp_path / "report.json"
    shutil.copytree(SIMULATED_BUNDLE, bundle)

    def soaked(seconds: float, *words: str) -> Dict[str, Any]:
        def wait(stop: threading.Event, _: float) -> Iterator[Dict[str, float]]:
            stop.wait(seconds)
            yield from ()

        monkeypatch.setattr(soak, "steady", wait)
        monkeypatch.setattr(sys, "argv", ["soak.py", "--bundle", str(bundle), "--json", str(report), *words])
        soak.main()
        return json.loads(report.read_text())

    return soaked


@pytest.mark.slow
def test_the_bundle_that_is_asked_for_is_measured(soaked: Soak) -> None:
    assert set(soaked(5)["bundles"]) == {"mine"}


@pytest.mark.slow
def test_only_copies_of_it_follow_one_another(soaked: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "_BETWEEN_CHANGES_S", 2.0)
    report = soaked(8, "--changes")
    assert set(report["bundles"]) == {"one", "two"}
    assert report["changes"]["windows_missing"] <= report["windows_lost"]["empty"]  # on a machine too busy for the rig


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_fails_while_it_runs_ends_it(soaked: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "faults", lambda *_: 1 / 0)
    assert soaked(0, "--faults")["faults"] == {}


def test_shares_of_the_processor_are_those_after_the_first_minute() -> None:
    starting = {"s": 10.0, "rss_mb": 90.0, "cpu_s": 9.0, "camera_cpu_s": 2.0}
    settled = {"s": 60.0, "rss_mb": 100.0, "cpu_s": 12.0, "camera_cpu_s": 3.0}
    last = {"s": 160.0, "rss_mb": 101.0, "cpu_s": 20.0, "camera_cpu_s": 3.7}
    used = soak._used([starting, settled, last])
    assert (used["cpu_share_of_one_core"], used["of_which_emulated_camera"]) == (0.08, 0.007)
    assert used["memory_growth_mb"] == 1.0
