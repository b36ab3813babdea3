"""All commands with poor streams, locales and terminals, and for users without a home, in child processes."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.retention.expiry import expires
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

pytestmark = pytest.mark.timeout(900)  # many commands each, on a machine that may be busy

_ROOT = Path(__file__).parents[3]

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]

_ALL_COMMANDS = """
import json, os, sys
if "nobody" in sys.argv[3:]:  # a user whom the system does not know, as in many a container
    import pwd
    os.environ.pop("HOME")
    os.environ.pop("XDG_DATA_HOME")
    pwd.getpwuid = lambda uid: {}[uid]
from importlib import import_module
from cosmo_runtime.runtime.cli import _COMMANDS, main
for module in (*_COMMANDS.values(), "recognise"):  # once here, instead of in every child
    import_module("cosmo_runtime.runtime.cli." + module)
codes = {}
for words in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        sys.exit(main(words.split()))
    codes[words] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if sys.version_info >= (3, 9) else (
        os.waitpid(child, 0)[1] >> 8)
with open(sys.argv[2], "w") as file:
    json.dump(codes, file)
"""


@pytest.fixture
def kept(tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples, by_arrival: Merge) -> Path:
    """A recording of four seconds of an IMU and a radar."""
    path = tmp_path / "kept.mcap"
    with RecordingWriter(path, {name: infos[name] for name in ("imu", "radar")}) as writer:
        for event in by_arrival(samples("imu", 0, 4.2), samples("radar", 0, 4.2)):
            writer.write(event)
    return path


@pytest.fixture
def commands(tmp_path: Path, kept: Path, tiny_bundle: Bundle) -> Dict[str, int]:
    """Every command that needs neither a rig nor torch, with its usual exit code."""
    (tmp_path / "rig.toml").write_text('[imu]\nport = "/dev/ttyNOWHERE"\n')
    log = EpisodeLog(log_folder(tmp_path / "home"), lambda at_ns: 0)
    log.ended(Episode("walk", 10**9, 3 * 10**9, 0.9, ("imu",), 4, "person"))
    log.close()
    replay = f"--sensors imu,radar --bundle {tiny_bundle.path} --replay {kept} --speed max"
    return {
        "--help": 0,
        "--version": 0,
        "record --help": 0,
        "recrod": 2,
        "--sensors imu,imu": 2,
        "bundle list": 0,
        "bundle list --json": 0,
        "bundle use nothing": 1,
        "bundle rollback": 1,
        f"doctor --sensors imu --config {tmp_path}/rig.toml": 1,
        f"purge {tmp_path}": 0,
        f"episodes --home {tmp_path}/home": 0,
        f"episodes --home {tmp_path}/home --json": 0,
        f"info {kept}": 0,
        replay: 0,
        f"{replay} --output -": 0,
        f"label --bundle {tiny_bundle.path} {kept}": 0,
        f"build {tiny_bundle.path}": 1,
        f"finetune --labels {tmp_path}/nothing.csv": 1,
    }


def _close(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def _run_all(
    commands: Dict[str, int], folder: Path, *words: str, environment: Optional[Dict[str, str]] = None, **streams: Any
) -> Dict[str, int]:
    """Runs them in one child process; returns their exit codes. Nothing may end in a traceback."""
    codes = folder / "codes.json"
    child = subprocess.run(
        [sys.executable, "-c", _ALL_COMMANDS, json.dumps(list(commands)), codes, *words],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            **(environment or {}),
        },
        timeout=600,  # a busy machine takes its time
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )
    told = (child.stdout or b"") + (child.stderr or b"")
    for trouble in b"Traceback", b"Exception ignored", b"Logging error":
        assert trouble not in told, told.decode(errors="replace")
    assert child.returncode == 0
    return dict(json.loads(codes.read_text()))


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1", "TERM": "dumb", "COLUMNS": "40"},
        pytest.param({"LC_ALL": "C"}, marks=pytest.mark.slow),
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow),
        pytest.param({"PYTHONIOENCODING": "ascii:strict"}, marks=pytest.mark.slow),
        pytest.param({"COLUMNS": "1"}, marks=pytest.mark.slow),
        pytest.param({"FORCE_COLOR": "1"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_no_locale_or_terminal_is_too_poor(
    commands: Dict[str, int], tmp_path: Path, environment: Dict[str, str]
) -> None:
    assert _run_all(commands, tmp_path, environment=environment) == commands


@pytest.mark.slow
def test_a_user_without_a_home_folder_has_the_shipped_bundle(commands: Dict[str, int], tmp_path: Path) -> None:
    assert _run_all(commands, tmp_path, "nobody") == commands


@pytest.mark.parametrize(
    "numbers", [(0, 1, 2), *(pytest.param((n,), marks=pytest.mark.slow) for n in range(3))], ids=str
)
def test_closed_streams_lead_nowhere(commands: Dict[str, int], tmp_path: Path, numbers: List[int]) -> None:
    assert _run_all(commands, tmp_path, preexec_fn=_close(*numbers)) == commands


@pytest.mark.slow
def test_a_full_disk_under_the_standard_output_is_a_failure(commands: Dict[str, int], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        codes = _run_all(commands, tmp_path, stdout=full)
    quiet = ("label", "build", "finetune", "bundle use", "bundle rollback", "recrod", "--sensors imu,imu")
    assert codes == {words: code if words.startswith(quiet) else 1 for words, code in commands.items()}


def test_a_full_disk_under_the_messages_changes_nothing(commands: Dict[str, int], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        assert _run_all(commands, tmp_path, stderr=full) == commands


@pytest.mark.slow
def test_a_reader_that_is_gone_leads_to_no_traceback(commands: Dict[str, int], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert set(_run_all(commands, tmp_path, stdout=writer)) == set(commands)
    os.close(writer)


def test_a_reader_that_is_gone_needs_no_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "cosmo_runtime.runtime.cli", "bundle", "list"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("words", [["bundle", "list"], ["--version"]], ids=" ".join)
@pytest.mark.parametrize("buffered", [True, False])
def test_the_full_stream_is_named(words: List[str], buffered: bool) -> None:
    command = [sys.executable, *([] if buffered else ["-u"]), "-m", "cosmo_runtime.runtime.cli", *words]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"cosmo-runtime: standard output: No space left on device\n")


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = "from cosmo_runtime.runtime.cli import main; main(['purge', '.']); "
    script += "new = open('new', 'w'); new.write(str(new.fileno()))"
    words = [sys.executable, "-c", script]
    subprocess.run(
        words, cwd=tmp_path, preexec_fn=_close(0, 1, 2), env={**os.environ, "PYTHONPATH": str(_ROOT / "src")}
    )
    assert int((tmp_path / "new").read_text()) > 2


def test_characters_that_the_encoding_lacks_are_shown_by_others_as_wide() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cosmo_runtime.runtime.cli", "bundle", "list"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        stdout=subprocess.PIPE,
    )
    heading, line = done.stdout.decode("latin-1").splitlines()[:2]
    assert line.startswith(" *  everyday ")
    assert line.index("everyday") == heading.index("bundle")


def test_what_has_expired_is_deleted_though_nobody_can_read_of_it(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    for number in range(3):
        with RecordingWriter(tmp_path / f"{number}.mcap", {"imu": infos["imu"]}, expires(timedelta(seconds=-1))):
            pass
    with Path("/dev/full").open("wb") as full:
        words = [sys.executable, "-u", "-m", "cosmo_runtime.runtime.cli", "purge", str(tmp_path)]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, list(tmp_path.glob("*.mcap"))) == (1, [])
    assert done.stderr == b"cosmo-runtime: standard output: No space left on device\n"


def _on_a_terminal(words: List[str], environment: Dict[str, str]) -> str:
    """Runs a command on a terminal of its own; returns what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **environment},
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(60) == 0, shown
    return shown.decode("latin-1")


def test_a_terminal_that_lacks_characters_does_not_end_a_recording(tmp_path: Path) -> None:
    file = tmp_path / "kept.mcap"
    words = ["record", "--sensors", "imu,radar", "--emulate", "person", "--duration", "3", str(file)]
    shown = _on_a_terminal(words, {"PYTHONIOENCODING": "latin-1"})
    assert Recording(file).duration_s > 2
    assert "recording to" in shown
    assert "+----" in shown


def test_a_full_disk_under_the_messages_does_not_end_a_recording(tmp_path: Path) -> None:
    file = tmp_path / "kept.mcap"
    words = ["record", "--sensors", "imu", "--emulate", "person", "--duration", "2", str(file)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words], stderr=full, stdin=subprocess.DEVNULL
        )
    assert done.returncode == 0
    assert Recording(file).duration_s > 1


def test_a_dumb_terminal_gets_json_lines(tmp_path: Path, kept: Path, tiny_bundle: Bundle) -> None:
    words = ["--sensors", "imu,radar", "--bundle", str(tiny_bundle.path), "--replay", str(kept), "--speed", "max"]
    shown = _on_a_terminal(words, {"TERM": "dumb"})
    assert shown.count('"window_end_ns"') == 7
    assert "\x1b" not in shown
