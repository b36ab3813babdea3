from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.realsense import librealsense

librealsense()
pytest.importorskip("scipy")

from cosmo_runtime.runtime.cli import main
from cosmo_runtime.tools.measure import replay


@pytest.mark.slow
def test_a_replay_without_its_start_takes_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = str(tmp_path / "run.mcap")
    rig = ["--sensors", "imu,depth,radar", "--emulate", "person"]
    assert main([*rig, "--duration", "4", "--record", recording, "--output", str(tmp_path / "lines")]) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["replay.py", recording, "--runs", "1"])
    replay.main()
    figures = json.loads(capsys.readouterr().out)["here"]
    assert 0 < figures["without_start_cpu_s"] < figures["whole_process_cpu_s"]
    assert figures["recorded_s"] == pytest.approx(4, abs=1.5)
