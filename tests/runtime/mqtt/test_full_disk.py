"""A full disk ends a recording, and never the recognition and its alarms; log, heartbeat, broker and summary say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cosmo_runtime.models.bundle import Bundle

_RUN = """
import functools, resource, sys
from cosmo_runtime.runtime.cli import home, main

home.Heartbeat = functools.partial(home.Heartbeat, every_s=0.5)  # a minute is long for a test
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_it_is_said_wherever_somebody_may_look(
    tmp_path: Path, tiny_bundle: Bundle, broker: Any, make_home: Any
) -> None:
    home = make_home(broker)
    (tmp_path / "cosmo.toml").write_text(f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\ndevice = "box"\n')
    words = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", tiny_bundle.path, "--duration", 10]
    words += ["--config", "cosmo.toml", "--home", "home", "--output", "lines.jsonl", "--record", "run"]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "40000", *map(str, words), "--summary", "figures.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = "recording stopped: File too large; what came before is in the file"
    before, _, after = " ".join(done.stderr.split()).rpartition(" windows, ")
    assert said in before  # in the log, while it ran
    assert after.count(said) == 2  # in the summary, and as the reason of the exit code
    (figures,) = json.loads((tmp_path / "figures.json").read_text())["recordings"].values()
    assert said in figures["trouble"]
    assert figures["dropped"] > 0

    told = json.loads((tmp_path / "home" / "health.json").read_text())["troubles"]
    assert any(said in trouble for trouble in told)
    health = [json.loads(payload) for payload in home.payloads("cosmo/box/health")]
    full = [message for message in health if any(said in trouble for trouble in message["troubles"])]
    assert full
    assert not any(message["well"] for message in full)
    assert full[-1]["windows"]["answered"] > full[0]["windows"]["answered"]  # recognition went on


@pytest.mark.slow
def test_a_run_that_starts_on_it_recognises_and_raises_alarms(
    tmp_path: Path, tiny_bundle: Bundle, broker: Any, make_home: Any
) -> None:
    home = make_home(broker)
    (tmp_path / "cosmo.toml").write_text(f"""
[recognition]
min_confidence = 0
[mqtt]
host = "127.0.0.1"
port = {broker.port}
device = "box"
[[alarms]]
name = "any"
nothing_but = ["walk", "wave", "none"]
held_s = 1
""")
    words = ["--sensors", "imu,radar", "--emulate", "person", "--bundle", tiny_bundle.path, "--duration", 8]
    words += ["--config", "cosmo.toml", "--home", "home", "--output", "-"]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "100", *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=250
    )
    assert len(done.stdout.splitlines()) > 5, done.stderr
    assert (done.returncode, "entries of the log could not be written" in done.stderr) == (1, True)
    health = [json.loads(payload) for payload in home.payloads("cosmo/box/health")]
    assert not any(message["well"] for message in health)
    assert all("episodes cannot be written" in message["troubles"][0] for message in health)
    assert [json.loads(payload)["state"] for payload in home.payloads("cosmo/box/alarm/any")][:2] == ["OFF", "ON"]
