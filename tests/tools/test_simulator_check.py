from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cosmo_runtime.tools.simulator_check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_says_what_is_missing(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 1
    assert "utd-mhad/Inertial: no such folder" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_simulated_wrist_agrees_with_the_real_one(data_dir: Path) -> None:
    done = run(str(data_dir), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["trials"] == 671
    assert all(row["median"] > 0.55 for row in report["correlation_of_acceleration_magnitude"])
