"""The units that ``docs/jetson.md`` installs."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.places import cache_folder, data_folder
from cosmo_runtime.runtime.cli import default, purge
from cosmo_runtime.runtime.state import clips_folder, recordings_folder, state_folder

DOCS = Path(__file__).parents[1] / "docs"
UNITS = ["cosmo-runtime@.service", "cosmo-page@.service", "cosmo-purge@.service", "cosmo-purge@.timer"]


def _words(unit: str, folder: Path) -> List[str]:
    """What a unit's shell runs ``cosmo-runtime`` with in a home, with a folder for ``/etc`` and ``/var/lib``."""
    (line,) = re.findall(r"^ExecStart=(.+)$", unit.replace("\\\n", " "), re.M)
    command = line.replace("/opt/cosmo/bin/cosmo-runtime", "printf '%s\\n'".replace("'", '"'))
    for there in ("/etc", "/var/lib"):
        command = command.replace(f"{there}/cosmo", f"{folder}/cosmo")
    command = command.replace("%i", "me").replace("$$", "$")  # as systemd reads it
    shell = subprocess.run(shlex.split(command), cwd=folder, check=True, capture_output=True, text=True)
    return shell.stdout.splitlines()


def test_its_command_is_one_that_there_is_with_a_configuration_and_without(tmp_path: Path) -> None:
    unit, configuration = (DOCS / "cosmo-runtime@.service").read_text(), tmp_path / "cosmo.toml"
    options = default.parser().parse_args(_words(unit, tmp_path))
    assert (options.config, str(options.output), options.follow) == (None, "-", True)
    assert (options.at_least, options.home) == (1, Path())
    configuration.touch()
    options = default.parser().parse_args(_words(unit, tmp_path))
    assert (options.config, str(options.output), options.follow) == (configuration, "-", True)


def test_the_purge_searches_every_folder_where_recordings_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    unit = (DOCS / "cosmo-purge@.service").read_text()
    assert _words(unit, tmp_path) == []
    state = tmp_path / "cosmo-runtime-me"  # as the service's StateDirectory= says
    folders = [tmp_path / "recordings", recordings_folder(), clips_folder(state)]
    for folder in folders:
        folder.mkdir(parents=True)
    command, *words = _words(unit, tmp_path)
    assert command == "purge"
    assert [tmp_path / path for path in purge.parser().parse_args(words).paths] == folders


def test_the_page_reads_the_configuration_and_the_log_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, service = ((DOCS / name).read_text() for name in ("cosmo-page@.service", "cosmo-runtime@.service"))
    assert _words(page, tmp_path) == ["web"]
    (tmp_path / "cosmo.toml").touch()
    assert _words(page, tmp_path) == ["web", "--config", str(tmp_path / "cosmo.toml")]
    (folder,) = re.findall(r"^StateDirectory=(.+)$", service, re.M)
    monkeypatch.setenv("STATE_DIRECTORY", *re.findall(r"^Environment=STATE_DIRECTORY=(.+)$", page, re.M))
    assert state_folder() == Path("/var/lib") / folder


def _with_page() -> str:
    """What turns the service into one that serves the page, as its comment says."""
    lines = (DOCS / "cosmo-page@.service").read_text().splitlines()
    begin = lines.index("#   [Service]")
    told = itertools.takewhile(lambda line: line.startswith("#   "), lines[begin:])
    return "\n".join(line[4:] for line in told)


def test_the_service_with_the_page_is_the_same_command_and_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = _words((DOCS / "cosmo-runtime@.service").read_text(), tmp_path)
    assert _words(_with_page(), tmp_path) == [
        *words[: words.index("--home") + 1],
        "--web",
        *words[words.index("--follow") :],
    ]
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    (paths,) = re.findall(r"^ReadWritePaths=(.*)$", _with_page(), re.M)
    assert paths.replace("%i", "me").split() == [str(data_folder()), str(cache_folder())]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_it(tmp_path: Path, name: str) -> None:
    for each in UNITS:  # a timer names its service
        text = (
            (DOCS / each).read_text().replace("ExecStart=/opt/cosmo/bin/cosmo-runtime", f"ExecStart={sys.executable}")
        )
        (tmp_path / each.replace("@", "@root")).write_text(text)
    unit = tmp_path / name.replace("@", "@root")
    drop_in = tmp_path / "cosmo-runtime@root.service.d" / "override.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(_with_page().replace("ExecStart=/opt/cosmo/bin/cosmo-runtime", f"ExecStart={sys.executable}"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if unit.name in line]  # and nothing of the machine's own units
    assert (done.returncode, told) == (0, [])
