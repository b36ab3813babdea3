"""Several gloo processes against one: they must compute the same."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from torch import nn

from cosmo_runtime.training import distributed
from cosmo_runtime.training.cosmo.pretrain import BLOCK, augmented_share
from cosmo_runtime.training.datasets.store import save

pytestmark = pytest.mark.timeout(600)  # each process imports torch, which a busy machine takes its time for

PRETRAINING = Path(__file__).with_name("pretraining.py")


def start(folder: Path, processes: int, *words: str) -> list[subprocess.Popen[bytes]]:
    (folder / "processes").unlink(missing_ok=True)
    out = str(folder / f"{processes}.safetensors")
    command = [sys.executable, str(PRETRAINING), str(folder), out, "--of", str(processes), *words]
    return [subprocess.Popen([*command, "--rank", str(rank)]) for rank in range(processes)]


def test_processes_with_different_windows_end_before_the_first_step_and_say_what_differs(folder, windows):
    """The second process has as many windows, of which one depth image is another."""
    few = windows.where(np.arange(71))
    depth = few.features["depth"].copy()
    depth[70, 3] += 1
    save(replace(few, features={**few.features, "depth": depth}), folder / "others")
    command = [sys.executable, str(PRETRAINING), str(folder), str(folder / "out"), "--of", "2"]
    running = [
        subprocess.Popen([*command, "--rank", str(rank), "--windows", name], stderr=subprocess.PIPE, text=True)
        for rank, name in enumerate(("windows", "others"))
    ]
    for process in running:
        _, told = process.communicate(timeout=250)
        assert process.returncode != 0
        assert re.search(r"values of depth: \w+ \(process 0 on .+\), \w+ \(process 1 on .+\)", told)
        assert "values of imu" not in told
    assert not (folder / "out").exists()


def pretrained(folder: Path, processes: int, *words: str) -> dict[str, torch.Tensor]:
    """What so many processes leave."""
    assert [process.wait(250) for process in start(folder, processes, *words)] == [0] * processes
    return load_file(folder / f"{processes}.safetensors")


@pytest.fixture
def folder(tmp_path, spec, windows) -> Path:
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    save(windows.where(np.arange(71)), tmp_path / "windows")  # an odd number, so that shares differ
    return tmp_path


@pytest.mark.slow
def test_two_processes_equal_one_with_the_whole_batch(folder):
    """In double precision, in which nothing but a mistake makes a difference: 71 windows in batches of 23 and 24."""
    words = ("--double", "--neighbours", "--batch", "25")
    one, two = pretrained(folder, 1, *words), pretrained(folder, 2, *words)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(
            two[name], tensor, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    moved = [name for name in one if name.startswith("gradient.") and one[name].abs().max() > 1e-3]
    assert len(moved) > 20


@pytest.mark.slow
def test_gradients_in_single_precision_are_equal_too(folder):
    one, two = pretrained(folder, 1, "--batch", "48"), pretrained(folder, 2, "--batch", "48")
    for name, tensor in one.items():
        if name.startswith(("loss", "gradient.", "statistics.")):
            torch.testing.assert_close(
                two[name], tensor, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.slow
def test_a_run_of_two_processes_that_were_killed_goes_on_in_one(folder):
    words = ("--double", "--batch", "8")
    checkpoint = folder / "checkpoint"
    running = start(folder, 2, *words, "--checkpoint", str(checkpoint))
    while not checkpoint.exists():
        assert all(process.poll() is None for process in running)
        time.sleep(0.001)
    time.sleep(0.1)
    for process in running:
        process.kill()
        process.wait()
    assert 1 <= int(load_file(checkpoint)["step"]) < 27
    resumed = pretrained(folder, 1, *words, "--checkpoint", str(checkpoint))
    for name, tensor in pretrained(folder, 1, *words).items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_shares_make_up_the_batch_whatever_their_number(windows, monkeypatch, processes):
    chosen = np.random.default_rng(0).permutation(len(windows))
    assert len(chosen) > 2 * BLOCK
    whole = augmented_share(windows, chosen, seed=1, step=5, device=torch.device("cpu"))
    monkeypatch.setattr(distributed, "size", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(augmented_share(windows, chosen, seed=1, step=5, device=torch.device("cpu")))
    sizes = [len(share["imu"]) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    for sensor, x in whole.items():
        assert torch.equal(torch.cat([share[sensor] for share in shares]), x)


@pytest.mark.parametrize("shape", [(12, 4), (12, 4, 5), (6, 4, 3, 2)])
def test_batch_statistics_are_those_of_torch(monkeypatch, shape):
    """With all of the batch in one process, against torch's own module; then everything is as it was."""
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "gather", lambda x, n: x)
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    mine, torchs = kind(4).double(), kind(4).double()
    x = 100 + torch.randn(shape, dtype=torch.float64)
    own, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    with distributed.statistics_of_whole_batch(mine):
        y = mine(own)
    expected = torchs(other)
    torch.testing.assert_close(y, expected)
    (y**3).sum().backward()
    (expected**3).sum().backward()
    torch.testing.assert_close(own.grad, other.grad)
    torch.testing.assert_close(dict(mine.named_buffers()), dict(torchs.named_buffers()))
    assert "forward" not in vars(mine)
