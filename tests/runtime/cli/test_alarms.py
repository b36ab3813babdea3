from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.cli.common import version
from cosmo_runtime.runtime.cli.home import _unknown_zone
from cosmo_runtime.runtime.episodes.entries import last_alarms
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.state import log_folder
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Run = Callable[..., Any]
Samples = Callable[..., List[Sample]]


@pytest.fixture
def record(tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples) -> Callable[..., Path]:
    """Records an IMU that brings nothing for 14 s, from a second on."""

    def write(begin_s: int, **about: str) -> Path:
        with RecordingWriter(tmp_path / f"from-{begin_s}.mcap", {"imu": infos["imu"]}, about) as writer:
            for sample in samples("imu", begin_s, begin_s + 6) + samples("imu", begin_s + 20, begin_s + 26):
                writer.write(sample)
        return writer.path

    return write


@pytest.fixture
def kept(record: Callable[[int], Path]) -> Path:
    return record(0)


@pytest.fixture
def replayed(cosmo: Run, tiny_bundle: Bundle, tmp_path: Path, kept: Path) -> Run:
    """Runs over a recording with two rules; returns the alarms kept."""
    config = tmp_path / "cosmo.toml"
    config.write_text("""
[recognition]
min_confidence = 0
[[alarms]]
name = "no data"
no_data = true
held_s = 5
[[alarms]]
name = "any"
nothing_but = ["walk", "wave", "none"]
clip = true
held_s = 1
[clips]
before_s = 2
after_s = 2
""")
    words = ["--sensors", "imu", "--bundle", tiny_bundle.path, "--speed", "max", "--config", config]

    def run(recording: Path = kept, *more: str) -> List[Dict[str, Any]]:
        done = cosmo(*words, "--replay", recording, "--home", tmp_path / "home", *more)
        assert done.code == 0, done.err
        return [json.loads(line) for line in cosmo("alarms", "--json", "--home", tmp_path / "home").out.splitlines()]

    return run


def test_a_run_keeps_its_alarms_with_their_evidence_and_a_clip(replayed: Run, tmp_path: Path) -> None:
    alarms = replayed()
    first = next(alarm for alarm in alarms if alarm["name"] == "any")
    assert (first["state"], first["stands"], first["evidence"]["sensors"]) == ("raised", True, ["imu"])
    clip = Recording(tmp_path / "home" / "clips" / first["clip"])
    assert clip.metadata["alarm"] == "any"
    assert clip.duration_s > 2


def test_a_clip_of_a_replay_is_of_whom_the_recording_shows_and_does_not_outlive_it(
    cosmo: Run, replayed: Run, record: Callable[..., Path], tmp_path: Path
) -> None:
    soon = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat(timespec="seconds")
    about = {"participant": "P17", "consent_until": "2999-01-01", "configuration": "# of then", "chirps.radar": "fast"}
    of_itself = {"windows": "of the run", "bundle": "old", "segment": "1", "alarm": "fall", "source": "live"}
    recording = record(50, **about, **of_itself, version="0.0", expires=soon)
    clips = tmp_path / "home" / "clips"
    (name,) = {alarm["clip"] for alarm in replayed(recording) if "clip" in alarm}
    assert Recording(clips / name).metadata == {
        **about, "alarm": "any", "source": "replay of from-50.mcap", "bundle": "tiny", "version": version(),
        "expires": soon,
    }  # fmt: skip
    assert cosmo("purge", clips, "--participant", "P17", "--cache", tmp_path / "none").code == 0
    assert list(clips.iterdir()) == []
    out = cosmo("alarms", "--home", tmp_path / "home").out
    assert ("not there: deleted" in out, name in out) == (True, False)


def test_a_replay_tells_a_broker_nothing_of_what_is_over(
    cosmo: Run, tiny_bundle: Bundle, kept: Path, tmp_path: Path
) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text('[mqtt]\nhost = "127.0.0.1"\nport = 1\n')
    words = ["--sensors", "imu", "--speed", "max", "--config", config, "--home", tmp_path / "other home"]
    done = cosmo(*words, "--bundle", tiny_bundle.path, "--replay", kept)
    assert "a replay tells the broker of [mqtt] nothing" in done.err
    assert (done.code, "127.0.0.1:1" in done.err) == (0, False)


def test_a_replay_of_somebody_else_is_refused_and_of_nobody_is_of_whom_the_option_names(
    cosmo: Run, replayed: Run, record: Callable[..., Path], tmp_path: Path
) -> None:
    words = ["--sensors", "imu", "--home", tmp_path / "home", "--participant", "P18", "--replay"]
    done = cosmo(*words, record(50, participant="P17"))
    assert (done.code, "from-50.mcap is of P17" in done.err) == (2, True)
    replayed(record(100), "--participant", "P18")
    (clip, *_) = (tmp_path / "home" / "clips").iterdir()
    assert Recording(clip).metadata["participant"] == "P18"


def test_an_alarm_that_stands_is_acknowledged_and_the_next_run_takes_it(
    cosmo: Run, replayed: Run, record: Callable[[int], Path], tmp_path: Path
) -> None:
    first = replayed()
    assert [alarm["stands"] for alarm in first if alarm["name"] == "any"][-1]
    assert [alarm["state"] for alarm in first if alarm["name"] == "no data"] == ["raised", "over"]
    done = cosmo("alarms", "--home", tmp_path / "home", "--acknowledge", "fall")
    assert (done.code, "alarm 'fall' is not active; active: any" in done.err) == (2, True)
    assert cosmo("alarms", "--home", tmp_path / "home", "--acknowledge", " Any").code == 0
    states = [alarm["state"] for alarm in replayed(record(100)) if alarm["name"] == "any"]
    assert "acknowledged" in states
    assert not list((tmp_path / "home" / "acknowledged").iterdir())


def test_the_last_entry_counts_though_an_earlier_run_had_a_clock_that_was_ahead(cosmo: Run, tmp_path: Path) -> None:
    for number, (ahead_ns, told) in enumerate([(10**18, "acknowledged"), (0, "raised"), (0, "raised")]):
        log = EpisodeLog(log_folder(tmp_path), lambda _, ahead_ns=ahead_ns: 1_800_000_000 * 10**9 + ahead_ns)  # type: ignore[misc]
        evidence = {"activity": "fall", "since": "2026-12-31T23:59:58.000+01:00", "seconds": 1.0}
        stands = told == "raised"
        details = {"state": told, "quiet": False, "stands": stands, "on": stands, "evidence": evidence}
        log.alarm("fall", 0, {**details, "number": number, "times": number, "first": "2026-11-30T22:00:00.000+01:00"})
        log.close()
    assert cosmo("alarms", "--home", tmp_path, "--acknowledge", "fall").code == 0
    status = json.loads(cosmo("status", "--home", tmp_path, "--json").out)
    assert (status["alarms"], status["last_alarm"]["state"]) == (["fall"], "raised")
    assert [path.name for path in (tmp_path / "acknowledged").iterdir()] == ["fall@2"]
    told = "alarms that nobody has acknowledged: fall (2 times since 2026-11-30 22:00:00"
    assert f"{told})\n" in cosmo("status", "--home", tmp_path).out
    log = EpisodeLog(log_folder(tmp_path), lambda _: 0)
    log.alarm("fall", 0, {**last_alarms(log.folder)["fall"], "quiet": True, "on": False})
    log.close()
    assert f"{told}, quiet)\n" in cosmo("status", "--home", tmp_path).out


def test_people_read_a_table(cosmo: Run, replayed: Run, tmp_path: Path) -> None:
    replayed()
    out = cosmo("alarms", "--home", tmp_path / "home").out
    assert "raised" in out
    assert "any" in out


def test_an_alarm_that_can_never_be_raised_ends_a_run_before_it_begins(
    cosmo: Run, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text('[[alarms]]\nname = "walks"\nactivity = "walks"\n')
    words = ["--sensors", "imu", "--bundle", tiny_bundle.path, "--config", config, "--emulate", "person"]
    done = cosmo(*words, "--home", tmp_path / "home")
    assert done.code == 1
    assert "alarm walks can never be raised: the model tiny knows no 'walks'; did you mean walk? It knows" in done.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("zone", "told"), [("Nowhere/Bogus", True), ("CET-1CEST,M3.5.0,M10.5.0/3", False)])
def test_a_time_zone_that_does_not_exist_is_told(
    cosmo: Run, kept: Path, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, told: bool
) -> None:
    monkeypatch.setenv("TZ", zone)
    words = ["--sensors", "imu", "--bundle", tiny_bundle.path, "--speed", "max", "--home", tmp_path / "home"]
    done = cosmo(*words, "--replay", kept)
    assert done.code == 0, done.err
    assert (f"TZ={zone} names no time zone of this machine" in done.err) is told


def test_a_zone_is_a_file_or_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone in ("Europe/Berlin", ":Europe/Berlin", "UTC", "", "<+03>-3", "EST5EDT"):
        monkeypatch.setenv("TZ", zone)
        assert _unknown_zone() == ""
