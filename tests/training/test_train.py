from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime
from safetensors.torch import load_file

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.methods import Budget
from cosmo_runtime.training.train import train_bundle
from cosmo_runtime.training.windows import Windows

ONE_EPOCH = Budget(pretrain_epochs=1, epochs=1)


@pytest.fixture(scope="module")
def bundle(spec, windows, other_people, tmp_path_factory):
    labels = windows.labels.copy()
    labels[::3] = -1
    some_labelled = Windows(windows.features, windows.presence, labels, windows.groups, windows.recordings)
    out = tmp_path_factory.mktemp("bundles") / "swaying"
    return train_bundle(
        spec,
        some_labelled,
        out,
        held_out={"other people": other_people},
        provenance={"data": "swaying"},
        budget=Budget(pretrain_epochs=4, epochs=40),
        cosmo=Cosmo(),
    )


def test_the_bundle_tells_what_it_is(bundle, spec):
    bundle = load_bundle(bundle.path)
    assert bundle.spec.classes == spec.classes
    assert bundle.spec.quality != spec.quality
    assert sum(bundle.spec.quality) == pytest.approx(1)
    assert bundle.provenance["data"] == "swaying"
    assert (bundle.provenance["windows"], bundle.provenance["labelled_windows"]) == (72, 48)
    assert bundle.metrics["other people"]["accuracy"] > 0.9


def test_the_graph_is_one_that_a_tx2_reads(bundle):
    model = onnx.load(str(bundle.onnx))
    assert model.ir_version <= 7
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 13)]
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    assert shapes == {"imu": [1, 40, 6], "depth": [1, 10, 8, 10], "radar": [1, 10, 4, 5], "presence": [1, 3]}
    missing_in_tensorrt_8_2 = {
        "LayerNormalization",
        "GroupNormalization",
        "GridSample",
        "Mod",
        "NonZero",
        "OneHot",
        "Trilu",
    }
    assert not missing_in_tensorrt_8_2 & {node.op_type for node in model.graph.node}


def test_the_graph_recognises_with_any_sensors(bundle, other_people):
    session = onnxruntime.InferenceSession(str(bundle.onnx), providers=["CPUExecutionProvider"])

    def accuracy(presence: list) -> float:
        right = 0
        for i, label in enumerate(other_people.labels):
            inputs = {sensor: array[i : i + 1].astype(np.float32) for sensor, array in other_people.features.items()}
            inputs["presence"] = np.array([presence], np.float32)
            probabilities, weights = session.run(["probabilities", "weights"], inputs)
            assert probabilities.sum() == pytest.approx(1, abs=1e-5)
            assert weights.sum() == pytest.approx(float(any(presence)), abs=1e-5)
            assert not weights[0][np.array(presence) == 0].any()
            right += probabilities.argmax() == label
        return right / len(other_people)

    assert accuracy([1, 1, 1]) > 0.9
    assert accuracy([1, 0, 0]) > 0.7
    assert accuracy([0, 1, 1]) > 0.7
    assert accuracy([0, 0, 0]) == pytest.approx(1 / 3)


def test_windows_without_labels_are_refused(spec, windows, tmp_path):
    unlabelled = Windows(
        windows.features, windows.presence, np.full(len(windows), -1), windows.groups, windows.recordings
    )
    with pytest.raises(ValueError, match="0 of 72 windows have a label"):
        train_bundle(spec, unlabelled, tmp_path / "bundle", held_out={}, provenance={}, budget=ONE_EPOCH, cosmo=Cosmo())


def test_the_same_seed_gives_the_same_bundle(spec, windows, tmp_path):
    first, again, other = (
        train_bundle(
            spec, windows, tmp_path / name, held_out={}, provenance={}, budget=ONE_EPOCH, cosmo=Cosmo(), seed=seed
        )
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first.weights.read_bytes() == again.weights.read_bytes()
    assert first.weights.read_bytes() != other.weights.read_bytes()


def test_it_may_start_from_encoders_of_an_earlier_stage_1(spec, windows, tmp_path):
    encoders = Encoders(spec)
    features, presence, _ = windows.tensors(np.arange(len(windows)))
    encoders.fit(features, presence)
    bundle = train_bundle(
        spec,
        windows,
        tmp_path / "bundle",
        held_out={},
        provenance={},
        budget=ONE_EPOCH,
        cosmo=Cosmo(),
        encoders=encoders,
    )
    assert set(bundle.metrics["loss"]) == {"stage 2"}
    weights = load_file(bundle.weights)
    for name, tensor in encoders.state_dict().items():
        torch.testing.assert_close(weights[f"encoders.{name}"], tensor, rtol=0, atol=0)
