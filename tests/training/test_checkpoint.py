from __future__ import annotations

import pickletools
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.checkpoint import Checkpoint, CheckpointError

SETTINGS = {"seed": 0, "range": (0.0, 1.0)}
CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "folder" / "checkpoint"
    Checkpoint(path).write({"step": torch.tensor(3), "x": torch.arange(4.0)}, SETTINGS)
    return path


def test_what_was_written_is_read(path):
    kept = Checkpoint(path).read(SETTINGS, CPU)
    assert kept.keys() == {"step", "x"}
    assert int(kept["step"]) == 3 and torch.equal(kept["x"], torch.arange(4.0))
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint"]


def test_nothing_is_read_where_nothing_was_written(tmp_path):
    assert Checkpoint(tmp_path / "checkpoint").read(SETTINGS, CPU) is None


def test_it_is_due_at_once_and_then_after_a_while(tmp_path):
    patient, eager = Checkpoint(tmp_path / "patient", every_s=60), Checkpoint(tmp_path / "eager", every_s=0)
    for checkpoint in (patient, eager):
        assert checkpoint.is_due()
        checkpoint.write({}, SETTINGS)
    assert eager.is_due() and not patient.is_due()


def test_nothing_in_it_is_pickled(path):
    with pytest.raises(ValueError, match=r"opcode|pickle"):
        list(pickletools.genops(path.read_bytes()))


def test_one_of_another_run_is_refused_by_what_differs(path):
    with pytest.raises(CheckpointError, match=r"checkpoint is of a run with seed 0, not 1; range \[0.0, 1.0\], not"):
        Checkpoint(path).read({"seed": 1, "range": (0.3, 0.7)}, CPU)


@pytest.mark.parametrize("damage", [lambda content: content[:-10], lambda content: b"no checkpoint", lambda _: b""])
def test_a_damaged_one_is_refused(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"is no whole checkpoint .* Delete it to start anew"):
        Checkpoint(path).read(SETTINGS, CPU)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="file/checkpoint cannot be written"):
        Checkpoint(tmp_path / "file" / "checkpoint").write({}, SETTINGS)
