"""``--follow`` as people and programs meet it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import pytest

from models.bundle import Bundle, write_bundle
from models.shelf import Shelf
from models.spec import ModelSpec
from runtime.aligner import Aligner
from runtime.replay import windows_key
from sensors.events import Event, Sample
from sensors.recording import RecordingWriter
from sensors.sensor import SensorInfo

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
def later(shelf: Shelf, tmp_path: Path) -> Iterator[Later]:
    """Puts bundles in use while the test runs something: ``later((windows, name), ...)``, each after so many windows.

    They are counted in the lines of the output, ``tmp_path / "lines"``.
    """
    threads: List[threading.Thread] = []
    output = tmp_path / "lines"
    ended = threading.Event()

    def later(*changes: Tuple[int, str]) -> None:
        def change() -> None:
            for windows, name in changes:
                while not (output.exists() and output.read_text().count("\n") >= windows) and not ended.is_set():
                    time.sleep(0.02)
                shelf.use(name)

        threads.append(threading.Thread(target=change))
        threads[-1].start()

    yield later
    ended.set()
    for thread in threads:
        thread.join()


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
    aligner = Aligner(spec, {"imu": 100, "radar": 20})
    story = {"windows": windows_key(spec, 300)}
    with RecordingWriter(tmp_path / "run.mcap", {name: infos[name] for name in ("imu", "radar")}, story) as writer:
        for event in events:
            writer.write(event)
            for window in aligner.feed(event):
                fingerprint = {"end_ns": window.end_ns, "digest": window.digest(), "late": window.late}
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
    assert (done.code, "--follow runs the bundle in use: leave out --bundle" in done.err) == (2, True)


def test_a_summary_that_cannot_be_written_hides_nothing_else(
    cosmo: Run, tiny_bundle: Bundle, recognised: Path, tmp_path: Path
) -> None:
    words = ["--sensors", "imu,radar", "--bundle", tiny_bundle.path, "--replay", recognised, "--speed", "max"]
    at_once = cosmo(*words, "--summary", tmp_path / "none" / "x.json", "--output", tmp_path / "lines")
    assert (at_once.code, f"there is no folder {tmp_path}/none" in at_once.err) == (2, True)
    assert not (tmp_path / "lines").exists()
    done = cosmo(*words, "--summary", tmp_path)
    assert (done.code, f"--summary {tmp_path}: Is a directory" in done.err) == (1, True)
    assert "bit for bit: 9 of 9" in done.err


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
    later((3, "b"))
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
    assert "of which by a " in done.err


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
    assert "a goes on: b, which is in use now, asks for other windows" in done.err
    assert {line["bundle"] for line in lines} == {"a"}
    assert "bit for bit: 9 of 9" in done.err


@pytest.mark.slow
def test_a_live_run_changes_bundles_again_and_again_and_loses_no_window_nor_sample(
    cosmo: Run, shelf: Shelf, put: Callable, later: Later, tmp_path: Path
) -> None:
    for name in "abc":
        put(name)
    put("other-windows", hop_s=0.2)
    shelf.use("a")
    recording, figures = tmp_path / "run.mcap", tmp_path / "figures.json"
    rig = ["--sensors", "imu,depth,radar"]
    later((6, "b"), (10, "c"), (14, "other-windows"), (18, "a"), (22, "person"))
    words = ["--emulate", "person", "--duration", 18, "--follow", "--record", recording, "--summary", figures]
    done = cosmo(*rig, *words, "--output", tmp_path / "lines")
    assert done.code == 0, done.err
    lines = _lines(tmp_path)
    hops = np.diff([line["window_end_ns"] for line in lines])
    assert set(hops.tolist()) == {_S // 2}
    names = [line["bundle"] for line in lines]
    changes = [after for before, after in zip(["", *names], names) if before != after]
    assert changes == ["a", "b", "c", "a"]
    assert "c goes on: other-windows" in done.err
    assert "a goes on: person" in done.err  # whose windows are others, too
    sensors = json.loads(figures.read_text())["sensors"]
    assert {counts["lost_samples"] for counts in sensors.values()} == {0}

    again = cosmo(*rig, "--bundle", shelf.folder / "c", "--replay", recording, "--speed", "max", "--output", "-")
    assert again.code == 0, again.err  # whichever bundle answered, the windows were the same
    assert f"bit for bit: {len(names)} of {len(names)}" in again.err
