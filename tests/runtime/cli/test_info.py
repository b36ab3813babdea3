from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Callable

import pytest
from mcap.reader import make_reader

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.sensors.recording import RecordingWriter

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def recorded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "cosmo.toml").write_text("[recognition]\nmin_confidence = 0.4\n")
    words = ["record", "--sensors", "imu,radar", "--emulate", "person", "--duration", "1"]
    about = ["--participant", "P 17", "--operator", "Ms Li", "--note", "living room", "--consent-until", "2999-01-01"]
    command = [sys.executable, "-m", "cosmo_runtime.runtime.cli", *words, *about]
    subprocess.run([*command, "--config", folder / "cosmo.toml", folder / "a.mcap"], check=True)
    return folder / "a.mcap"


@pytest.fixture
def recording(recorded_once: Path, tmp_path: Path) -> Path:
    """Of an emulated IMU and radar, with all that may be said of a person."""
    return Path(shutil.copy(str(recorded_once), str(tmp_path)))


def test_a_recording_says_whom_it_shows_and_with_what_it_was_made(cosmo: Run, recording: Path) -> None:
    told = json.loads(cosmo("info", recording, "--json").out)
    metadata = told["metadata"]
    assert (metadata["participant"], metadata["operator"], metadata["note"]) == ("P 17", "Ms Li", "living room")
    assert metadata["consent_until"] == "2999-01-01"
    assert metadata["configuration"] == "[recognition]\nmin_confidence = 0.4\n"
    assert "frameCfg" in metadata["chirps.radar"]
    assert metadata["version"]
    assert set(told["sensors"]) == {"imu", "radar"}
    assert told["whole"]
    out = cosmo("info", recording).out
    assert "P 17" in out
    assert [line.split(maxsplit=1)[1] for line in out.splitlines()[4:6]] == ["written to its end", "no labels"]
    content, half = recording.read_bytes(), recording.stat().st_size // 2
    with recording.open("rb") as file:
        hole = make_reader(file).get_summary().chunk_indexes[-1].chunk_start_offset
    recording.write_bytes(content[:half])
    assert "state          cut short: the run was killed" in cosmo("info", recording).out
    recording.write_bytes(content[:hole] + bytes(1000) + content[hole:])
    assert f"state          damaged: {recording.name} at byte {hole}, " in cosmo("info", recording).out
    assert not json.loads(cosmo("info", recording, "--json").out)["whole"]
    assert "frameCfg" not in out


def test_all_of_one_participant_is_deleted_and_of_no_other(cosmo: Run, recording: Path) -> None:
    done = cosmo("purge", recording.parent, "--participant", "P 1")
    assert (done.code, recording.exists(), "belongs to P 17" in done.out) == (1, True, True)
    assert "nobody is called P 1 here; there are P 17\n" in done.err
    assert cosmo("purge", recording.parent, "--participant", "P 17").code == 0
    assert not recording.exists()


@pytest.mark.parametrize("days, gone", [(-1, True), (0, False), (1, False)])
def test_a_recording_goes_when_consent_to_it_has_ended(cosmo: Run, tmp_path: Path, days: int, gone: bool) -> None:
    day = (date.today() + timedelta(days=days)).isoformat()
    RecordingWriter(tmp_path / "a.mcap", {}, {"consent_until": day}).close()
    assert cosmo("purge", tmp_path).code == 0
    assert (tmp_path / "a.mcap").exists() is not gone


def test_what_is_said_of_a_recording_needs_one(cosmo: Run, recording: Path, tiny_bundle: Bundle) -> None:
    model = ("--bundle", tiny_bundle.path)
    done = cosmo("--sensors", "imu", *model, "--emulate", "person", "--participant", "P 17")
    assert (done.code, "--participant needs --record" in done.err) == (2, True)
    done = cosmo("--sensors", "imu", *model, "--web", "--replay", recording, "--participant", "P 17")  # records nothing
    assert (done.code, "--participant needs --record" in done.err) == (2, True)
