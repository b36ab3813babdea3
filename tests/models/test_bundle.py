from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosmo_runtime.models.bundle import BundleError, load_bundle, write_bundle
from cosmo_runtime.models.sealed import seal, unseal
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec

SPEC = ModelSpec(
    modalities=(ModalitySpec(sensor="imu", rate_hz=100, shape=(6,)),),
    window_s=2,
    hop_s=0.5,
    classes=("sit", "walk"),
    quality=(1.0,),
)
GRAPH, BETTER = b"\x08\x07", b"\x08\x08"  # ONNX files that say which version of ONNX they are, and nothing else


def write(path, onnx: bytes = GRAPH):
    return write_bundle(path, SPEC, onnx=onnx, weights=b"numbers", provenance={"seed": 3}, metrics={"accuracy": 0.5})


def test_what_is_written_is_read(tmp_path):
    written = write(tmp_path / "deep" / "bundle")
    read = load_bundle(tmp_path / "deep" / "bundle")
    assert read == written
    assert read.spec == SPEC
    assert (read.provenance, read.metrics) == ({"seed": 3}, {"accuracy": 0.5})
    assert (read.onnx.read_bytes(), read.weights.read_bytes()) == (GRAPH, b"numbers")
    assert [child.name for child in (tmp_path / "deep").iterdir()] == ["bundle"]


def test_a_bundle_without_a_half_precision_model_is_whole_and_one_with_it_is_checked(tmp_path):
    assert write(tmp_path / "older").onnx_fp16 is None
    bundle = write_bundle(
        tmp_path / "bundle", SPEC, onnx=GRAPH, onnx_fp16=BETTER, weights=b"numbers", provenance={}, metrics={}
    )
    assert bundle.onnx_fp16.read_bytes() == BETTER
    bundle.onnx_fp16.write_bytes(b"tampered")
    with pytest.raises(BundleError, match=r"model\.fp16\.onnx is not the file"):
        load_bundle(tmp_path / "bundle")
    bundle.onnx_fp16.unlink()
    with pytest.raises(BundleError, match=r"model\.fp16\.onnx is missing"):
        load_bundle(tmp_path / "bundle")


def test_a_new_bundle_takes_the_place_of_the_old(tmp_path):
    write(tmp_path / "bundle")
    write(tmp_path / "bundle", onnx=BETTER)
    assert load_bundle(tmp_path / "bundle").onnx.read_bytes() == BETTER
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_a_failed_write_leaves_the_old_bundle_and_nothing_else(tmp_path, monkeypatch):
    write(tmp_path / "bundle")

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("cosmo_runtime.models.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "bundle", onnx=BETTER)
    assert load_bundle(tmp_path / "bundle").onnx.read_bytes() == GRAPH
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
        write(path, onnx=BETTER)
    assert load_bundle(path).onnx.read_bytes() == GRAPH
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


def rewrite(bundle, **changes):
    """Gives a bundle another model.json that has the right digest."""
    file = bundle.path / "model.json"
    file.write_bytes(seal({**unseal(file), **changes}))
    return bundle.path


def test_a_changed_model_json_is_refused(tmp_path):
    file = write(tmp_path / "bundle").path / "model.json"
    file.write_bytes(file.read_bytes().replace(b'"hop_s": 0.5', b'"hop_s": 0.6'))
    with pytest.raises(BundleError, match=r"model\.json is damaged: .* digest"):
        load_bundle(tmp_path / "bundle")


def test_a_bundle_of_before_model_json_had_a_digest_is_read(tmp_path):
    bundle = write(tmp_path / "bundle")
    content = {"format": 1, **unseal(bundle.path / "model.json")}
    (bundle.path / "model.json").write_text(json.dumps(content))
    old = load_bundle(bundle.path)
    assert (old.spec, old.sha256) == (bundle.spec, bundle.sha256)
    assert old.digest != bundle.digest == load_bundle(write(tmp_path / "same").path).digest


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "README.md", "engines/other.plan"])
def test_a_file_of_another_name_is_refused(tmp_path, name):
    bundle = write(tmp_path / "bundle")
    (tmp_path / "secret").write_bytes(b"numbers")
    with pytest.raises(BundleError, match=r"a bundle has model\.onnx and weights\.safetensors"):
        load_bundle(rewrite(bundle, sha256={**bundle.sha256, name: bundle.sha256["weights.safetensors"]}))


def test_a_bundle_without_a_digest_of_its_model_is_refused(tmp_path):
    bundle = write(tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"a bundle has model\.onnx and"):
        load_bundle(rewrite(bundle, sha256={"weights.safetensors": bundle.sha256["weights.safetensors"]}))


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": []},
        {"classes": ["walk", "walk"]},
        {"classes": ["\x1b[2J"]},
        {"classes": ["uncertain"]},
        {"window_s": 1e9},
        {"hop_s": 1e-10},
        {"quality": [float("nan")]},
    ],
)
def test_a_spec_out_of_bounds_is_refused_behind_a_right_digest(tmp_path, changes):
    bundle = write(tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"model\.json is damaged or of another version.*spec") as refused:
        load_bundle(rewrite(bundle, spec={**json.loads(SPEC.model_dump_json()), **changes}))
    assert "\x1b" not in str(refused.value)


def test_a_model_that_would_leave_time_unseen_is_refused_with_what_mends_it(tmp_path):
    long_s = SPEC.window_s + 1
    bundle = write(tmp_path / "bundle")
    said = rf"hop_s = {long_s:g} is longer than window_s = {SPEC.window_s:g}, .*: train the model with a hop .*again"
    with pytest.raises(BundleError, match=said):
        load_bundle(rewrite(bundle, spec={**json.loads(SPEC.model_dump_json()), "hop_s": long_s}))
    with pytest.raises(BundleError, match=r"was not written: spec: .*train the model with a hop"):
        spec = SPEC.model_copy(update={"hop_s": long_s})
        write_bundle(tmp_path / "new", spec, onnx=GRAPH, weights=b"", provenance={}, metrics={})
    assert not (tmp_path / "new").exists()


def test_a_spec_out_of_bounds_is_not_written_over_a_bundle_that_is_whole(tmp_path):
    write(tmp_path / "bundle")
    spec = SPEC.model_copy(update={"classes": ()})
    with pytest.raises(BundleError, match=r"was not written: spec\.classes"):
        write_bundle(tmp_path / "bundle", spec, onnx=BETTER, weights=b"", provenance={}, metrics={})
    assert load_bundle(tmp_path / "bundle").onnx.read_bytes() == GRAPH


@pytest.mark.parametrize("onnx", [b"no model", b""])
def test_a_model_that_is_none_is_refused_behind_a_right_digest(tmp_path, onnx):
    with pytest.raises(BundleError, match=r"model\.onnx is (not an ONNX model|empty)"):
        write(tmp_path / "bundle", onnx=onnx)


def test_a_model_whose_weights_lie_in_a_file_without_digest_is_refused(tmp_path):
    external = b"\x3a\x04\x2a\x02\x70\x01"  # graph { initializer { data_location: EXTERNAL } }
    with pytest.raises(BundleError, match=r"model\.onnx has weights in another file"):
        write(tmp_path / "bundle", onnx=external)
    with pytest.raises(BundleError, match=r"model\.fp16\.onnx has weights in another file"):
        write_bundle(tmp_path / "half", SPEC, onnx=GRAPH, onnx_fp16=external, weights=b"", provenance={}, metrics={})


def test_what_a_terminal_would_obey_is_written_out(tmp_path):
    bundle = write_bundle(
        tmp_path / "bundle",
        SPEC,
        onnx=GRAPH,
        weights=b"",
        provenance={"data": ["\x1b[31mred"]},
        metrics={"\x07": {"loss": float("nan")}},
    )
    assert (bundle.provenance, bundle.metrics) == ({"data": ["\\x1b[31mred"]}, {"\\x07": {"loss": None}})
    with pytest.raises(BundleError, match=r"'\\x1b\[2J' contains control characters"):
        write(tmp_path / "\x1b[2J")


def test_encoders_are_told_from_a_bundle(tmp_path):
    (tmp_path / "pretraining.json").write_text("{}")
    with pytest.raises(BundleError, match="holds only encoders, from which finetune starts"):
        load_bundle(tmp_path)


def test_a_bundle_that_a_killed_writer_had_moved_aside_is_found(tmp_path):
    write(tmp_path / "bundle").path.rename(tmp_path / ".bundle.1.old")
    (tmp_path / ".bundle.1.new").mkdir()
    assert load_bundle(tmp_path / "bundle").onnx.read_bytes() == GRAPH
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    bundle = write(tmp_path / "bundle")

    def broken(path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("cosmo_runtime.models.bundle.sha256_of", broken)
    with pytest.raises(BundleError, match=r"model\.json cannot be read: Input/output error"):
        load_bundle(bundle.path)
