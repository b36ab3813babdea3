"""Personalisation as people meet it, on a small model of someone who sways."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from models.bundle import Bundle, load_bundle
from models.shelf import Shelf
from runtime.engine import EngineError
from runtime.session import labels_beside
from tests.training.conftest import sway_spec, swaying
from tests.training.sessions import record
from training import personalise
from training.cosmo import Cosmo
from training.datasets import recording
from training.methods import Budget
from training.train import train_bundle

Run = Callable[..., Any]

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "runtime.cli", "finetune"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.set_num_threads(1)
    spec = sway_spec()
    out = tmp_path_factory.mktemp("bundles") / "swaying"
    windows, budget = swaying(spec, per_class=24, seed=0), Budget(pretrain_epochs=4, epochs=40)
    return train_bundle(spec, windows, out, held_out={}, provenance={}, budget=budget, cosmo=Cosmo())


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return record(tmp_path / "session.mcap")


def content(folder: Path) -> dict:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_session_becomes_a_bundle_in_use_beside_the_old_one(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path
) -> None:
    before = content(base.path)
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--json", tmp_path / "figures.json")
    assert done.code == 0, done.err
    assert content(base.path) == before
    bundle = load_bundle(shelf.in_use)
    assert bundle.path.name.startswith("swaying-")
    assert bundle.spec.classes == ("still", "slow", "fast", "shake")

    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["bundle"] == str(bundle.path)
    assert (figures["in_use"], figures["engine"]) == (True, None)
    assert figures["activities"]["shake"]["before"] == 0 < figures["activities"]["shake"]["after"]
    assert figures["after"]["accuracy"] > figures["before"]["accuracy"]
    assert 0 < figures["peak_memory_mb"] < 3000
    for text in ("shake", "0.0%", "before", "after", "It is in use", "bundle rollback"):
        assert text in done.err
    listed = json.loads(cosmo("bundle", "list", "--json").out)
    assert listed["in_use"] == bundle.path.name
    assert labels.exists(), "nothing is deleted unasked"


def test_the_one_in_use_is_where_the_next_session_starts(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personalise.Comparison, "pays", True)  # which so few windows leave to chance
    assert cosmo("finetune", "--labels", labels, "--bundle", base.path).code == 0
    first = shelf.in_use
    again = cosmo("finetune", "--labels", labels)
    assert again.code == 1
    assert f"{first} has learned from session.mcap already" in again.err
    tuesday = record(tmp_path / "tuesday.mcap", rounds=2, seed=3)
    tuesday.write_text(tuesday.read_text().replace("shake", "wobble"))
    words = ("--labels", tuesday, "--keep", "still, slow, fast", "--bundle", first.name)
    assert cosmo("finetune", *words).code == 0
    assert load_bundle(shelf.in_use).provenance["base"] == first.name
    assert load_bundle(shelf.in_use).spec.classes == ("still", "slow", "fast", "wobble")
    assert cosmo("bundle", "rollback").code == 0
    assert shelf.in_use == first


def test_a_model_that_recognises_less_is_kept_but_not_used(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personalise.Comparison, "pays", False)
    in_use = shelf.in_use
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path)
    assert done.code == 0
    assert shelf.in_use == in_use
    assert "recognises less than before, and is not in use" in done.err
    (new,) = (shelved for shelved in shelf.bundles() if not shelved.shipped)
    assert f"To use it all the same: cosmo-runtime bundle use {new.name}" in done.err


def test_a_folder_can_be_given_and_is_never_overwritten(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path
) -> None:
    in_use = shelf.in_use
    words = ("finetune", "--labels", labels, "--bundle", base.path, "--out", tmp_path / "mine", "--keep", "none")
    done = cosmo(*words)
    assert done.code == 0
    assert f"To use it: --bundle {tmp_path}/mine" in done.err
    assert load_bundle(tmp_path / "mine").spec.classes == ("still", "slow", "fast", "shake")
    assert shelf.in_use == in_use
    again = cosmo(*words)
    assert again.code == 2
    assert f"{tmp_path}/mine exists" in again.err


def test_recording_and_labels_are_deleted_when_all_is_done_and_not_before(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("finetune", "--labels", labels, "--bundle", base.path, "--delete-after")
    with monkeypatch.context() as patch:
        patch.setattr("training.export.verify", refuse)
        failed = cosmo(*words)
    assert failed.code == 1
    assert "answers otherwise; nothing was written" in failed.err
    assert list(shelf.folder.glob("[!.]*")) == [], "not even an empty folder"
    assert labels.exists()
    assert labels.with_suffix(".mcap").exists()
    done = cosmo(*words)
    assert done.code == 0
    assert "deleted: " in done.err
    assert not labels.exists()
    assert not labels.with_suffix(".mcap").exists()


def refuse(*_: object) -> None:
    raise RuntimeError("the exported model answers otherwise")


def test_nothing_of_the_recording_is_left_elsewhere(cosmo: Run, base: Bundle, labels: Path, tmp_path: Path) -> None:
    """Decoded windows would outlive --delete-after."""
    before = set(tmp_path.rglob("*"))
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(home)}
    words = ["--labels", labels, "--bundle", base.path, "--out", tmp_path / "mine", "--delete-after"]
    subprocess.run([*COMMAND, *map(str, words)], env=environment, check=True, cwd=tmp_path, capture_output=True)
    new = set(tmp_path.rglob("*")) - before
    assert {path.relative_to(tmp_path).parts[0] for path in new} == {"home", "mine"}
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_machine_with_tensorrt_gets_its_engine(
    cosmo: Run, base: Bundle, labels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: List[Any] = []
    key = type("Key", (), {"engine": "tensorrt", "precision": "fp32"})
    monkeypatch.setattr("runtime.cli.finetune.key_here", lambda engine, precision: key)

    def build(bundle: Bundle, engine: str, precision: str, windows: List[Any], progress: Any) -> Any:
        built.append((bundle.path, len(windows)))
        if len(built) == 2:
            raise EngineError("it answers otherwise")
        if len(built) == 3:
            raise AttributeError("module 'numpy' has no attribute 'bool'")  # as old TensorRT does with new NumPy
        return key

    monkeypatch.setattr("training.build.build_engine", build)
    words = ("finetune", "--labels", labels, "--bundle", base.path, "--json", tmp_path / "figures.json")
    for engine, said in (("tensorrt fp32", ""), (None, "it answers otherwise"), (None, "no engine was built")):
        done = cosmo(*words)
        assert done.code == 0
        assert built[-1][1] > 0
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert (figures["engine"], figures["in_use"]) == (engine, True)
        assert said in done.err


@pytest.fixture
def stopped_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets a training, counted from 1, end with Ctrl-C."""
    teach = personalise.teach

    def stop_in(number: int) -> None:
        calls: List[int] = []

        def interrupted(*words: Any) -> Any:
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return teach(*words)

        monkeypatch.setattr(personalise, "teach", interrupted)

    yield stop_in


@pytest.mark.parametrize("training", [1, 2])
def test_ctrl_c_leaves_the_old_bundle_alone(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, stopped_in: Callable[[int], None], training: int
) -> None:
    stopped_in(training)
    in_use = shelf.in_use
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--delete-after")
    assert done.code == 1
    assert f"stopped: {base.path} is as it was" in done.err
    assert shelf.in_use == in_use
    assert not shelf.folder.exists()
    assert labels.exists()


def test_ctrl_c_after_the_measurement_offers_what_was_measured(
    cosmo: Run,
    base: Bundle,
    labels: Path,
    shelf: Shelf,
    stopped_in: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    stopped_in(2)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("runtime.cli.finetune.Confirm.ask", lambda *_, **__: True)
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--json", tmp_path / "figures.json")
    assert done.code == 0
    bundle = load_bundle(shelf.in_use)
    labelled = json.loads((tmp_path / "figures.json").read_text())["learned_windows"]
    assert bundle.provenance["labelled_windows"] == labelled
    assert bundle.provenance["data"].endswith("8 labelled examples of the person")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_at_any_moment_leaves_the_old_bundle_working(
    base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path
) -> None:
    """Kills early and late, and at the moments when something is written."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [*COMMAND, "--labels", str(labels), "--bundle", str(base.path)]
    before, shipped = content(base.path), shelf.in_use
    started = time.monotonic()
    subprocess.run(words, env=environment, check=True, capture_output=True)
    whole_s, first = time.monotonic() - started, shelf.in_use
    assert first != shipped
    moments = random.Random(0)
    for turn in range(14):
        shelf_before = set(shelf.folder.iterdir())
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if turn < 6:
            time.sleep(moments.uniform(0, whole_s))
        else:  # something has just appeared on the shelf
            while process.poll() is None and set(shelf.folder.iterdir()) == shelf_before:
                time.sleep(0.0005)
            time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert content(base.path) == before
        load_bundle(shelf.in_use)
        for shelved in shelf.bundles():
            assert shelved.bundle, shelved.damage
    subprocess.run(words, env=environment, check=True, capture_output=True)
    assert load_bundle(shelf.in_use).spec.classes == ("still", "slow", "fast", "shake")


def test_all_bad_rows_are_told_before_anything_is_learned(cosmo: Run, base: Bundle, labels: Path) -> None:
    rows = list(csv.reader(labels.open()))
    rows += [["5", "4", "slow"], ["500", "510", "slow"], ["1", "2", "swim"]]
    with labels.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path)
    assert done.code == 1
    for text in ("line 14: end 4 is not after start 5", "line 15: 500 to 510 lies outside", "only example of 'swim'"):
        assert text in done.err


def test_what_cannot_be_learned_from_is_told(cosmo: Run, base: Bundle, labels: Path, tmp_path: Path) -> None:
    for words, code, text in (
        (("--labels", labels, "--bundle", tmp_path / "no"), 1, f"{tmp_path}/no/model.json not found"),
        (("--labels", tmp_path / "no.csv", "--bundle", base.path), 1, "no.csv"),
        (("--labels", labels, "--bundle", base.path, "--keep", "swim"), 1, "does not know swim"),
        (("--labels", labels, "--bundle", base.path, "--keep", ","), 2, "expected all, none, or activities"),
        (("--bundle", base.path), 2, "required: --labels"),
        (("--labels", labels, "--json", tmp_path / "no" / "f.json"), 2, f"there is no folder {tmp_path}/no"),
        (("--labels", labels, "--bundle", base.path, "--out", "/proc/mine"), 1, "/proc/mine cannot be written"),
    ):
        done = cosmo("finetune", *words)
        assert (done.code, text in done.err) == (code, True), done.err
    assert labels_beside(labels.with_suffix(".mcap")) == labels


def test_windows_that_pretraining_kept_go_with_the_recording(
    cosmo: Run, base: Bundle, labels: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    recording.windows(labels.with_suffix(".mcap"), base.spec, cache)
    assert len(list(cache.iterdir())) == 1
    link = tmp_path / "link.csv"
    link.symlink_to(labels)
    words = ["--labels", link, "--session", labels.with_suffix(".mcap"), "--bundle", base.path]
    assert cosmo("finetune", *words, "--delete-after", "--cache", cache).code == 0
    assert list(cache.iterdir()) == []
    assert not labels.exists() and not link.is_symlink()
