"""Whoever records for months labels and teaches from the folder as from a file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.runtime.labels.table import read_labels
from cosmo_runtime.runtime.retention.cached_windows import RecordingFile
from cosmo_runtime.sensors.recording import Recording, SegmentedWriter
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.training.adapt.gain import Comparison
from cosmo_runtime.training.datasets.recording import windows
from tests.training.conftest import sway_spec

Run = Callable[..., Any]


@pytest.fixture
def home(labels: Path) -> Path:
    """The session in segments of ten seconds, with a table of the same labels beside."""
    session = Recording(labels.with_suffix(".mcap"))
    folder = labels.with_name("home")
    writer = SegmentedWriter(folder, session.infos, segment_s=10)
    for event in session.events():
        writer.write(event)
        while writer._opening and writer._opening.is_alive():
            time.sleep(0.001)
    writer.close()
    assert len(segments_of(folder)) == 6
    labels.with_name("home.csv").write_text(labels.read_text().partition("\n")[2])  # it did not begin then
    return folder


def test_windows_of_a_folder_are_those_of_the_file(labels: Path, home: Path, tmp_path: Path) -> None:
    spec, made = sway_spec(), []
    for table, recording in (labels, labels.with_suffix(".mcap")), (home.with_suffix(".csv"), home):
        ((path, segments),) = read_labels(table).items()
        assert path == recording
        named = [segment for segment in segments if segment.activity != "shake"]
        made.append(windows(path, spec, tmp_path / "cache", named))
    one, whole = made
    assert len(one.labels) > 50
    np.testing.assert_array_equal(one.labels, whole.labels)
    for sensor in spec.sensors:
        np.testing.assert_array_equal(one.features[sensor], whole.features[sensor])


@pytest.mark.slow
def test_a_folder_is_learned_and_deleted_as_a_file_is(
    cosmo: Run, base: Bundle, labels: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comparison, "regressions", [])
    beginnings = {Recording(part).began for part in segments_of(home)}
    figures = []
    for table in labels, home.with_suffix(".csv"):
        path = tmp_path / f"{table.stem}.json"
        done = cosmo("finetune", "--labels", table, "--bundle", base.path, "--json", path, "--delete-after")
        assert done.code == 0, done.err
        figures.append(json.loads(path.read_text()))
    one, whole = figures
    assert one["learned_windows"] == whole["learned_windows"]
    assert one["activities"] == whole["activities"]
    assert not home.exists() and not home.with_suffix(".csv").exists()
    assert beginnings <= set(load_bundle(Shelf().in_use).provenance["recordings"])


def test_windows_kept_of_a_folder_are_those_of_what_it_holds_now(home: Path) -> None:
    before = RecordingFile.of(home)
    last = segments_of(home)[-1]
    last.write_bytes(last.read_bytes() + b"more")
    assert RecordingFile.of(home) != before
