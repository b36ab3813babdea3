from __future__ import annotations

import pickletools
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from cosmo_runtime.training.checkpoint import Checkpoint, CheckpointError, restore, tensors_of

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


def test_a_folder_in_its_place_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be read \(Is a directory\). Give another file"):
        Checkpoint(tmp_path).read(SETTINGS, CPU)


@pytest.mark.parametrize("damage", [lambda content: content[:-10], lambda content: b"no checkpoint", lambda _: b""])
def test_a_damaged_one_is_refused(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"is not a whole checkpoint .* Delete it to restart"):
        Checkpoint(path).read(SETTINGS, CPU)


def test_one_flipped_bit_anywhere_is_noticed(path):
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(CheckpointError, match=r"Delete it to (re)?start|is of a run with"):
            Checkpoint(path).read(SETTINGS, CPU)


def test_one_of_another_version_is_refused(path):
    with pytest.raises(CheckpointError, match=r"is of another version of pretrain. Delete it to start again"):
        Checkpoint(path).read({**SETTINGS, "warp": 1}, CPU)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="file/checkpoint cannot be written"):
        Checkpoint(tmp_path / "file" / "checkpoint").write({}, SETTINGS)


class Scaler:
    """Stands for that of half precision, which some releases of torch have for GPUs only."""

    def __init__(self, state: dict[str, float]):
        self.state = state

    def state_dict(self) -> dict[str, float]:
        return self.state

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.state = state


def test_all_that_learns_comes_back_as_it_was_laid_out_in_memory(tmp_path):
    def made(steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(steps)
        learner = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(learner.parameters())
        for _ in range(steps):
            learner(torch.randn(4, 2, 5, 5)).pow(3).sum().backward()
            optimiser.step()
        return learner, optimiser

    learner, optimiser = made(3)
    scaler = Scaler({"scale": 2.0**17, "growth_factor": 2.0, "_growth_tracker": 7})
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    checkpoint.write(tensors_of(learner, optimiser, scaler), SETTINGS)

    other, other_optimiser = made(0)
    other_scaler = Scaler({"scale": 2.0**16, "growth_factor": 2.0, "_growth_tracker": 0})
    restore(checkpoint.read(SETTINGS, CPU), other, other_optimiser, other_scaler)
    for name, tensor in learner.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    kept, wanted = other_optimiser.state_dict()["state"], optimiser.state_dict()["state"]
    assert kept.keys() == wanted.keys()
    for i, state in wanted.items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(kept[i][name]), torch.as_tensor(value))
            assert torch.as_tensor(kept[i][name]).stride() == torch.as_tensor(value).stride()
    assert other_scaler.state == scaler.state
    assert isinstance(other_scaler.state["_growth_tracker"], int)
