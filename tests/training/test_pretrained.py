from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import models
from models.networks import Encoders
from training.datasets.motion import utd_stream_spec
from training.pretrained import MANIFEST, WEIGHTS, PretrainedError, load_pretrained, write_pretrained


@pytest.fixture
def encoders(spec) -> Encoders:
    return Encoders(spec)


@pytest.fixture
def folder(spec, encoders, tmp_path) -> Path:
    write_pretrained(tmp_path / "new" / "out", spec, encoders, provenance={"data": "none"}, losses=[2.0, 1.0])
    return tmp_path / "new" / "out"


def test_what_was_written_is_loaded(spec, encoders, folder):
    loaded = load_pretrained(folder)
    assert (loaded.spec, loaded.provenance, loaded.losses) == (spec, {"data": "none"}, [2.0, 1.0])
    for name, tensor in encoders.state_dict().items():
        assert torch.equal(loaded.encoders.state_dict()[name], tensor)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_what_stands_there_is_left_alone(spec, encoders, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(PretrainedError, match=r"out exists; give another folder"):
        write_pretrained(tmp_path / "out", spec, encoders, provenance={}, losses=[])


def test_a_failed_write_leaves_nothing(spec, encoders, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PretrainedError, match=r"out cannot be written \(No space left on device\)"):
        write_pretrained(tmp_path / "out", spec, encoders, provenance={}, losses=[])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (MANIFEST, None, "cannot be read"),
        (WEIGHTS, None, "cannot be read"),
        (MANIFEST, lambda content: content[:-9], "is damaged or of another version"),
        (MANIFEST, lambda content: content.replace(b'"format": 1', b'"format": 2'), "has format 2, this reads 1"),
        (WEIGHTS, lambda content: content[:-1] + bytes([content[-1] ^ 1]), "is not the file that"),
    ],
)
def test_damage_is_told_by_file(folder, name, damage, message):
    file = folder / name
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(PretrainedError, match=rf"{name}.* {message}"):
        load_pretrained(folder)


def test_the_shipped_encoders_are_a_start_for_the_live_rig():
    folder = Path(models.__file__).parent / "pretrained" / "utd"
    assert load_pretrained(folder).spec.modalities == utd_stream_spec().modalities
    assert (folder / WEIGHTS).stat().st_size <= 5_000_000
    assert "free for research with citation" in (folder / "README.md").read_text()
