"""The units that ``docs/jetson.md`` installs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.runtime.cli import default, purge

DOCS = Path(__file__).parents[1] / "docs"
UNITS = ["cosmo-runtime@.service", "cosmo-page@.service", "cosmo-purge@.service", "cosmo-purge@.timer"]


def _words(configuration: Path) -> List[str]:
    """What the service's shell runs ``cosmo-runtime`` with, where the configuration lies there."""
    unit = (DOCS / "cosmo-runtime@.service").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    command = line.replace("/opt/cosmo/bin/cosmo-runtime", "printf '%s\\n'".replace("'", '"'))
    command = command.replace("/etc/cosmo.toml", str(configuration)).replace("$$", "$")  # as systemd reads it
    return subprocess.run(shlex.split(command), check=True, capture_output=True, text=True).stdout.splitlines()


def test_its_command_is_one_that_there_is_with_a_configuration_and_without(tmp_path: Path) -> None:
    configuration = tmp_path / "cosmo.toml"
    options = default.parser().parse_args(_words(configuration))
    assert (options.config, str(options.output), options.follow) == (None, "-", True)
    assert (options.at_least, options.home) == (1, Path())
    configuration.touch()
    options = default.parser().parse_args(_words(configuration))
    assert (options.config, str(options.output), options.follow) == (configuration, "-", True)


def test_the_purge_is_a_command_that_there_is() -> None:
    (line,) = re.findall(r"^ExecStart=\S+ purge (.*)$", (DOCS / "cosmo-purge@.service").read_text(), re.M)
    assert purge.parser().parse_args(shlex.split(line)).paths == [Path("recordings")]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_it(tmp_path: Path, name: str) -> None:
    for each in UNITS:  # a timer names its service
        text = (
            (DOCS / each).read_text().replace("ExecStart=/opt/cosmo/bin/cosmo-runtime", f"ExecStart={sys.executable}")
        )
        (tmp_path / each.replace("@", "@root")).write_text(text)
    unit = tmp_path / name.replace("@", "@root")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if unit.name in line]  # and nothing of the machine's own units
    assert (done.returncode, told) == (0, [])
