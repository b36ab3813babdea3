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
from torch import nn

from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.runtime.cli import main
from cosmo_runtime.training.cosmo.contrastive import random_weightings
from cosmo_runtime.training.cosmo.pretrain import pretrain, share_of_loss
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.datasets.store import save
from cosmo_runtime.training.pretrained import load_pretrained
from tests.training.pretraining import new_encoders

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch can use no GPU"),
    pytest.mark.timeout(300),
]

PRETRAINING = Path(__file__).with_name("pretraining.py")


def losses_of(spec, windows, device: str, precision: str = "fp32") -> list[float]:
    encoders = new_encoders(spec, windows)
    quiet = Progress(disable=True)
    losses = pretrain(encoders, windows, epochs=6, seed=0, batch=24, progress=quiet, device=device, precision=precision)
    assert torch.isfinite(embed(encoders, windows)[0]).all(), "the encoders are on the processor again"
    return losses


def test_a_batchs_loss_is_that_of_the_processor(spec, windows):
    """But for the ten bits of mantissa that convolutions have on a GPU."""
    features, presence, _ = windows.tensors(np.arange(24))
    alpha = random_weightings(presence, 9, torch.Generator().manual_seed(0))
    losses = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        encoders = Encoders(spec)
        encoders.fit(features, presence)
        learner = nn.ModuleDict({"encoders": encoders, "heads": encoders.projection_heads()}).to(device)
        losses.append(share_of_loss(learner, features, alpha, None).item())
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


def test_a_run_learns_as_it_does_on_the_processor(spec, windows):
    """Not the same, because each device draws its augmentation from a generator of its own."""
    assert losses_of(spec, windows, "cuda") == pytest.approx(losses_of(spec, windows, "cpu"), rel=0.1)


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


def test_torchrun_starts_a_process_on_each_gpu(tmp_path):
    """With one GPU nothing is exchanged; half precision is not equal to the last digit even so."""
    words = ["pretrain", "person:0", "--epochs", "2", "--cache", str(tmp_path / "cache"), "--device", "cuda"]
    assert main([*words, "--out", str(tmp_path / "alone")]) == 0
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(torch.cuda.device_count()),
    ]
    subprocess.run([*torchrun, "-m", "cosmo_runtime.runtime.cli", *words, "--out", str(tmp_path / "run")], check=True)
    alone, run = load_pretrained(tmp_path / "alone"), load_pretrained(tmp_path / "run")
    assert alone.provenance["device"] == run.provenance["device"] == torch.cuda.get_device_name()
    assert alone.provenance["precision"] in ("bf16", "fp16")
    assert run.losses == pytest.approx(alone.losses, rel=0.01)
