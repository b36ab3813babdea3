from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.sensors.recording import Recording

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")
psutil = pytest.importorskip("psutil")

Run = Callable[..., Any]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "words, wrong",
    [
        ("web --listen 0.0.0.0:0", "needs --token-file FILE"),
        ("web --listen [::]:0", "needs --token-file FILE"),
        ("web --listen 0.0.0.0:0 --token short", "a token has 16 letters and digits at least"),
        ("web --listen 127.0.0.1:0 --token 0123456789abcdef --token-file x", "give one of them"),
        ("web --listen nowhere", "expected an address and a port"),
        ("web --listen 127.0.0.1:99999", "expected an address and a port"),
        ("web --emulate person", "--sensors"),
        ("--sensors imu --listen 127.0.0.1:0", "need --web"),
    ],
)
def test_wrong_usage_is_explained(cosmo: Run, tmp_path: Path, words: str, wrong: str) -> None:
    done = cosmo(*words.split())
    assert done.code == 2
    assert wrong in done.err


def test_a_token_file_that_others_may_read_is_refused(cosmo: Run, token_file: Path) -> None:
    token_file.chmod(0o644)
    done = cosmo("web", "--listen", "0.0.0.0:0", "--token-file", token_file)
    assert done.code == 2
    assert "chmod 600" in done.err


def test_an_address_that_is_taken_is_told(cosmo: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = cosmo("web", "--listen", address, "--recordings", tmp_path)
    assert done.code == 1
    assert "another port may be free" in done.err


def test_a_home_is_watched_even_if_its_page_cannot_open(cosmo: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    rig = ["--sensors", "imu", "--emulate", "person", "--duration", "4"]
    page = ["--listen", "127.0.0.1:0", "--recordings", tmp_path / "file" / "recordings"]
    told = f"--recordings {tmp_path}/file/recordings: Not a directory"
    done = cosmo(*rig, "--web", *page, "--home", tmp_path / "home", "--output", "-")
    assert (done.code, len(done.lines) > 0) == (0, True)
    assert f"{told}; the run goes on without the page" in done.err
    for words in ([*rig, "--web"], ["web", *rig, "--home", tmp_path / "home"]):
        done = cosmo(*words, *page)
        assert (done.code, told in done.err) == (1, True)


def test_a_run_listens_nowhere_unless_it_is_asked_to() -> None:
    words = ["--sensors", "imu", "--emulate", "person", "--duration", "6", "--output", "-"]
    command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout
        run.stdout.readline()  # the first window
        processes = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
        listening = [c for process in processes for c in process.net_connections("inet") if c.status == "LISTEN"]
        run.terminate()
    assert listening == []


def test_the_printed_link_holds_the_token(tmp_path: Path, token_file: Path) -> None:
    words = ["web", "--listen", "0.0.0.0:0", "--token-file", str(token_file), "--recordings", str(tmp_path)]
    command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        line = server.stderr.readline()
        server.terminate()
    assert line.strip().endswith("/enter?token=0123456789abcdef0123")


def test_days_follow_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "cosmo.toml").write_text("[episodes]\non_s = 60\nleast_s = 60\n")
    noon = datetime(2026, 3, 3, 12).astimezone()
    activities = ["sit"] * 300 + ["wave"] * 20 + ["sit"] * 300  # ten seconds of it
    lines = [
        json.dumps({"time": (noon + timedelta(seconds=half / 2)).isoformat(), "activity": activity, "confidence": 0.8})
        for half, activity in enumerate(activities)
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")
    words = ["web", "--listen", "127.0.0.1:0", "--recordings", str(tmp_path), "--home", str(tmp_path / "home")]
    shown = []
    for config in [], ["--config", str(tmp_path / "cosmo.toml")]:
        command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words, *config]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr
            link = server.stderr.readline().split()[-1]
            with urllib.request.urlopen(f"{link}api/days?day=2026-03-03", timeout=60) as answer:
                shown.append({activity for _, _, activity, _ in json.load(answer)["episodes"]})
            server.terminate()
    assert shown == [{"sit", "wave"}, {"sit"}]


@pytest.mark.slow
def test_a_recording_of_the_page_says_what_one_of_the_command_line_says(tmp_path: Path, tiny_bundle: Bundle) -> None:
    (tmp_path / "cosmo.toml").write_text("[recognition]\nmin_confidence = 0.5\n")
    words = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", str(tiny_bundle.path), "--duration", "60"]
    words += ["--config", "cosmo.toml", "--record", "run.mcap", "--participant", "P17", "--consent-until", "2999-01-01"]
    words += ["--note", "limps", "--expires", "1d", "--web", "--listen", "127.0.0.1:0", "--recordings", "page"]
    command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words]
    asked: Dict[str, Dict[str, str]] = {"same": {}, "named": {"participant": "P17"}, "other": {"participant": "P18"}}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as server:
        assert server.stderr
        link = server.stderr.readline().split()[-1]

        def post(path: str, content: object) -> None:
            json_type = {"Content-Type": "application/json", "Origin": link.rstrip("/")}
            request = urllib.request.Request(f"{link}api/{path}", json.dumps(content).encode(), json_type)
            urllib.request.urlopen(request, timeout=60).close()

        for name, content in asked.items():
            path, end = tmp_path / "page" / f"{name}.mcap", time.monotonic() + 60
            while not path.exists():  # it can record once the sensors are connected
                assert time.monotonic() < end
                with suppress(urllib.error.HTTPError):
                    post("record", {"name": name, **content})
                time.sleep(0.5)
            while Recording(path).cut:
                assert time.monotonic() < end
                post("record/stop", {})
                time.sleep(0.5)
        server.terminate()
        server.communicate()
    run = dict(Recording(tmp_path / "run.mcap").metadata)
    assert run.pop("windows") and run.pop("expires")
    assert "min_confidence = 0.5" in run["configuration"] and run["chirps.radar"] and run["version"]
    assert Recording(tmp_path / "page" / "same.mcap").metadata == run
    assert Recording(tmp_path / "page" / "named.mcap").metadata == run
    assert run.pop("consent_until") and run.pop("note") == "limps"
    assert Recording(tmp_path / "page" / "other.mcap").metadata == {**run, "participant": "P18"}


def test_the_page_does_not_take_record_for_recordings(cosmo: Callable[..., Any], tmp_path: Path) -> None:
    done = cosmo("web", "--sensors", "imu", "--emulate", "person", "--record", tmp_path / "run.mcap")
    assert (done.code, "--record" in done.err) == (2, True)
