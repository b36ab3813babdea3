"""Stage 1 on the GPU that this machine has."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress
from safetensors.torch import load_file

from models.networks import Encoders
from runtime.cli import main
from training.datasets.store import save
from training.finetune import embed
from training.pretrain import pretrain
from training.pretrained import load_pretrained

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use"),
    pytest.mark.timeout(300),
]

PRETRAINING = Path(__file__).with_name("pretraining.py")


def losses_of(spec, windows, device: str, precision: str = "fp32") -> list[float]:
    torch.manual_seed(0)
    encoders = Encoders(spec)
    features, presence, _ = windows.tensors(np.arange(len(windows)))
    encoders.fit(features, presence)
    quiet = Progress(disable=True)
    losses = pretrain(encoders, windows, epochs=6, seed=0, batch=24, progress=quiet, device=device, precision=precision)
    assert torch.isfinite(embed(encoders, windows)[0]).all(), "the encoders are on the processor again"
    return losses


def test_single_precision_follows_the_processor(spec, windows):
    """As far as sums in another order let it: their differences grow from step to step."""
    here, there = losses_of(spec, windows, "cpu"), losses_of(spec, windows, "cuda")
    assert there[0] == pytest.approx(here[0], rel=0.01)
    assert there == pytest.approx(here, rel=0.1)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_as_well(spec, windows, precision):
    mixed, single = losses_of(spec, windows, "cuda", precision), losses_of(spec, windows, "cuda")
    assert mixed != single
    assert mixed == pytest.approx(single, rel=0.1)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_is_repeatable_and_goes_on_bit_for_bit_after_a_kill(spec, windows, tmp_path, precision):
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    save(windows, tmp_path / "windows")
    words = ["--batch", "4", "--device", "cuda", "--precision", precision]

    def start(out: str, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(PRETRAINING), str(tmp_path), str(tmp_path / out), *words, *more])

    whole, again = start("whole"), start("again")
    assert (whole.wait(120), again.wait(120)) == (0, 0)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "whole").read_bytes()

    checkpoint = tmp_path / "checkpoint"
    process = start("resumed", "--checkpoint", str(checkpoint))
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert int(load_file(checkpoint)["step"]) < 54
    assert start("resumed", "--checkpoint", str(checkpoint)).wait(120) == 0
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_torchrun_over_nccl_equals_a_run_without(tmp_path):
    """One process, for nccl takes no two on one GPU. In half precision, which is not equal to the last digit."""
    words = ["pretrain", "person:0", "--epochs", "2", "--cache", str(tmp_path / "cache"), "--device", "cuda"]
    assert main([*words, "--out", str(tmp_path / "alone")]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
    subprocess.run([*torchrun, "-m", "runtime.cli", *words, "--out", str(tmp_path / "run")], check=True)
    alone, run = load_pretrained(tmp_path / "alone"), load_pretrained(tmp_path / "run")
    assert alone.provenance["device"] == run.provenance["device"] == torch.cuda.get_device_name()
    assert alone.provenance["precision"] in ("bf16", "fp16")
    assert run.losses == pytest.approx(alone.losses, rel=0.01)
