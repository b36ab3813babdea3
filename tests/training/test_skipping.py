from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime

from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.networks import CosmoNetwork
from cosmo_runtime.training.export import in_half_precision, to_onnx
from cosmo_runtime.training.skipping import sharing_weights, skip_absent

NO_NUMBER = np.float32(np.nan)


def answers(graph, inputs):
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, inputs)


@pytest.mark.parametrize("half", [False, True])
def test_answers_are_equal_in_every_combination_of_sensors(spec, half):
    graph = to_onnx(spec, CosmoNetwork(spec).eval())
    graph = in_half_precision(graph) if half else graph
    skipping = skip_absent(graph, spec.sensors)
    inputs = random_inputs(spec, np.random.default_rng(0))
    for presence in itertools.product((1, 0), repeat=len(spec.sensors)):
        inputs["presence"] = np.array([presence], np.float32)
        for whole, skipped in zip(answers(graph, inputs), answers(skipping, inputs)):
            np.testing.assert_allclose(skipped, whole, atol=2e-3 if half else 1e-6)


def test_the_encoder_of_an_absent_sensor_does_not_run(spec):
    """An encoder that runs on what is no number would make the answer no number, for nothing times that is not 0."""
    graph = to_onnx(spec, CosmoNetwork(spec).eval())
    skipping = skip_absent(graph, spec.sensors)
    for number, sensor in enumerate(spec.sensors):
        inputs = random_inputs(spec, np.random.default_rng(0))
        inputs["presence"][0, number] = 0
        inputs[sensor][:] = NO_NUMBER
        assert np.isnan(answers(graph, inputs)[0]).any()
        assert np.isfinite(answers(skipping, inputs)[0]).all()


def test_an_encoder_that_hands_over_more_than_an_embedding_stays_as_it_is(spec):
    whole = onnx.load_from_string(to_onnx(spec, CosmoNetwork(spec).eval()))
    first = next(node for node in whole.graph.node if spec.sensors[0] in node.input)
    most = onnx.helper.make_node("ReduceMax", [first.output[0]], ["most"], keepdims=0)
    used = onnx.helper.make_node("Add", ["most", "presence"], ["used"])
    whole.graph.node.extend([most, used])
    graph = whole.SerializeToString()
    skipping = skip_absent(graph, spec.sensors)
    kinds = [node.op_type for node in onnx.load_from_string(skipping).graph.node]
    assert kinds.count("If") == len(spec.sensors) - 1
    inputs = random_inputs(spec, np.random.default_rng(0))
    for before, after in zip(answers(graph, inputs), answers(skipping, inputs)):
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_it_is_as_large_as_the_whole_graph_and_of_the_same_version(spec):
    graph = to_onnx(spec, CosmoNetwork(spec).eval())
    skipping = skip_absent(graph, spec.sensors)
    assert len(skipping) < len(graph) + 10_000
    model = onnx.load_from_string(skipping)
    assert (model.ir_version, [(opset.domain, opset.version) for opset in model.opset_import]) == (7, [("", 13)])
    assert [node.op_type for node in model.graph.node].count("If") == len(spec.sensors)


def test_it_can_take_its_weights_from_the_whole_graphs_file(spec, tmp_path):
    graph = to_onnx(spec, CosmoNetwork(spec).eval())
    skipping = skip_absent(graph, spec.sensors)
    (tmp_path / "model.onnx").write_bytes(graph)
    (tmp_path / "model.skipping.onnx").write_bytes(sharing_weights(skipping, graph, "model.onnx"))
    assert (tmp_path / "model.skipping.onnx").stat().st_size < len(skipping) / 4
    inputs = random_inputs(spec, np.random.default_rng(0))
    inputs["presence"][0, 0] = 0
    for shared, own in zip(answers(str(tmp_path / "model.skipping.onnx"), inputs), answers(skipping, inputs)):
        np.testing.assert_array_equal(shared, own)
