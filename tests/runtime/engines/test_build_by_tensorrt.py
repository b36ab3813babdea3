"""The shipped ONNX files through a real TensorRT, by the builder as it is: TensorRT-RTX builds without a GPU.

Its parser and builder are those of TensorRT 11, and its interface is, too. What it builds only a GPU could run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from cosmo_runtime import models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

WHEEL = "tensorrt-rtx-cu13==1.7.1.116"
CACHE = Path.home() / ".cache" / "cosmo-runtime-tests"
REPOSITORY = Path(__file__).parents[3]
SHIPPED = Path(models.__file__).parent / "bundles" / "person"

_BUILD = """
import json, logging, sys
from pathlib import Path
import tensorrt_rtx
from rich.progress import Progress
from cosmo_runtime.runtime.engines.build import build_plan
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
model, precision = Path(sys.argv[1]).read_bytes(), sys.argv[2]
shown = []
class Shown(Progress):
    def add_task(self, description, **values):
        shown.append(description.strip())
        return super().add_task(description, **values)
with Shown(disable=True) as progress:
    plan, timings = build_plan(tensorrt_rtx, model, precision, b"", progress)
    again, _ = build_plan(tensorrt_rtx, model, precision, timings, progress)
print(json.dumps({"plan": len(plan), "again": len(again), "timings": len(timings), "shown": shown}))
"""


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where TensorRT-RTX is installed; its 95 MB are downloaded once."""
    folder = CACHE / f"{WHEEL.replace('==', '-')}-{sys.implementation.cache_tag}"
    if not folder.is_dir():
        fresh = folder.with_suffix(".new")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(fresh), WHEEL]
        try:
            fetched = subprocess.run(pip, capture_output=True, text=True, timeout=600)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{WHEEL} could not be installed: it took too long")
        if fetched.returncode:
            pytest.skip(f"{WHEEL} could not be installed: {fetched.stderr.strip().splitlines()[-1:]}")
        fresh.rename(folder)
    return folder


def build(folder: Path, model: Path, precision: str) -> Dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(folder)])}
    command = [sys.executable, "-c", _BUILD, str(model), precision]
    told = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


@pytest.mark.parametrize(("file", "precision"), [("model.onnx", "fp32"), ("model.fp16.onnx", "fp16")])
def test_the_shipped_model_builds_in_both_precisions(folder: Path, file: str, precision: str) -> None:
    built = build(folder, SHIPPED / file, precision)
    weights = (SHIPPED / file).stat().st_size
    assert built["plan"] > 0.8 * weights
    assert built["again"] > 0.8 * weights
    assert built["shown"][0].endswith(f"builds in {precision}")
    assert len(built["shown"]) > 2  # the phases that TensorRT tells


def test_a_file_that_is_no_model_is_refused_by_the_parser(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes((SHIPPED / "model.onnx").read_bytes().replace(b"Softmax", b"Softmix"))
    with pytest.raises(AssertionError, match=r"cannot read the model: .*Softmix"):
        build(folder, file, "fp32")


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_every_encoder_builds_in_both_precisions(folder: Path, tmp_path: Path, fusion: str) -> None:
    pytest.importorskip("torch")
    from cosmo_runtime.models.networks import CosmoNetwork
    from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
    from cosmo_runtime.training.export import in_half_precision, to_onnx

    shapes = {
        "imu": (9,),
        "accelerometer": (3,),
        "gyroscope": (3,),
        "skeleton": (20, 3),
        "depth": (30, 40),
        "radar": (32, 5),
    }
    spec = ModelSpec(
        modalities=tuple(ModalitySpec(sensor=sensor, rate_hz=20, shape=shape) for sensor, shape in shapes.items()),  # type: ignore[arg-type]
        window_s=2,
        hop_s=0.5,
        classes=("sit", "walk"),
        quality=(0.5, *[0.1] * 5),
    )
    model = to_onnx(spec, CosmoNetwork(spec, fusion).eval())
    for precision, content in (("fp32", model), ("fp16", in_half_precision(model))):
        file = tmp_path / f"{precision}.onnx"
        file.write_bytes(content)
        assert build(folder, file, precision)["plan"] > 0.8 * len(content)
