from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.sync.motion import Moment
from cosmo_runtime.sensors.events import Correction, Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.runtime.sync.made_up import BEGIN_NS, bursts, samples, seen, steps

Run = Callable[..., Any]

LATE_S = {"imu": 0.0, "depth": 0.25, "radar": -0.08}


def _picture(motion: float, number: int) -> np.ndarray:
    """A wall, before which more of the picture comes and goes the more moves."""
    picture = np.full((18, 32), 4000, np.uint16)
    if number % 2:
        picture.flat[: round(100 * motion)] = 3000
    return picture


def _record(path: Path, moments: Dict[str, List[Moment]], **latencies_ms: float) -> None:
    """Records sensors that see this moving."""
    infos = {
        name: SensorInfo(
            name, "made up", rate_hz, depth_scale_m=0.001 * (name == "depth"), latency_ms=latencies_ms.get(name, 0)
        )
        for name, rate_hz in (("imu", 100.0), ("depth", 15.0), ("radar", 20.0))
    }
    samples = []
    for name, of in moments.items():
        for number, moment in enumerate(of):
            data = {"imu": np.zeros(9), "radar": np.zeros((1, 5))}.get(name, np.zeros(1)).astype(np.float32)
            if name == "depth":
                data = _picture(moment.motion, number)
            elif name == "imu":
                data[2], data[3] = 9.81, moment.motion
            else:
                data[:, 3] = moment.motion
            stamp_ns = moment.stamp_ns - round(latencies_ms.get(name, 0) * 1e6)
            samples.append(Sample(name, stamp_ns, stamp_ns, data))
    with RecordingWriter(path, infos) as writer:
        for number, sample in enumerate(sorted(samples, key=lambda sample: sample.arrival_ns)):
            writer.write(sample)
            while number % 500 == 0 and writer.queued > 500:
                pass
    assert not writer.dropped


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """A recording of sensors that are out of step, whose camera has 30 ms taken off already."""
    _record(tmp_path / "late.mcap", seen(bursts(60), **LATE_S), depth=30)
    return tmp_path / "late.mcap"


def test_a_recording_says_how_far_its_sensors_are_apart_and_the_configuration_is_written(
    cosmo: Run, late: Path, tmp_path: Path
) -> None:
    assert Recording(late).infos["depth"].latency_ms == 30
    (tmp_path / "cosmo.toml").write_text("[imu]\nrate_hz = 100  # kept\n")
    done = cosmo("sync", late, "--json", "--write", tmp_path / "cosmo.toml")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["reference"], set(told["sensors"])) == ("imu", set(LATE_S))
    for name, late_s in LATE_S.items():
        row = told["sensors"][name]
        assert row["delay_ms"] == pytest.approx(1e3 * late_s, abs=20)
        assert row["risk"] <= 0.01
    config = load_config(tmp_path / "cosmo.toml")
    assert config.radar.latency_ms == 0  # the earliest; the others are in step with it
    assert config.imu.latency_ms == pytest.approx(80, abs=15)
    assert config.depth.latency_ms == pytest.approx(80 + 250, abs=20)
    assert "# kept" in (tmp_path / "cosmo.toml").read_text()
    assert "lateness_ms" in done.err  # windows must wait for a sensor that is so late


def test_what_a_run_took_off_while_it_was_recorded_counts(cosmo: Run, tmp_path: Path) -> None:
    path, late_s, half_s = tmp_path / "corrected.mcap", 0.25, 40
    infos = {name: SensorInfo(name, "made up", rate_hz) for name, rate_hz in (("imu", 100.0), ("radar", 20.0))}
    of = samples(seen(bursts(80), imu=0, radar=late_s))
    with RecordingWriter(path, infos) as writer:
        corrected_ns = 0
        for number, sample in enumerate(of):
            if not corrected_ns and sample.arrival_ns > BEGIN_NS + half_s * 10**9:
                corrected_ns = 240_000_000
                writer.write(Correction("radar", sample.arrival_ns, corrected_ns))
            if sample.sensor == "radar":
                sample = replace(sample, stamp_ns=sample.stamp_ns - corrected_ns)
            writer.write(sample)
            while number % 500 == 0 and writer.queued > 500:
                pass
    told = json.loads(cosmo("sync", path, "--json").out)["sensors"]["radar"]
    assert told["delay_ms"] == pytest.approx(1e3 * late_s, abs=20)


def test_recordings_that_contradict_each_other_are_refused(cosmo: Run, late: Path, tmp_path: Path) -> None:
    other, same = tmp_path / "other.mcap", tmp_path / "same.mcap"
    _record(other, seen(bursts(60), imu=0, depth=0.1, radar=-0.08))
    _record(same, seen(bursts(60), imu=0, depth=0.27, radar=-0.08))
    assert cosmo("sync", late, same).code == 0
    done = cosmo("sync", late, same, other, "--write", tmp_path / "cosmo.toml")
    assert done.code == 1 and not (tmp_path / "cosmo.toml").exists()
    assert re.search(
        rf"depth is \+2\d\d ms behind imu in {late}, but \+\d+ ms in {other}: give recordings of one", done.err
    )


def test_the_same_recording_twice_is_no_second_one(cosmo: Run, late: Path) -> None:
    done = cosmo("sync", late, late.parent / "." / late.name)
    assert (done.code, "name each recording only once" in done.err) == (2, True)


def test_motion_that_cannot_tell_writes_nothing(cosmo: Run, tmp_path: Path) -> None:
    _record(tmp_path / "walk.mcap", seen(steps(60), imu=0, radar=0.2))
    done = cosmo("sync", tmp_path / "walk.mcap", "--write", tmp_path / "cosmo.toml")
    assert done.code == 1
    assert "the motion repeats itself" in done.err
    assert "irregularly" in done.err
    assert not (tmp_path / "cosmo.toml").exists()


def test_what_is_no_recording_is_told(cosmo: Run, tmp_path: Path) -> None:
    done = cosmo("sync", tmp_path / "none.mcap")
    assert done.code == 1
    assert "none.mcap" in done.err


@pytest.mark.slow
def test_a_run_takes_latencies_off_and_its_replay_sees_the_same_windows(
    cosmo: Run, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "cosmo.toml").write_text("[imu]\nlatency_ms = 120\n[radar]\nlatency_ms = 40\n")
    words = ("--sensors", "imu,radar", "--bundle", tiny_bundle.path, "--output", "-")
    path = tmp_path / "run.mcap"
    live = ("--emulate", "person", "--duration", 5, "--config", tmp_path / "cosmo.toml", "--record", path)
    assert cosmo(*words, *live).code == 0
    told = json.loads(cosmo("info", path, "--json").out)["sensors"]
    assert {name: sensor["latency_ms"] for name, sensor in told.items()} == {"imu": 120, "radar": 40}
    delays_ms: Dict[str, List[float]] = {name: [] for name in told}
    for event in Recording(path).events():
        if isinstance(event, Sample):
            delays_ms[event.sensor].append((event.arrival_ns - event.stamp_ns) / 1e6)
    assert min(delays_ms["imu"]) > 119  # how much later is up to the machine
    assert min(delays_ms["radar"]) > 39
    replayed = cosmo(*words, "--replay", path, "--speed", "max")
    same = re.search(r"bit for bit: (\d+) of (\d+)", replayed.err)
    assert same and same[1] == same[2] != "0"


@pytest.mark.slow
def test_a_run_that_puts_a_sensor_in_step_says_so_and_its_replay_sees_the_same(
    cosmo: Run, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = [{"radar": 150.0}, None, {"radar": -20.0}]
    monkeypatch.setattr("cosmo_runtime.runtime.sync.watch.StepWatch.look", lambda *_: news.pop(0) if news else None)
    (tmp_path / "cosmo.toml").write_text("[radar]\nlatency_ms = 40\n")
    words = ("--sensors", "imu,radar", "--bundle", tiny_bundle.path, "--output", "-")
    path = tmp_path / "run.mcap"
    live_words = ("--emulate", "person", "--duration", 5, "--config", tmp_path / "cosmo.toml", "--record", path)
    live = cosmo(*words, *live_words, "--auto-sync")
    assert live.code == 0
    assert [line.get("corrected_ms") for line in live.lines[:4]] == [None, *[{"radar": 150}] * 2, {"radar": 130}]
    assert "to make it permanent, set radar latency_ms = 170" in " ".join(live.err.split())
    assert (tmp_path / "cosmo.toml").read_text() == "[radar]\nlatency_ms = 40\n"
    replayed = cosmo(*words, "--replay", path, "--speed", "max")
    same = re.search(r"bit for bit: (\d+) of (\d+)", replayed.err)
    assert same and same[1] == same[2] != "0"
    assert [line["probabilities"] for line in replayed.lines] == [line["probabilities"] for line in live.lines]
    assert replayed.lines[-1]["corrected_ms"] == {"radar": 130}


def test_a_replay_does_as_its_run_did(cosmo: Run, tiny_bundle: Bundle, late: Path) -> None:
    done = cosmo("--sensors", "imu", "--bundle", tiny_bundle.path, "--replay", late, "--auto-sync")
    assert done.code == 2
    assert "--replay cannot be used with --emulate, --record or --auto-sync" in done.err
