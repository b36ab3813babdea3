"""Rewrites a model's graph so that the encoder of an absent sensor does not run.

ONNX Runtime computes every node of a graph, also an encoder whose embedding then gets no weight. In the graph made
here, each encoder is a branch of an ``If`` on the sensor's presence, and the other branch gives zeros. No TensorRT was
tried with it, so it is a file of its own beside the whole graph.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Sequence, Set

import numpy as np
import onnx
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

PRESENCE = "presence"

_LARGE = 1024  # bytes; smaller weights stay inside


def skip_absent(model: bytes, sensors: Sequence[str]) -> bytes:
    """The same graph, with each sensor's encoder in a branch that is taken only if the sensor is present.

    An encoder that hands over anything but one embedding stays as it is.

    Args:
        model: a graph of ``training.export.to_onnx``.
        sensors: the names of its inputs in the order of ``presence``.
    """
    whole = onnx.load_from_string(model)
    graph = whole.graph
    depends = inputs_of(graph)
    encoders = {sensor: [node for node in graph.node if depends[node.output[0]] == {sensor}] for sensor in sensors}
    used = {sensor: _used_after(graph, encoder) for sensor, encoder in encoders.items()}
    embeddings = {sensor: names.pop() for sensor, names in used.items() if len(names) == 1}
    values = _computed(whole, list(embeddings.values()))
    nodes: List[NodeProto] = []
    for number, sensor in enumerate(sensors):
        if sensor not in embeddings:
            continue  # an encoder of another package may hand over more than an embedding; it always runs
        name = embeddings[sensor]
        nodes += _branch(graph, encoders[sensor], sensor, number, name, values[name])
        for node in encoders[sensor]:
            graph.node.remove(node)
    rest = list(graph.node)
    del graph.node[:], graph.value_info[:]
    constants = [node for node in rest if not depends[node.output[0]]]
    graph.node.extend([*constants, *nodes, *(node for node in rest if node not in constants)])
    onnx.checker.check_model(whole, full_check=True)
    return whole.SerializeToString()


def sharing_weights(skipping: bytes, whole: bytes, name: str) -> bytes:
    """The same graph without its large weights, which ONNX Runtime then reads from the whole graph's file.

    Args:
        skipping: what ``skip_absent`` made.
        whole: the graph that it was made of.
        name: the file of the whole graph, in the same folder.
    """
    model = onnx.load_from_string(skipping)
    for tensor in _tensors(model.graph):
        offset = whole.find(tensor.raw_data) if len(tensor.raw_data) >= _LARGE else -1
        if offset >= 0:
            set_external_data(tensor, name, offset, len(tensor.raw_data))
            tensor.ClearField("raw_data")
    return model.SerializeToString()


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """The weights of a graph and of its branches."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)


def inputs_of(graph: GraphProto) -> Dict[str, Set[str]]:
    """The graph's inputs on which each value depends."""
    found: Dict[str, Set[str]] = {item.name: {item.name} for item in graph.input}
    for node in graph.node:
        depends = set().union(*(found.get(name, set()) for name in node.input))
        found.update(dict.fromkeys(node.output, depends))
    return found


def _used_after(graph: GraphProto, encoder: Sequence[NodeProto]) -> Set[str]:
    """The values of an encoder that other nodes use: usually one, the embedding."""
    inside = {id(node) for node in encoder}
    made = {name for node in encoder for name in node.output}
    return made & {name for node in graph.node if id(node) not in inside for name in node.input}


def _computed(model: ModelProto, names: Sequence[str]) -> Dict[str, np.ndarray]:
    """Values inside a graph, for inputs of ones. Their shapes are then known, which ONNX cannot always infer."""
    asked = ModelProto()
    asked.CopyFrom(model)
    asked.graph.output.extend(ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(asked.SerializeToString(), providers=["CPUExecutionProvider"])
    ones = {item.name: np.ones(item.shape, np.float32) for item in session.get_inputs()}
    return dict(zip(names, session.run(list(names), ones)))


def _branch(
    graph: GraphProto, encoder: Sequence[NodeProto], sensor: str, number: int, embedding: str, value: np.ndarray
) -> List[NodeProto]:
    """The nodes that replace an encoder: is the sensor present? If so, run it."""
    inside = {id(node) for node in encoder}
    used_outside = {name for node in graph.node if id(node) not in inside for name in node.input}
    taken = helper.make_graph(encoder, f"{sensor} is present", [], [_output(embedding, value)])
    own = [item for item in graph.initializer if any(item.name in node.input for node in encoder)]
    own = [item for item in own if item.name not in used_outside]
    taken.initializer.extend(own)  # where ONNX Runtime can fuse and pack them
    for item in own:
        graph.initializer.remove(item)
    nothing = f"{embedding}_absent"
    zero = helper.make_node("Constant", [], [nothing], value=numpy_helper.from_array(np.zeros_like(value), nothing))
    untaken = helper.make_graph([zero], f"{sensor} is absent", [], [_output(nothing, value)])
    index, share, present = (f"{sensor}_{name}" for name in ("index", "share", "present"))
    graph.initializer.append(numpy_helper.from_array(np.array([number], np.int64), index))
    return [
        helper.make_node("Gather", [PRESENCE, index], [share], axis=1),
        helper.make_node("Cast", [share], [present], to=TensorProto.BOOL),
        helper.make_node("If", [present], [embedding], then_branch=taken, else_branch=untaken),
    ]


def _output(name: str, value: np.ndarray) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
