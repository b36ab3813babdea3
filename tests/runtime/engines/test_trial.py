from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest

from cosmo_runtime.models.bundle import Bundle, load_bundle, write_bundle
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.places import data_folder
from cosmo_runtime.runtime.engines import trial
from cosmo_runtime.runtime.engines.onnxruntime import EngineError
from cosmo_runtime.runtime.engines.trial import ensure_tried

Put = Callable[[bytes], Bundle]


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where records lie, for once not shared with other tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return data_folder() / "tried"


@pytest.fixture
def put(spec: ModelSpec, tmp_path: Path) -> Put:
    """Writes a bundle around a model."""
    return lambda onnx: write_bundle(tmp_path / "bundle", spec, onnx=onnx, weights=b"none", provenance={}, metrics={})


def _no_process(*_: object, **__: object) -> None:
    raise AssertionError("a process was started")


def test_a_good_bundle_is_tried_once_wherever_it_lies(
    put: Put, tiny_onnx: Path, tried: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = put(tiny_onnx.read_bytes())
    ensure_tried(bundle)
    [record] = tried.iterdir()
    assert record.name.startswith(bundle.digest)
    monkeypatch.setattr(subprocess, "run", _no_process)
    ensure_tried(bundle)
    shutil.copytree(str(bundle.path), str(tmp_path / "copy"))
    ensure_tried(load_bundle(tmp_path / "copy"))


def test_another_model_or_another_onnxruntime_is_tried_again(
    put: Put, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = put(tiny_onnx.read_bytes())
    ensure_tried(bundle)
    monkeypatch.setattr(subprocess, "run", _no_process)
    with pytest.raises(AssertionError):
        ensure_tried(put(tiny_onnx.read_bytes() + b"\x22\x00"))  # an empty domain
    monkeypatch.setattr("onnxruntime.__version__", "1.0")
    with pytest.raises(AssertionError):
        ensure_tried(bundle)


def test_the_shipped_bundle_costs_no_process(monkeypatch: pytest.MonkeyPatch, tried: Path) -> None:
    monkeypatch.setattr(subprocess, "run", _no_process)
    ensure_tried(load_bundle(SHIPPED_BUNDLE))
    assert not tried.exists()


def test_a_model_that_fails_only_while_a_sensor_is_absent_is_refused_each_time(
    put: Put, tiny_onnx: Path, tried: Path
) -> None:
    bundle = put(tiny_onnx.read_bytes().replace(b"Mul", b"Div"))  # by the presence, which may be 0
    for _ in range(2):
        with pytest.raises(EngineError, match=r"bundle: its model, with imu, depth present, answers .* not finite"):
            ensure_tried(bundle)
    assert not tried.exists()


def test_a_device_that_cannot_keep_records_runs_all_the_same(
    put: Put, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    ensure_tried(put(tiny_onnx.read_bytes()))


def test_a_module_in_the_working_folder_is_not_taken_for_ours(
    put: Put, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('mine')")
    monkeypatch.chdir(tmp_path)
    ensure_tried(put(tiny_onnx.read_bytes()))


def _with_loop_while_depth_is_absent(times: int) -> bytes:
    """A model that turns round and round so often where the second sensor is absent, else not at all."""
    onnx = pytest.importorskip("onnx", reason="pip install onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    turn = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["still"]), helper.make_node("Identity", ["before"], ["after"])],
        "turn",
        [
            helper.make_tensor_value_info("number", kind.INT64, []),
            helper.make_tensor_value_info("go_on", kind.BOOL, []),
            helper.make_tensor_value_info("before", kind.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("still", kind.BOOL, []),
            helper.make_tensor_value_info("after", kind.FLOAT, [1, 3]),
        ],
    )
    constants = {"one": (kind.INT64, [], [1]), "zero": (kind.FLOAT, [], [0]), "times": (kind.INT64, [], [times])}
    nodes = [
        helper.make_node("Gather", ["presence", "one"], ["depth_column"], axis=1),
        helper.make_node("ReduceSum", ["depth_column"], ["depth_present"], keepdims=0),
        helper.make_node("Equal", ["depth_present", "zero"], ["absent"]),
        helper.make_node("Softmax", ["presence"], ["answer"], axis=1),
        helper.make_node("Loop", ["times", "absent", "answer"], ["probabilities"], body=turn),
        helper.make_node("ReduceSum", ["presence"], ["sensors"], keepdims=1),
        helper.make_node("Div", ["presence", "sensors"], ["weights"]),
    ]
    shapes = {"imu": (1, 20, 6), "depth": (1, 5, 4, 6), "radar": (1, 10, 8, 5), "presence": (1, 3)}
    graph = helper.make_graph(
        nodes,
        "hangs",
        [helper.make_tensor_value_info(name, kind.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, kind.FLOAT, (1, 3)) for name in ("probabilities", "weights")],
        [helper.make_tensor(name, *value) for name, value in constants.items()],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7).SerializeToString()
    )


def test_a_model_that_hangs_while_a_sensor_is_absent_is_found_before_it_runs(
    put: Put, tried: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_tried(put(_with_loop_while_depth_is_absent(3)))
    monkeypatch.setattr(trial, "LIMIT_S", 3)
    began = time.monotonic()
    with pytest.raises(EngineError, match="bundle: its model does not answer within 3 s"):
        ensure_tried(put(_with_loop_while_depth_is_absent(2**62)))
    assert time.monotonic() - began < 15
    assert len(list(tried.iterdir())) == 1


def test_a_model_that_fills_the_memory_is_found_before_it_runs(put: Put, spec: ModelSpec) -> None:
    onnx = pytest.importorskip("onnx", reason="pip install onnx")
    model = onnx.load_from_string(_with_loop_while_depth_is_absent(1))
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [100_000, 100_000])
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["shape"], ["enormous"]))
    model.graph.node.insert(1, onnx.helper.make_node("ReduceMax", ["enormous"], ["most"], keepdims=0))
    model.graph.node.append(onnx.helper.make_node("Add", ["most", "answer"], ["unused"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("unused", onnx.TensorProto.FLOAT, (1, 3)))
    with pytest.raises(EngineError, match=r"bundle/model\.onnx: ONNX Runtime .* cannot run it"):
        ensure_tried(put(model.SerializeToString()))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ends the process that runs it, by SIGSEGV"),
        ("raise RuntimeError('no room')", "could not be tried: RuntimeError: no room"),
        ("raise SystemExit(3)", "could not be tried"),
    ],
)
def test_a_trial_that_crashes_is_told(
    put: Put, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.setattr(trial, "_CODE", code)
    with pytest.raises(EngineError, match=words):
        ensure_tried(put(tiny_onnx.read_bytes()))


def test_a_trial_ends_by_itself_when_its_parent_was_killed(tmp_path: Path, put: Put) -> None:
    bundle = put(_with_loop_while_depth_is_absent(2**62))
    trial = "from cosmo_runtime.runtime.engines.trial import main; main(*sys.argv[1:])"
    code = f"import sys; sys.path[:] = {sys.path!r}; {trial}"
    alone = subprocess.run([sys.executable, "-c", code, str(bundle.path), bundle.digest, "2"], env=dict(os.environ))
    assert alone.returncode == -signal.SIGALRM
