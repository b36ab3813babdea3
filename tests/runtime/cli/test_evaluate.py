from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from cosmo_runtime.models.bundle import Bundle, write_bundle
from cosmo_runtime.runtime.cli.evaluate import report
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

Run = Callable[..., Any]
Samples = Callable[..., List[Sample]]


def test_figures_of_pairs_are_those_of_the_books() -> None:
    pairs = [("walk", "walk")] * 6 + [("walk", "wave")] * 2 + [("wave", "wave")] * 1 + [("wave", "uncertain")] * 1
    figures = report(pairs)
    assert (figures["windows"], figures["accuracy"]) == (10, 0.7)
    assert figures["activities"]["walk"] == {"windows": 8, "recall": 0.75, "precision": 1.0, "f1": 0.8571}
    assert figures["activities"]["wave"] == {"windows": 2, "recall": 0.5, "precision": 0.3333, "f1": 0.4}
    assert figures["macro_f1"] == pytest.approx((0.8571 + 0.4) / 2, abs=1e-4)
    assert figures["confusion"]["wave"] == {"uncertain": 1, "walk": 0, "wave": 1}


@pytest.fixture
def folder(tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples) -> Path:
    """One recording with labels and one without."""
    for name in "a", "b":
        with RecordingWriter(tmp_path / f"{name}.mcap", {"imu": infos["imu"]}) as writer:
            for sample in samples("imu", 0, 10):
                writer.write(sample)
    (tmp_path / "a.csv").write_text("start,end,activity\n1,4,walk\n5,8,Wave\n")
    return tmp_path


def test_a_folder_is_evaluated_as_a_live_run_would_answer(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    done = cosmo("evaluate", folder, "--bundle", tiny_bundle.path, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert (figures["recordings"], figures["windows"]) == (1, 12)
    assert {name: row["windows"] for name, row in figures["activities"].items()} == {"walk": 6, "wave": 6}
    assert sum(sum(row.values()) for row in figures["confusion"].values()) == 12
    assert "b.mcap: has no labels, and is left out" in done.err


def test_a_recording_counts_once_however_often_it_is_named(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    done = cosmo("evaluate", folder, folder / "a.mcap", "--bundle", tiny_bundle.path, "--json")
    assert (json.loads(done.out)["recordings"], json.loads(done.out)["windows"]) == (1, 12)


def test_a_recording_of_other_sensors_than_the_models_is_told(
    cosmo: Run, tiny_bundle: Bundle, tmp_path: Path, samples: Samples
) -> None:
    with RecordingWriter(tmp_path / "a.mcap", {"wrist": SensorInfo("wrist", "none", 100, kind="imu")}) as writer:
        for sample in samples("imu", 0, 3):
            writer.write(replace(sample, sensor="wrist"))
    (tmp_path / "a.csv").write_text("start,end,activity\n0,2,walk\n")
    done = cosmo("evaluate", tmp_path / "a.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 1
    assert "a.mcap has none of the sensors of tiny, imu, depth, radar; it has wrist" in done.err


def test_a_sensor_that_the_model_does_not_know_is_told(
    cosmo: Run, tiny_bundle: Bundle, tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    rig = {"imu": infos["imu"], "thigh": SensorInfo("thigh", "none", 100, kind="imu")}
    with RecordingWriter(tmp_path / "a.mcap", rig) as writer:
        for sample in samples("imu", 0, 10):
            while writer.queued > 100:  # it drops what comes too fast
                time.sleep(0.001)
            writer.write(sample)
            writer.write(replace(sample, sensor="thigh"))
    (tmp_path / "a.csv").write_text("start,end,activity\n1,4,walk\n5,8,wave\n")
    done = cosmo("evaluate", tmp_path / "a.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 0, done.err
    assert "a.mcap: thigh left out: tiny knows no such sensor. It knows imu, depth, radar\n" in done.err


def test_people_read_tables(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    out = cosmo("evaluate", folder / "a.mcap", "--bundle", tiny_bundle.path).out
    assert "of 12 windows right" in out
    assert "recall" in out


def test_a_recording_without_labels_is_named(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    done = cosmo("evaluate", folder / "b.mcap", "--bundle", tiny_bundle.path)
    assert (done.code, "b.mcap has no labels" in done.err) == (1, True)
    gone = cosmo("evaluate", folder / "gone.mcap", "--bundle", tiny_bundle.path)
    assert (gone.code, "gone.mcap does not exist" in gone.err) == (1, True)


def test_labels_that_the_model_has_no_name_for_are_counted_apart(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    (folder / "a.csv").write_text("start,end,activity\n1,4,walk\n5,8,juggle\n")
    words = ["evaluate", folder / "a.mcap", "--bundle", tiny_bundle.path]
    figures = json.loads(cosmo(*words, "--json").out)
    assert figures["windows"] == 6
    assert list(figures["activities"]) == ["walk"]
    assert sum(figures["unnamed"]["juggle"].values()) == 6
    assert "6 windows are not counted, because the model has no name for juggle" in cosmo(*words).out
    (folder / "a.csv").write_text("start,end,activity\n5,8,juggle\n")
    done = cosmo(*words)
    assert (done.code, "tiny has no name for any label here (juggle); it knows walk, wave, none" in done.err) == (
        1,
        True,
    )


def test_a_recording_that_taught_the_model_is_told(
    cosmo: Run, tiny_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    taught = write_bundle(
        tmp_path / "taught",
        tiny_bundle.spec,
        onnx=tiny_bundle.onnx.read_bytes(),
        weights=b"none",
        provenance={"recordings": [Recording(folder / "a.mcap").began]},
        metrics={},
    )
    done = cosmo("evaluate", folder / "a.mcap", "--bundle", taught.path, "--json")
    assert json.loads(done.out)["learned_from"] == [str(folder / "a.mcap")]
    assert "taught has learned from it, so these figures are not a test" in done.err
    done = cosmo("evaluate", folder / "a.mcap", "--bundle", tiny_bundle.path, "--json")
    assert (json.loads(done.out)["learned_from"], "learned from" in done.err) == ([], False)


def test_a_model_without_none_is_not_wrong_about_it(
    cosmo: Run, tiny_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    spec = tiny_bundle.spec.model_copy(update={"classes": ("walk", "wave", "sit")})
    model = write_bundle(
        tmp_path / "three", spec, onnx=tiny_bundle.onnx.read_bytes(), weights=b"none", provenance={}, metrics={}
    )
    (folder / "a.csv").write_text("start,end,activity\n1,4,walk\n5,8,none\n")
    figures = json.loads(cosmo("evaluate", folder / "a.mcap", "--bundle", model.path, "--json").out)
    assert (list(figures["activities"]), list(figures["unnamed"])) == (["walk"], ["none"])


def test_a_column_may_name_the_recording(cosmo: Run, tiny_bundle: Bundle, folder: Path) -> None:
    rows = "start,end,activity,session\n1,4,walk,a\n5,8,Wave,a.mcap\n"
    (folder / "a.csv").write_text(rows + "1,4,walk,b\n")
    for path, recordings in (folder / "a.mcap", 1), (folder, 1):
        done = cosmo("evaluate", path, "--bundle", tiny_bundle.path, "--json")
        assert done.code == 0, done.err
        figures = json.loads(done.out)
        assert (figures["recordings"], figures["windows"]) == (recordings, 12)  # those of a, not of b
    (folder / "b.csv").write_text(rows)
    done = cosmo("evaluate", folder / "b.mcap", "--bundle", tiny_bundle.path)
    assert (done.code, f"b.mcap has no labels: {folder / 'b.csv'} has none of it" in done.err) == (1, True)


def test_a_table_of_another_recording_is_not_believed(
    cosmo: Run, tiny_bundle: Bundle, folder: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    with RecordingWriter(folder / "later.mcap", {"imu": infos["imu"]}) as writer:
        for sample in samples("imu", 60, 70):
            writer.write(sample)
    done = cosmo("label", folder / "later.mcap", "--bundle", tiny_bundle.path)
    assert done.code == 0, done.err
    (folder / "later.csv").rename(folder / "a.csv")
    done = cosmo("evaluate", folder / "a.mcap", "--bundle", tiny_bundle.path)
    assert (done.code, "these labels are of a recording that began" in done.err) == (1, True)
