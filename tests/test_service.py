"""The service that ``docs/jetson.md`` installs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cli import recognise

UNIT = Path(__file__).parents[1] / "docs" / "cosmo-runtime@.service"


def test_its_command_is_one_that_there_is() -> None:
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.M)
    options = recognise.parser().parse_args(shlex.split(command))
    assert (str(options.output), options.follow) == ("-", True)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_understands_it(tmp_path: Path) -> None:
    unit = tmp_path / "cosmo-runtime@root.service"
    unit.write_text(UNIT.read_text().replace("/opt/cosmo/bin/cosmo-runtime", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if unit.name in line]  # and nothing of the machine's own units
    assert (done.returncode, told) == (0, [])
