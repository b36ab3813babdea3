"""What people do at home is nobody else's business on the machine: every file that a command makes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.sensors.recording import Recording

_ALARMS = """
[recognition]
min_confidence = 0
[[alarms]]
name = "any"
nothing_but = ["walk", "wave", "none"]
clip = true
"""


def _others_may(folder: Path) -> List[str]:
    """Files and folders that anybody but their owner may use."""
    found = [path for path in folder.rglob("*") if not path.is_symlink()]
    return [str(path.relative_to(folder)) for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.fixture
def user(tmp_path: Path) -> Dict[str, str]:
    """One with a home of their own, and a umask that hides nothing."""
    home = tmp_path / "user"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    return {**environment, "HOME": str(home)}


@pytest.mark.slow
def test_whatever_the_umask_is_others_may_use_nothing(
    tmp_path: Path, tiny_bundle: Bundle, user: Dict[str, str]
) -> None:
    home = Path(user["HOME"])
    (tmp_path / "cosmo.toml").write_text(_ALARMS)
    (tmp_path / "activities.txt").write_text("wave, 1, 1\n")
    rig = ["--sensors", "imu,radar", "--emulate", "person"]
    bundle = ["--bundle", str(tiny_bundle.path)]
    sinks = ["--record", "run.mcap", "--output", "lines.jsonl", "--summary", "figures.json", "--home"]
    commands = [
        [*rig, *bundle, "--config", str(tmp_path / "cosmo.toml"), *sinks, "--participant", "P17", "--duration", "10"],
        [
            "record",
            *rig,
            "--prompt",
            str(tmp_path / "activities.txt"),
            "--rest",
            "1",
            "--duration",
            "4",
            "session.mcap",
        ],
        ["label", "run.mcap", *bundle],
        ["export", "run.mcap", "--to", "csv"],
        ["bundle", "use", "person"],
        ["episodes"],
        ["alarms", "--acknowledge", "any"],
        ["status"],
        ["purge", "."],
    ]
    for words in commands:
        done = subprocess.run(
            [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words],
            cwd=home, env=user, preexec_fn=lambda: os.umask(0), capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert done.returncode == (words == ["status"]), (words, done.stderr)
    made = {path.name for path in home.rglob("*") if path.is_file()}
    assert {"run.mcap", "lines.jsonl", "figures.json", "session.mcap", "run.csv", "episodes.sqlite"} <= made
    assert {"health.json", "imu.csv"} <= made
    (clip, *_) = home.rglob("any-*.mcap")
    assert Recording(clip).metadata["participant"] == "P17"
    assert _others_may(home) == []
