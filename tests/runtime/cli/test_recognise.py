"""``--follow`` as people and programs meet it."""

from __future__ import annotations

import gc
import json
import os
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle, write_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.cli import rig
from cosmo_runtime.runtime.recognition.follow import Follower
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sources.replay import windows_key
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.runtime import rigs

Run = Callable[..., Any]
Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]
Later = Callable[..., None]

_S = 10**9


@pytest.fixture
def put(shelf: Shelf, tiny_bundle: Bundle) -> Callable[..., Bundle]:
    """Writes bundles on the shelf, with changes to their spec."""

    def put(name: str, **changes: object) -> Bundle:
        spec = tiny_bundle.spec.model_copy(update=changes)
        onnx = tiny_bundle.onnx.read_bytes()
        return write_bundle(shelf.folder / name, spec, onnx=onnx, weights=b"", provenance={}, metrics={})

    return put


@pytest.fixture
def later(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Later:
    """Puts bundles in use while the test runs something: ``later((windows, name), ...)``.

    Each comes so many windows after the one before it was taken or refused, as the lines of the output tell,
    ``tmp_path / "lines"``. A replay waits meanwhile. ``at_the_end`` is called three windows after the last one.
    """
    output, looked_at = tmp_path / "lines", threading.Semaphore(0)
    prepare, take = Follower._prepare, Follower.take

    def prepare_and_tell(follower: Follower, bundle: Bundle) -> None:
        try:
            prepare(follower, bundle)
        finally:
            looked_at.release()

    def later(*changes: Tuple[int, str], at_the_end: Optional[Callable[[], None]] = None) -> None:
        left, waits, windows_before = list(changes), False, 0

        def change_and_take(follower: Follower) -> Optional[Recognizer]:
            nonlocal waits, windows_before
            windows = output.read_text().count("\n") if output.exists() else 0
            if left and not waits and windows - windows_before >= left[0][0]:
                shelf.use(left.pop(0)[1])
                waits = True
            if waits and looked_at.acquire(timeout=0 if at_the_end else 60):
                waits, windows_before = False, windows
            if at_the_end and not left and not waits and windows - windows_before >= 3:
                at_the_end()
            return take(follower)

        monkeypatch.setattr(Follower, "take", change_and_take)

    monkeypatch.setattr(Follower, "_prepare", prepare_and_tell)
    return later


@pytest.fixture
def events(samples: Samples, by_arrival: Merge) -> List[Event]:
    """Five seconds of an IMU and a radar."""
    return by_arrival(samples("imu", 0, 5.1), samples("radar", 0, 5.1))


@pytest.fixture
def kept(tmp_path: Path, infos: Dict[str, SensorInfo], events: List[Event]) -> Path:
    """Those events, recorded without recognising."""
    with RecordingWriter(tmp_path / "kept.mcap", {name: infos[name] for name in ("imu", "radar")}) as writer:
        for event in events:
            writer.write(event)
    return writer.path


@pytest.fixture
def recognised(tmp_path: Path, infos: Dict[str, SensorInfo], events: List[Event], spec: ModelSpec) -> Path:
    """Those events, recorded by a run that also kept its windows."""
    aligner = Aligner(spec, rigs.infos(imu=100, radar=20))
    metadata = {"windows": windows_key(spec, 300)}
    with RecordingWriter(tmp_path / "run.mcap", {name: infos[name] for name in ("imu", "radar")}, metadata) as writer:
        for event in events:
            writer.write(event)
            for window in aligner.feed(event):
                fingerprint = {"end_ns": window.end_ns, "features": window.digest(), "late": window.late}
                writer.write_json("/windows", window.end_ns, fingerprint)
    return writer.path


def _lines(folder: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in (folder / "lines").read_text().splitlines()]


@pytest.mark.parametrize("words", [["--bundle", "{bundle}"], ["--config", "{config}"]])
def test_following_goes_with_no_named_bundle(cosmo: Run, tiny_bundle: Bundle, tmp_path: Path, words: List[str]) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text(f'[recognition]\nbundle = "{tiny_bundle.path}"\n')
    words = [word.format(bundle=tiny_bundle.path, config=config) for word in words]
    done = cosmo("--sensors", "imu", "--emulate", "person", "--follow", *words)
    assert (done.code, "--follow runs the bundle in use. Leave out --bundle" in done.err) == (2, True)


@pytest.mark.parametrize("option", ["--output", "--summary"])
def test_what_a_run_tells_never_lands_in_a_recording_or_in_labels(
    cosmo: Run, tiny_bundle: Bundle, recognised: Path, option: str
) -> None:
    labels = recognised.with_suffix(".csv")
    labels.write_text("start,end,activity\n1,2,wave\n")
    words = ["--sensors", "imu,radar", "--bundle", tiny_bundle.path, "--replay", recognised, "--speed", "max"]
    for file in recognised, labels:
        before = file.read_bytes()
        done = cosmo(*words, option, file)
        assert (done.code, f"{option} {file}: it holds something else than JSON" in done.err) == (1, True)
        assert file.read_bytes() == before


def test_a_garbage_collection_does_not_walk_through_what_was_there_before_the_run(
    cosmo: Run, tiny_bundle: Bundle, recognised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared: List[int] = []
    recognise = "cosmo_runtime.runtime.cli.recognise.recognise"
    monkeypatch.setattr(recognise, lambda *_: spared.append(gc.get_freeze_count()))
    cosmo("--sensors", "imu,radar", "--bundle", tiny_bundle.path, "--replay", recognised, "--speed", "max")
    assert spared[0] > 10_000
    assert gc.get_freeze_count() < 1000


def test_a_summary_that_cannot_be_written_hides_nothing_else(
    cosmo: Run, tiny_bundle: Bundle, recognised: Path, tmp_path: Path
) -> None:
    words = ["--sensors", "imu,radar", "--bundle", tiny_bundle.path, "--replay", recognised, "--speed", "max"]
    at_once = cosmo(*words, "--summary", tmp_path / "none" / "x.json", "--output", tmp_path / "lines")
    assert (at_once.code, f"there is no folder {tmp_path}/none" in at_once.err) == (1, True)
    assert not (tmp_path / "lines").exists()
    done = cosmo(*words, "--summary", tmp_path)
    assert (done.code, f"--summary {tmp_path}: Is a directory" in done.err) == (1, True)
    assert "bit for bit: 9 of 9" in done.err
    figures, reader = tmp_path / "figures.json", tmp_path / "as a reader sees it"
    figures.write_text('{"of": "before"}')
    os.link(figures, reader)
    assert cosmo(*words, "--summary", figures).code == 0
    assert json.loads(figures.read_text())["windows"] == 9
    assert reader.read_text() == '{"of": "before"}'  # another file took the name, so nobody ever reads half of one


def test_the_configuration_says_how_often_a_model_answers(
    cosmo: Run, tiny_bundle: Bundle, recognised: Path, tmp_path: Path
) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text("[recognition]\nhop_s = 0.1\n")
    words = ["--sensors", "imu,radar", "--bundle", tiny_bundle.path, "--replay", recognised, "--speed", "max"]
    often, seldom = cosmo(*words, "--config", config), cosmo(*words)
    assert [line["window_end_ns"] / _S for line in often.lines] == pytest.approx(np.arange(10, 51) / 10)
    assert [line["window_end_ns"] / _S for line in seldom.lines] == np.arange(1, 5.1, 0.5).tolist()
    assert "bit for bit" not in often.err  # it has other windows


def test_answers_that_would_leave_time_unseen_are_refused(cosmo: Run, tiny_bundle: Bundle, tmp_path: Path) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text("[recognition]\nhop_s = 1.5\n")
    words = ["--bundle", tiny_bundle.path, "--config", config]
    said = "hop_s = 1.5 of [recognition] is longer than the windows of tiny, which are 1 s"
    done = cosmo("--sensors", "imu", *words, "--emulate", "person", "--duration", 1)
    assert (done.code, said in done.err) == (1, True), done.err
    done = cosmo("doctor", *words)
    assert (done.code, said in " ".join(done.out.split())) == (1, True), done.out


def test_a_replay_changes_to_the_bundle_put_in_use_and_loses_no_window(
    cosmo: Run, shelf: Shelf, put: Callable, later: Later, recognised: Path, tmp_path: Path
) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text("[recognition]\nsmoothing = 0.0\n")
    put("b", classes=("to walk", "to wave", "nothing"))
    put("a")
    shelf.use("a")
    words = ["--sensors", "imu,radar", "--config", config, "--replay", recognised]
    alone = cosmo(*words, "--speed", "max")
    later((1, "b"))
    done = cosmo(*words, "--follow", "--output", tmp_path / "lines")
    assert done.code == 0, done.err
    lines = _lines(tmp_path)
    assert "bit for bit: 9 of 9" in done.err
    names = [line["bundle"] for line in lines]
    assert names == sorted(names) and set(names) == {"a", "b"}
    assert [line["window_end_ns"] / _S for line in lines] == np.arange(1, 5.1, 0.5).tolist()
    for line, same in zip(lines, alone.lines):
        assert list(line["probabilities"].values()) == list(same["probabilities"].values())
        assert next(iter(line["probabilities"])) == {"a": "walk", "b": "to walk"}[line["bundle"]]
    assert "answered by a " in done.err


def test_other_windows_follow_without_a_gap_where_nothing_is_compared(
    cosmo: Run, shelf: Shelf, put: Callable, later: Later, kept: Path, tmp_path: Path
) -> None:
    put("b", hop_s=0.2)
    put("a")
    shelf.use("a")
    later((2, "b"))
    done = cosmo("--sensors", "imu,radar", "--replay", kept, "--follow", "--output", tmp_path / "lines")
    assert done.code == 0, done.err
    lines = _lines(tmp_path)
    ends = {name: [line["window_end_ns"] / _S for line in lines if line["bundle"] == name] for name in "ab"}
    first = ends["b"][0]
    assert ends["a"] == [end for end in np.arange(1, 5.1, 0.5).tolist() if end < first]
    np.testing.assert_allclose(ends["b"], np.arange(first, 5.05, 0.2))


def test_a_replay_that_is_compared_keeps_its_windows(
    cosmo: Run, shelf: Shelf, put: Callable, later: Later, recognised: Path, tmp_path: Path
) -> None:
    put("b", hop_s=0.2)
    put("a")
    shelf.use("a")
    later((2, "b"))
    done = cosmo("--sensors", "imu,radar", "--replay", recognised, "--follow", "--output", tmp_path / "lines")
    assert done.code == 0
    lines = _lines(tmp_path)
    assert "a goes on: b, which is in use now, needs other windows" in done.err
    assert {line["bundle"] for line in lines} == {"a"}
    assert "bit for bit: 9 of 9" in done.err


@pytest.mark.slow
def test_a_live_run_changes_bundles_again_and_again_and_loses_no_window_nor_sample(
    cosmo: Run, shelf: Shelf, put: Callable, later: Later, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        put(name)
    put("other-windows", hop_s=0.2)
    shelf.use("a")
    recording, figures = tmp_path / "run.mcap", tmp_path / "figures.json"
    sensors = ["--sensors", "imu,depth,radar"]
    stop = threading.Event()
    monkeypatch.setattr(rig, "stop_on_signals", lambda: stop)
    later((6, "b"), (4, "c"), (4, "other-windows"), (4, "a"), (4, "person"), at_the_end=stop.set)
    words = ["--emulate", "person", "--duration", 90, "--follow", "--record", recording, "--summary", figures]
    done = cosmo(*sensors, *words, "--output", tmp_path / "lines")
    assert done.code == 0, done.err
    lines = _lines(tmp_path)
    windows = (lines[-1]["window_end_ns"] - lines[0]["window_end_ns"]) // (_S // 2) + 1
    lost = sum(lines[-1]["windows_lost"].values())  # where the rig gets no processor, and never by a change
    assert windows - lost <= len(lines) <= windows
    names = [line["bundle"] for line in lines]
    changes = [after for before, after in zip(["", *names], names) if before != after]
    assert changes == ["a", "b", "c", "a"]
    assert "c goes on: other-windows" in done.err
    assert "a goes on: person" in done.err  # whose windows are others, too
    counted = json.loads(figures.read_text())["sensors"]
    assert lost or {counts["lost_samples"] for counts in counted.values()} == {0}

    again = cosmo(*sensors, "--bundle", shelf.folder / "c", "--replay", recording, "--speed", "max", "--output", "-")
    assert again.code == 0, again.err  # whichever bundle answered, the windows were the same
    assert f"bit for bit: {len(names)} of {len(names)}" in again.err


def test_a_sensor_of_another_kind_than_the_models_is_refused(
    cosmo: Callable, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    info = SensorInfo("radar", "an IMU that is called radar", 100, kind="imu")
    with RecordingWriter(tmp_path / "odd.mcap", {"radar": info}) as writer:
        writer.write(Sample("radar", 5, 6, np.zeros(9, np.float32)))
    done = cosmo("--sensors", "radar", "--replay", tmp_path / "odd.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 2
    assert "radar is of kind imu here" in done.err
    assert "knows it as radar" in done.err


@pytest.mark.slow
def test_a_bundle_that_does_not_know_what_an_alarm_names_is_told(
    cosmo: Run, put: Callable[..., Bundle], later: Later, shelf: Shelf, kept: Path, tmp_path: Path
) -> None:
    put("one")
    put("two", classes=("run", "wave", "none"))
    shelf.use("one")
    config = tmp_path / "cosmo.toml"
    config.write_text('[[alarms]]\nname = "walks"\nactivity = "walk"\n')
    later((2, "two"))
    words = ["--sensors", "imu,radar", "--follow", "--replay", kept, "--output", tmp_path / "lines"]
    done = cosmo(*words, "--config", config, "--home", tmp_path / "home")
    assert {line["bundle"] for line in _lines(tmp_path)} == {"one", "two"}
    assert done.code == 0, done.err
    said = "alarm walks can never be raised: the model two knows no 'walk'. It knows run, wave, none, nobody"
    assert done.err.count(f"\n{said}") == 1, done.err
    health = json.loads((tmp_path / "home" / "health.json").read_text())
    assert any(trouble.startswith(said) for trouble in health["troubles"])
    assert not health["well"]


def test_alarms_that_nobody_watches_are_told(cosmo: Run, tiny_bundle: Bundle, tmp_path: Path) -> None:
    config = tmp_path / "cosmo.toml"
    config.write_text('[[alarms]]\nname = "walks"\nactivity = "walk"\n[mqtt]\nhost = "127.0.0.1"\n')
    words = [
        "--sensors",
        "imu",
        "--emulate",
        "person",
        "--duration",
        1,
        "--bundle",
        tiny_bundle.path,
        "--config",
        config,
    ]
    done = cosmo(*words, "--output", tmp_path / "lines")
    assert f"{config}: without --home, alarms and [mqtt] do nothing" in done.err
