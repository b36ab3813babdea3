"""A command imports what it uses and no more, because a person waits for it."""

import subprocess
import sys
from pathlib import Path
from typing import Set

import pytest

from cosmo_runtime.runtime.cli.values import ENGINES
from cosmo_runtime.runtime.engines.choose import CHOICES
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.state import log_folder

_RUN_AND_TELL = """
import sys
from cosmo_runtime.runtime.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""
_HOME_AND_DEVICES = {"serial", "sqlite3", "paho", "prometheus_client", "aiohttp", "rich.live", "pyrealsense2"}
_OURS = "cosmo_runtime.runtime.cli."


def imported(*words: object) -> Set[str]:
    command = [sys.executable, "-c", _RUN_AND_TELL, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    *said, names = done.stderr.splitlines()
    assert done.returncode == 0, said
    return set(names.split())


@pytest.mark.parametrize("words", ["--help", "web --help", "files"])
def test_what_looks_at_no_data_imports_neither_numpy_nor_pydantic(words: str) -> None:
    assert not imported(*words.split()) & {"numpy", "pydantic", "onnxruntime", "mcap", *_HOME_AND_DEVICES}


def test_a_command_imports_no_other(tmp_path: Path) -> None:
    EpisodeLog(log_folder(tmp_path), lambda _: 0).close()
    names = imported("episodes", "--home", tmp_path)
    assert {name[len(_OURS) :] for name in names if name.startswith(_OURS)} == {
        "common",
        "episodes",
        "options",
        "parser",
        "streams",
        "values",
    }
    assert not names & {"numpy", "pydantic", "onnxruntime"}


def test_who_looks_at_a_recording_imports_no_model_and_no_engine(kept: Path) -> None:
    assert not imported("info", kept) & {"pydantic", "onnxruntime", *_HOME_AND_DEVICES}


def test_a_replay_imports_no_drivers_and_nothing_of_a_home(kept: Path, bundle: Path) -> None:
    names = imported("--sensors", "imu,radar", "--replay", kept, "--speed", "max", "--bundle", bundle, "--output", "-")
    assert "onnxruntime" in names
    assert not names & _HOME_AND_DEVICES


def test_the_engines_of_the_help_are_all_that_there_are() -> None:
    assert ENGINES == CHOICES
