"""Fine-tuning as people meet it, on a small model of someone who sways."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.engines.onnxruntime import EngineError
from cosmo_runtime.runtime.labels.table import labels_beside
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.training.adapt import finetune, learn
from cosmo_runtime.training.adapt.gain import MAY_LOSE, Comparison
from cosmo_runtime.training.datasets import recording
from tests.runtime.cli.finetuning import COMMAND, ROOT, content
from tests.training.sessions import record

Run = Callable[..., Any]


@pytest.fixture
def brief_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of the training, for tests of what happens around it. Its model counts as better by decree."""
    for name, number in (("STEPS", 40), ("TURN_EPOCHS", 5), ("TURN_STEPS", 5)):
        monkeypatch.setattr(finetune, name, number)
    monkeypatch.setattr(Comparison, "regressions", [])


def test_a_session_becomes_a_bundle_in_use_beside_the_old_one(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "STEPS", 200)
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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("brief_training")
def test_the_one_in_use_is_where_the_next_session_starts(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path
) -> None:
    assert cosmo("finetune", "--labels", labels, "--bundle", base.path).code == 0
    first = shelf.in_use
    again = cosmo("finetune", "--labels", labels)
    assert again.code == 1
    assert f"{first} has learned from session.mcap already" in again.err
    tuesday = record(tmp_path / "tuesday.mcap", rounds=2, seed=3)
    tuesday.write_text(tuesday.read_text().replace("shake", "wobble"))
    words = ("--labels", tuesday, "--keep", "still, slow, fast", "--bundle", first.name)
    done = cosmo("finetune", *words)
    assert done.code == 0
    assert "It no longer knows shake, which the model before it knew. Alarms on shake are no longer raised" in done.err
    assert load_bundle(shelf.in_use).provenance["base"] == first.name
    assert load_bundle(shelf.in_use).spec.classes == ("still", "slow", "fast", "wobble")
    assert cosmo("bundle", "rollback").code == 0
    assert shelf.in_use == first


@pytest.mark.usefixtures("brief_training")
def test_a_model_that_recognises_less_is_kept_but_not_used(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comparison, "regressions", ["recognises 0.0% of 'walk' instead of 50.0%"])
    in_use = shelf.in_use
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path)
    assert done.code == 0
    assert shelf.in_use == in_use
    assert "It recognises 0.0% of 'walk' instead of 50.0%." in done.err
    (new,) = (shelved for shelved in shelf.bundles() if not shelved.shipped)
    assert f"It is not in use. To use it all the same: cosmo-runtime bundle use {new.name}" in done.err
    forced = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--force")
    assert forced.code == 0
    assert shelf.in_use.name.startswith("swaying-")
    assert "It recognises 0.0% of 'walk' instead of 50.0%." in forced.err
    assert "It is in use." in forced.err


def test_the_help_states_how_much_an_activity_may_lose(cosmo: Run) -> None:
    assert f"more than {MAY_LOSE * 100:.0f} percentage points" in " ".join(cosmo("finetune", "--help").out.split())


@pytest.mark.usefixtures("brief_training")
def test_recording_and_labels_are_kept_while_the_new_model_is_not_in_use(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Comparison, "regressions", ["recognises none of the last examples"])
    words = ("finetune", "--labels", labels, "--bundle", base.path, "--delete-after")
    done = cosmo(*words)
    assert done.code == 1
    assert f"kept, because the new model is not in use: {labels.with_suffix('.mcap')}, {labels}" in done.err
    assert labels.exists() and labels.with_suffix(".mcap").exists()
    never = cosmo(*words, "--out", tmp_path / "mine")
    assert never.code == 2
    assert "--delete-after cannot be used with --out" in never.err
    assert cosmo(*words, "--force").code == 0
    assert not labels.exists() and not labels.with_suffix(".mcap").exists()


@pytest.mark.usefixtures("brief_training")
def test_names_are_shown_as_they_are_written(cosmo: Run, base: Bundle, labels: Path) -> None:
    """A name that looks like markup ended the command after it had learned."""
    labels.with_suffix(".mcap").rename(labels.parent / "[on the spot].mcap")
    labels = labels.rename(labels.parent / "[on the spot].csv")
    names = {"shake": "[/] pause", "fast": "walk [fast]"}
    rows = [[start, end, names.get(name, name)] for start, end, name in list(csv.reader(labels.open()))[1:]]
    with labels.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--delete-after")
    assert done.code == 0, done.err
    assert "[/] pause" in done.err
    assert "walk [fast]" in done.err
    assert done.err.count("[on the spot].mcap") == 2, "while it is read, and when it is deleted"
    assert not labels.exists() and not labels.with_suffix(".mcap").exists()


@pytest.mark.usefixtures("brief_training")
def test_what_shall_be_deleted_is_deleted_whatever_the_display_does(
    cosmo: Run, base: Bundle, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail(*_: Any, **__: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("cosmo_runtime.runtime.cli.finetune._report", fail)
    with suppress(BrokenPipeError):
        cosmo("finetune", "--labels", labels, "--bundle", base.path, "--delete-after")
    assert not labels.exists() and not labels.with_suffix(".mcap").exists()


@pytest.mark.usefixtures("brief_training")
def test_the_base_s_spelling_of_a_name_is_taken(
    cosmo: Run, base: Bundle, labels: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels.write_text(labels.read_text().replace("slow", "Slow"))
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--out", tmp_path / "mine", "--keep", "FAST")
    assert done.code == 0, done.err
    assert load_bundle(tmp_path / "mine").spec.classes == ("still", "slow", "fast", "shake")
    assert "'Slow' is taken for 'slow'" in done.err


def test_a_sensor_that_the_base_does_not_know_is_told(
    cosmo: Run, base: Bundle, labels: Path, tmp_path: Path, brief_training: None
) -> None:
    recorded = Recording(labels.with_suffix(".mcap"))
    infos = {**recorded.infos, "thigh": SensorInfo("thigh", "made up", 20, kind="imu")}
    with mock.patch.object(RecordingWriter, "_add_clock"), RecordingWriter(tmp_path / "two.mcap", infos) as writer:
        for event in recorded.events():
            while writer.queued > 100:  # it drops what comes too fast
                time.sleep(0.001)
            writer.write(event)
            if isinstance(event, Sample) and event.sensor == "imu":
                writer.write(replace(event, sensor="thigh"))
    (tmp_path / "two.csv").write_text("".join(labels.read_text().splitlines(keepends=True)[1:]))
    done = cosmo("finetune", "--labels", tmp_path / "two.csv", "--bundle", base.path, "--delete-after")
    assert done.code == 0, done.err
    assert "two.mcap: thigh left out: swaying knows no such sensor. It knows imu, depth, radar\n" in done.err


def test_an_output_that_cannot_be_written_is_found_out_before_anything_is_learned(
    cosmo: Run, base: Bundle, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "fine_tune", None)
    for option in ("--out", "/proc/mine"), ("--json", "/proc/figures.json"):
        done = cosmo("finetune", "--labels", labels, "--bundle", base.path, *option)
        assert (done.code, f"{option[1]} cannot be written" in done.err) == (1, True), done.err


@pytest.mark.usefixtures("brief_training")
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


@pytest.mark.usefixtures("brief_training")
def test_recording_and_labels_are_deleted_when_all_is_done_and_not_before(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("finetune", "--labels", labels, "--bundle", base.path, "--delete-after")
    with monkeypatch.context() as patch:
        patch.setattr("cosmo_runtime.training.export.verify", refuse)
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


@pytest.mark.slow
def test_nothing_of_the_recording_is_left_elsewhere(cosmo: Run, base: Bundle, labels: Path, tmp_path: Path) -> None:
    """Decoded windows would outlive --delete-after."""
    before = set(tmp_path.rglob("*"))
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HOME": str(home), "TMPDIR": str(home)}
    words = ["--labels", labels, "--bundle", base.path, "--out", tmp_path / "mine"]
    subprocess.run([*COMMAND, *map(str, words)], env=environment, check=True, cwd=tmp_path, capture_output=True)
    new = set(tmp_path.rglob("*")) - before
    assert {path.relative_to(tmp_path).parts[0] for path in new} == {"home", "mine"}
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.slow
@pytest.mark.usefixtures("brief_training")
def test_a_machine_with_tensorrt_gets_its_engine(
    cosmo: Run, base: Bundle, labels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: List[Any] = []
    key = type("Key", (), {"engine": "tensorrt", "precision": "fp32"})
    monkeypatch.setattr("cosmo_runtime.runtime.cli.finetune.key_here", lambda engine, precision: key)

    def build(bundle: Bundle, engine: str, precision: str, windows: List[Any], progress: Any) -> Any:
        built.append((bundle.path, len(windows)))
        if len(built) == 2:
            raise EngineError("it answers otherwise")
        if len(built) == 3:
            raise AttributeError("module 'numpy' has no attribute 'bool'")  # as old TensorRT does with new NumPy
        return key

    monkeypatch.setattr("cosmo_runtime.runtime.cli.finetune.build_engine", build)
    words = ("finetune", "--labels", labels, "--bundle", base.path, "--json", tmp_path / "figures.json")
    for engine, said in (("tensorrt fp32", ""), (None, "it answers otherwise"), (None, "no engine was built")):
        done = cosmo(*words)
        assert done.code == 0
        assert built[-1][1] > 0
        figures = json.loads((tmp_path / "figures.json").read_text())
        assert (figures["engine"], figures["in_use"]) == (engine, True)
        assert said in done.err


def test_all_bad_rows_are_told_before_anything_is_learned(cosmo: Run, base: Bundle, labels: Path) -> None:
    rows = list(csv.reader(labels.open()))
    rows += [["5", "4", "slow"], ["500", "510", "slow"], ["1", "2", "swim"]]
    with labels.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path)
    assert done.code == 1
    for text in ("line 15: end 4 is not after start 5", "line 16: 500 to 510 lies outside", "only example of 'swim'"):
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


def test_what_cannot_be_written_is_told_before_anything_is_learned(
    cosmo: Run, base: Bundle, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("the session was read")

    monkeypatch.setattr("cosmo_runtime.training.adapt.session.read_session", read)
    (tmp_path / "file").touch()
    words = ("finetune", "--labels", labels, "--bundle", base.path)
    for extra, told in (
        (("--out", tmp_path / "file" / "out"), f"--out {tmp_path}/file/out cannot be written (Not a directory)"),
        (("--json", tmp_path), f"--json {tmp_path} cannot be written (Is a directory)"),
    ):
        done = cosmo(*words, *extra)
        assert (done.code, told in done.err) == (1, True), done.err
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))  # where the shelf is
    done = cosmo(*words)
    assert done.code == 1
    assert f"{tmp_path}/file/cosmo-runtime/bundles cannot be written (Not a directory); nothing was learned" in done.err


@pytest.mark.usefixtures("brief_training")
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


def test_rows_and_an_option_do_not_both_name_the_recording(cosmo: Run, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("start,end,activity,session\n1,2,wave,a\n3,4,wave,a\n")
    done = cosmo("finetune", "--labels", table, "--session", tmp_path / "b.mcap")
    assert (done.code, f"both the column session of {table} and --session name the recording" in done.err) == (2, True)


@pytest.mark.usefixtures("brief_training")
@pytest.mark.parametrize("again", [[], ["--labels"]])
def test_several_tables_teach_together(
    cosmo: Run, base: Bundle, labels: Path, tmp_path: Path, again: List[str]
) -> None:
    tuesday = record(tmp_path / "tuesday.mcap", rounds=2, seed=3)
    tuesday.write_text(tuesday.read_text().replace("shake", "Shake"))
    done = cosmo("finetune", "--labels", labels, *again, tuesday, "--bundle", base.path, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    bundle = load_bundle(tmp_path / "out")
    began = [Recording(table.with_suffix(".mcap")).began for table in (labels, tuesday)]
    assert bundle.provenance["recordings"] == began
    assert bundle.spec.classes == ("still", "slow", "fast", "shake"), "Shake is shake in both tables"


def test_tables_that_share_a_recording_are_refused(cosmo: Run, base: Bundle, labels: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.csv"
    twin.write_text(f"start,end,activity,session\n0.5,1.5,shake,{labels.with_suffix('.mcap')}\n")
    done = cosmo("finetune", "--labels", labels, twin, "--bundle", base.path)
    assert done.code == 2
    assert "session.mcap has labels in two tables; put them into one" in done.err
    done = cosmo("finetune", "--labels", labels, twin, "--session", labels.with_suffix(".mcap"))
    assert "--session names the recording of one table" in done.err
