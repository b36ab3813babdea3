from __future__ import annotations

import shutil
from pathlib import Path
from typing import List

import pytest

from cosmo_runtime.models import files
from cosmo_runtime.runtime.labels.prompted import PromptedLabels
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.recording import Recording

_S = 10**9


@pytest.fixture
def recording(session: Recording, tmp_path: Path) -> Path:
    return Path(shutil.copy(str(session.path), str(tmp_path)))


@pytest.fixture
def done(recording: Path) -> List[Segment]:
    start_ns = Recording(recording).start_ns
    return [Segment(start_ns + second * _S, start_ns + (second + 1) * _S, "wave") for second in (1, 3, 5)]


def test_labels_are_written_anew_with_each_activity(recording: Path, done: List[Segment]) -> None:
    labels = PromptedLabels(recording)
    labels.keep([])
    assert not labels.table.exists()
    for count in 1, 2, 1, 0:  # the second is repeated, then the first
        labels.keep(done[:count])
        assert _rows(labels.table) == ["1,2,wave", "3,4,wave"][:count]
    assert (labels.table, labels.warning) == (recording.with_suffix(".csv"), "")


@pytest.mark.parametrize("before", [0, 1], ids=["made", "changed"])
def test_a_table_of_somebody_else_stays_and_nothing_prompted_is_lost(
    recording: Path, done: List[Segment], before: int
) -> None:
    labels, table = PromptedLabels(recording), recording.with_suffix(".csv")
    labels.keep(done[:before])
    table.write_text("start,end,activity\n2,3,walk\n")
    labels.keep(done[:2])
    labels.keep(done, whole=True)
    assert _rows(table) == ["2,3,walk"]
    assert labels.table == recording.with_name(f"{recording.stem}-prompted.csv")
    assert _rows(labels.table) == ["1,2,wave", "3,4,wave", "5,6,wave"]
    assert f"changed {table.name} meanwhile" in labels.warning
    assert labels.table.name in labels.warning


def test_each_table_of_somebody_else_stays(recording: Path, done: List[Segment]) -> None:
    labels = PromptedLabels(recording)
    recording.with_suffix(".csv").write_text("mine")
    labels.keep(done[:1])
    labels.table.write_text("mine, too")
    labels.keep(done)
    assert labels.table == recording.with_name(f"{recording.stem}-prompted-2.csv")
    assert recording.with_name(f"{recording.stem}-prompted.csv").read_text() == "mine, too"


@pytest.mark.parametrize("before", [0, 1], ids=["made", "changed"])
def test_a_table_that_is_saved_while_the_disk_is_waited_for_stays(
    recording: Path, done: List[Segment], before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, table = PromptedLabels(recording), recording.with_suffix(".csv")
    labels.keep(done[:before])
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", lambda _: table.write_text("mine"))
        labels.keep(done[:2])
    assert table.read_text() == "mine"
    assert _rows(labels.table) == ["1,2,wave", "3,4,wave"]


def test_a_table_that_is_saved_just_after_the_prompted_labels_stays(
    recording: Path, done: List[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, table = PromptedLabels(recording), recording.with_suffix(".csv")
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_folder", lambda _: table.write_text("mine"))
        labels.keep(done[:1])
    labels.keep(done[:2])
    assert table.read_text() == "mine"
    assert _rows(labels.table) == ["1,2,wave", "3,4,wave"]


def _rows(table: Path) -> List[str]:
    return table.read_text().splitlines()[2 if table.read_text().startswith("#") else 1 :]
