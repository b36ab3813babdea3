from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save

from cosmo_runtime import models
from cosmo_runtime.models.confidence import Reading
from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.models.sealed import seal, unseal
from cosmo_runtime.training.datasets.motion import utd_stream_spec
from cosmo_runtime.training.pretrained import MANIFEST, WEIGHTS, PretrainedError, load_pretrained, write_pretrained


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


def test_encoders_keep_nothing_of_how_a_classifier_was_read(spec, encoders, tmp_path):
    read = Reading(sensors=(spec.sensors[0],), expected={spec.classes[0]: -1.0})
    of_a_bundle = spec.model_copy(update={"temperature": 0.5, "min_confidence": 0.7, "risk": 0.1, "readings": (read,)})
    write_pretrained(tmp_path / "out", of_a_bundle, encoders, provenance={}, losses=[])
    assert load_pretrained(tmp_path / "out").spec == spec


def test_what_stands_there_is_left_alone(spec, encoders, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(PretrainedError, match=r"out exists; choose another folder"):
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
        (MANIFEST, lambda content: content[:-9], "is damaged"),
        (MANIFEST, lambda content: content.replace(b'"format": 2', b'"format": 3'), "has format 3, but this version"),
        (MANIFEST, lambda content: content.replace(b"2.0", b"2.5"), "is damaged: its content does not match"),
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


def test_encoders_whose_windows_would_leave_time_unseen_are_told_in_a_line(folder):
    content = unseal(folder / MANIFEST)
    (folder / MANIFEST).write_bytes(seal({**content, "spec": {**content["spec"], "hop_s": 99}}))
    with pytest.raises(PretrainedError, match=rf"{MANIFEST} is .*hop_s = 99 is longer .*; pretrain again") as refused:
        load_pretrained(folder)
    assert "\n" not in str(refused.value)


def test_a_folder_of_before_there_were_digests_is_loaded(spec, encoders, folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["digest"]
    (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 1}))
    assert load_pretrained(folder).spec == spec


@pytest.mark.parametrize("weights", [b"", b"\xff" * 100, save({"other": torch.zeros(1)})])
def test_weights_that_are_none_are_told_even_where_their_digest_is_right(folder, weights):
    (folder / WEIGHTS).write_bytes(weights)
    content = unseal(folder / MANIFEST)
    (folder / MANIFEST).write_bytes(seal({**content, "sha256": hashlib.sha256(weights).hexdigest()}))
    with pytest.raises(PretrainedError, match=rf"{WEIGHTS} does not fit this version's encoders"):
        load_pretrained(folder)


def test_what_a_killed_writer_left_is_removed_by_the_next(spec, encoders, tmp_path):
    (tmp_path / ".out.1.new").mkdir()
    write_pretrained(tmp_path / "out", spec, encoders, provenance={}, losses=[])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_shipped_encoders_are_a_start_for_the_live_rig():
    folder = Path(models.__file__).parent / "pretrained" / "utd"
    assert load_pretrained(folder).spec.modalities == utd_stream_spec().modalities
    assert (folder / WEIGHTS).stat().st_size <= 5_000_000
    assert "free for research with citation" in (folder / "README.md").read_text()
