from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.bundle import BundleError, load_bundle, write_bundle
from models.spec import ModalitySpec, ModelSpec

SPEC = ModelSpec(
    modalities=(ModalitySpec(sensor="imu", rate_hz=100, shape=(6,)),),
    window_s=2,
    hop_s=0.5,
    classes=("sit", "walk"),
    quality=(1.0,),
)


def write(path, onnx: bytes = b"graph"):
    return write_bundle(path, SPEC, onnx=onnx, weights=b"numbers", provenance={"seed": 3}, metrics={"accuracy": 0.5})


def test_what_is_written_is_read(tmp_path):
    written = write(tmp_path / "deep" / "bundle")
    read = load_bundle(tmp_path / "deep" / "bundle")
    assert read == written
    assert read.spec == SPEC
    assert (read.provenance, read.metrics) == ({"seed": 3}, {"accuracy": 0.5})
    assert (read.onnx.read_bytes(), read.weights.read_bytes()) == (b"graph", b"numbers")
    assert [child.name for child in (tmp_path / "deep").iterdir()] == ["bundle"]


def test_a_bundle_without_a_half_precision_model_is_whole_and_one_with_it_is_checked(tmp_path):
    assert write(tmp_path / "older").onnx_fp16 is None
    bundle = write_bundle(
        tmp_path / "bundle", SPEC, onnx=b"graph", onnx_fp16=b"half", weights=b"numbers", provenance={}, metrics={}
    )
    assert bundle.onnx_fp16.read_bytes() == b"half"
    bundle.onnx_fp16.write_bytes(b"tampered")
    with pytest.raises(BundleError, match=r"model\.fp16\.onnx is not the file"):
        load_bundle(tmp_path / "bundle")
    bundle.onnx_fp16.unlink()
    with pytest.raises(BundleError, match=r"model\.fp16\.onnx is missing"):
        load_bundle(tmp_path / "bundle")


def test_a_new_bundle_takes_the_place_of_the_old(tmp_path):
    write(tmp_path / "bundle")
    write(tmp_path / "bundle", onnx=b"better")
    assert load_bundle(tmp_path / "bundle").onnx.read_bytes() == b"better"
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_a_failed_write_leaves_the_old_bundle_and_nothing_else(tmp_path, monkeypatch):
    write(tmp_path / "bundle")

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("models.bundle.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "bundle", onnx=b"better")
    assert load_bundle(tmp_path / "bundle").onnx.read_bytes() == b"graph"
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_the_old_bundle_comes_back_when_the_new_cannot_be_put_in_its_place(tmp_path, monkeypatch):
    path = write(tmp_path / "bundle").path
    rename = Path.rename

    def refuse_new(source, target):
        if source.suffix == ".new":
            raise OSError("Stale file handle")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(OSError, match="Stale"):
        write(path, onnx=b"better")
    assert load_bundle(path).onnx.read_bytes() == b"graph"
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "bundle").mkdir()
    assert write(tmp_path / "bundle") == load_bundle(tmp_path / "bundle")
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="not a bundle"):
        write(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
def test_a_changed_or_missing_file_is_named(tmp_path, name):
    file = write(tmp_path / "bundle").path / name
    file.write_bytes(b"tampered")
    with pytest.raises(BundleError, match=name):
        load_bundle(tmp_path / "bundle")
    file.unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(tmp_path / "bundle")


def test_a_missing_bundle_says_what_was_looked_for(tmp_path):
    with pytest.raises(BundleError, match=r"model\.json not found"):
        load_bundle(tmp_path / "nowhere")


def test_another_version_and_damage_are_told_apart(tmp_path):
    manifest = write(tmp_path / "bundle").path / "model.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(BundleError, match="format 99"):
        load_bundle(tmp_path / "bundle")
    manifest.write_text(manifest.read_text()[:40])
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(tmp_path / "bundle")
