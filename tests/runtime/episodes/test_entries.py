"""A log that is there and cannot be read: every reader says so in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from cosmo_runtime.runtime.episodes.entries import DATABASE, LogError, after, entries, last_alarms, last_id, span_ns
from cosmo_runtime.runtime.episodes.log import EpisodeLog

_READERS = [lambda folder: list(entries(folder)), last_alarms, span_ns, lambda folder: after(folder, 0, 10)]


@pytest.mark.parametrize("read", _READERS)
def test_a_folder_in_place_of_the_database_is_told(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(LogError, match=f"{DATABASE} cannot be read: unable to open database file"):
        read(tmp_path)
    assert last_id(tmp_path) is None


@pytest.mark.parametrize("read", _READERS)
def test_what_the_system_refuses_is_told(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(LogError, match=f"{DATABASE} cannot be read: File name too long"):
        read(tmp_path / ("x" * 300))


def test_a_log_of_somebody_else_is_told_by_the_commands_that_show_it(tmp_path: Path) -> None:
    EpisodeLog(tmp_path / "home" / "episodes", lambda _: 0).close()
    (tmp_path / "home" / "episodes").chmod(0)
    bind = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    for command in "episodes", "alarms":
        words = [sys.executable, "-m", "cosmo_runtime.runtime.cli", command, "--home", str(tmp_path / "home")]
        done = subprocess.run([*bind, *words], capture_output=True, text=True, timeout=100)
        told = f"cosmo-runtime: {tmp_path}/home/episodes/{DATABASE} cannot be read: Permission denied\n"
        assert (done.returncode, done.stderr) == (1, told)
    (tmp_path / "home" / "episodes").chmod(0o700)  # else pytest cannot delete it
