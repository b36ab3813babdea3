from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress
from safetensors.torch import load_file

from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.training.checkpoint import Checkpoint, CheckpointError
from cosmo_runtime.training.cosmo.pretrain import PretrainingError, draw_batches, pretrain, related_windows
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.datasets.store import save
from cosmo_runtime.training.windows import Windows
from tests.training.pretraining import new_encoders

PRETRAINING = Path(__file__).parents[1] / "pretraining.py"


def trained(spec, windows, epochs: int, seed: int = 0, batch: int = 24, **options) -> tuple[Encoders, list[float]]:
    encoders = new_encoders(spec, windows)
    quiet = Progress(disable=True)
    return encoders, pretrain(encoders, windows, epochs=epochs, seed=seed, batch=batch, progress=quiet, **options)


def same(one: Encoders, other: Encoders) -> bool:
    return all(torch.equal(x, y) for x, y in zip(one.state_dict().values(), other.state_dict().values()))


def test_loss_falls_and_no_label_is_looked_at(spec, windows):
    unlabelled = Windows(
        windows.features, windows.presence, np.full(len(windows), -1), windows.groups, windows.recordings
    )
    encoders, losses = trained(spec, unlabelled, epochs=10)
    assert losses[-1] < 0.95 * losses[0]
    with_labels, _ = trained(spec, windows, epochs=10)
    assert torch.equal(embed(encoders, windows)[0], embed(with_labels, windows)[0])


def test_windows_without_any_sensor_do_no_harm(spec, windows):
    presence = windows.presence.copy()
    presence[:5] = False
    presence[5:10, 0] = False
    encoders, losses = trained(
        spec, Windows(windows.features, presence, windows.labels, windows.groups, windows.recordings), epochs=2
    )
    assert np.isfinite(losses).all()
    assert torch.isfinite(embed(encoders, windows)[0]).all()


def test_a_sensor_that_was_never_there_leaves_the_others_whole(spec, windows):
    for absent in range(3):
        presence = windows.presence.copy()
        presence[:, absent] = False
        encoders, losses = trained(spec, replace(windows, presence=presence), epochs=1)
        assert np.isfinite(losses).all()
        assert all(tensor.isfinite().all() for tensor in encoders.state_dict().values())


def test_the_same_seed_gives_the_same_encoders_whatever_else_is_drawn(spec, windows, monkeypatch):
    one, losses = trained(spec, windows, epochs=1)
    other, _ = trained(spec, windows, epochs=1, seed=1)
    monkeypatch.setattr(Encoders, "fit", lambda *_, fit=Encoders.fit: (fit(*_), torch.rand(7)))
    again, losses_again = trained(spec, windows, epochs=1)
    assert same(one, again) and losses == losses_again
    assert not same(one, other)


def test_the_global_generator_is_left_alone(spec, windows):
    encoders = Encoders(spec)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    pretrain(encoders, windows, epochs=1, seed=0, batch=72, progress=Progress(disable=True))
    assert torch.equal(torch.get_rng_state(), before)


def half_on_a_cpu() -> bool:
    try:
        with torch.autocast("cpu", torch.float16):
            return True
    except RuntimeError:
        return False


needs_half_on_a_cpu = pytest.mark.skipif(not half_on_a_cpu(), reason="torch 1.11 computes in it on GPUs only")


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=[needs_half_on_a_cpu, pytest.mark.slow])])
def test_mixed_precision_learns_as_well(spec, windows, precision):
    _, losses = trained(spec, windows, epochs=6, precision=precision)
    _, full = trained(spec, windows, epochs=6)
    assert losses != full
    assert losses == pytest.approx(full, rel=0.1)


def test_a_narrower_range_of_weights_makes_the_task_easier(spec, windows):
    """Fusions that are nearly the same are nearly the same to the loss as well."""
    _, whole = trained(spec, windows, epochs=2)
    _, narrow = trained(spec, windows, epochs=2, weights_range=(0.45, 0.55))
    assert narrow[-1] < whole[-1]


def test_an_epoch_has_every_window_once_in_even_batches():
    seen = np.arange(3, 50)
    batches = draw_batches(seen, None, 4, np.random.default_rng(0))
    assert sorted(map(len, batches)) == [11, 12, 12, 12]
    assert sorted(np.concatenate(batches)) == list(seen)


def test_half_of_a_batch_are_neighbours_of_the_other_half():
    near = np.random.default_rng(0).integers(-1, 50, (50, 3))
    near[7] = -1
    anchors, drawn = [], []
    for seed in range(200):
        for batch in draw_batches(np.arange(50), near, 2, np.random.default_rng(seed)):
            first, second = np.split(batch, 2)
            for anchor, partner in zip(first, second):
                assert partner in near[anchor] if (near[anchor] >= 0).any() else partner == anchor
            anchors += list(first)
            drawn += list(zip(first, second))
    assert set(anchors) == set(range(50))
    wanted = {(anchor, partner) for anchor in range(50) for partner in near[anchor] if partner >= 0} | {(7, 7)}
    assert set(drawn) >= wanted, "every neighbour comes at some time"


def test_neighbours_become_alike(spec, windows):
    """Told which windows show the same activity, the encoders put them closer together than without."""
    by_label = [np.flatnonzero(windows.labels == label) for label in range(3)]
    pick = np.random.default_rng(0)
    neighbours = torch.tensor(np.array([pick.choice(by_label[label], 8, replace=False) for label in windows.labels]))
    neighbours[::7, 3:] = -1
    neighbours[3] = -1

    def closeness(encoders: Encoders) -> float:
        z = embed(encoders, windows)[0].flatten(1)
        similarity = (z @ z.T).numpy()
        alike = windows.labels[:, None] == windows.labels
        return float(similarity[alike].mean() - similarity[~alike].mean())

    told, losses = trained(spec, windows, epochs=8, neighbours=neighbours)
    untold, _ = trained(spec, windows, epochs=8)
    assert np.isfinite(losses).all()
    assert closeness(told) > 1.2 * closeness(untold)


def test_windows_are_related_either_way_round():
    near = np.array([[3, -1], [-1, -1], [0, 5], [-1, -1], [-1, -1], [-1, -1]])
    related = related_windows(np.array([0, 3, 2, 1, 0]), near)
    expected = torch.eye(5, dtype=torch.bool)
    for i, j in ((0, 1), (0, 2), (0, 4), (1, 4), (2, 4)):  # 0 finds 3, 2 finds 0, and 0 is there twice
        expected[i, j] = expected[j, i] = True
    assert torch.equal(related, expected)


def test_too_few_windows_are_refused(spec, windows):
    nobody = Windows(
        windows.features,
        np.zeros_like(windows.presence),
        windows.labels,
        windows.groups,
        windows.recordings,
    )
    with pytest.raises(PretrainingError, match="0 of 72 windows have a sensor"):
        pretrain(Encoders(spec), nobody, epochs=1, seed=0, progress=Progress(disable=True))


def test_a_neighbour_without_any_sensor_is_no_neighbour(spec, windows):
    presence = windows.presence.copy()
    presence[:20] = False
    half = Windows(windows.features, presence, windows.labels, windows.groups, windows.recordings)
    neighbours = torch.arange(len(windows)).roll(1).unsqueeze(1) % 20
    _, losses = trained(spec, half, epochs=1, neighbours=neighbours)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_batch_has_one_window(spec, windows, count):
    few = windows.where(np.arange(count))
    _, losses = trained(spec, few, epochs=2, batch=2)
    assert np.isfinite(losses).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_at_any_step_goes_on_bit_for_bit(spec, windows, tmp_path):
    """A process is killed twice, each at a random moment, and started again with the same words."""
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    save(windows, tmp_path / "windows")

    def start(out: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(PRETRAINING), str(tmp_path), str(tmp_path / out), "--neighbours", "--batch", "4"]
        return subprocess.Popen([*command, *words])

    assert start("whole").wait(250) == 0
    checkpoint = tmp_path / "kept" / "checkpoint"
    steps = [0]
    for _ in range(2):
        process = start("resumed", "--checkpoint", str(checkpoint))
        first = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == first:
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.wait()
        steps.append(int(load_file(checkpoint)["step"]))
    assert steps == sorted(set(steps)) and steps[-1] < 54, "each run went on from where the last was killed"
    assert start("resumed", "--checkpoint", str(checkpoint)).wait(250) == 0
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


class _Stop(Exception):
    pass


@pytest.fixture
def cut_short(spec, windows, tmp_path) -> Path:
    """The checkpoint of a run that stopped after its first epoch."""

    def stop(epoch: int, figures: object) -> None:
        raise _Stop

    path = tmp_path / "checkpoint"
    with pytest.raises(_Stop):
        trained(spec, windows, epochs=2, checkpoint=Checkpoint(path, every_s=0), on_epoch=stop)
    return path


@needs_half_on_a_cpu
@pytest.mark.slow
def test_a_run_in_half_precision_goes_on_as_well(spec, windows, tmp_path):
    def stop(epoch: int, figures: object) -> None:
        raise _Stop

    checkpoint = Checkpoint(tmp_path / "checkpoint", every_s=0)
    with pytest.raises(_Stop):
        trained(spec, windows, epochs=2, precision="fp16", checkpoint=checkpoint, on_epoch=stop)
    resumed, losses = trained(spec, windows, epochs=2, precision="fp16", checkpoint=checkpoint)
    whole, all_losses = trained(spec, windows, epochs=2, precision="fp16")
    assert same(resumed, whole) and losses == all_losses


def test_a_run_is_recognised_by_its_inputs_and_not_by_sums_that_depend_on_the_machine(spec, windows, cut_short):
    """As when it is started again with another number of threads: weights and normalisation are rounded anew."""
    torch.manual_seed(0)
    encoders = Encoders(spec)
    features, presence, _ = windows.tensors(np.arange(len(windows)))
    encoders.fit({sensor: x * (1 + 1e-6) for sensor, x in features.items()}, presence)
    with torch.no_grad():
        for parameter in encoders.parameters():
            parameter.mul_(1 + 1e-6)
    losses = pretrain(
        encoders, windows, epochs=2, seed=0, progress=Progress(disable=True), batch=24, checkpoint=Checkpoint(cut_short)
    )
    whole, all_losses = trained(spec, windows, epochs=2)
    assert same(encoders, whole) and losses == all_losses


def test_encoders_that_are_numbers_no_more_are_an_error(spec, windows):
    with pytest.raises(PretrainingError, match="in epoch 1 the encoders became numbers that are not finite"):
        trained(spec, windows, epochs=1, learning_rate=float("inf"))


def test_a_checkpoint_of_another_run_is_refused_by_name(spec, windows, cut_short):
    with pytest.raises(CheckpointError, match=r"checkpoint is of a run with seed 0, not 1; weights range \[0.0, 1.0\]"):
        trained(spec, windows, epochs=2, seed=1, weights_range=(0.3, 0.7), checkpoint=Checkpoint(cut_short))
    moved = Windows(
        {sensor: x + 1 for sensor, x in windows.features.items()},
        windows.presence,
        windows.labels,
        windows.groups,
        windows.recordings,
    )
    with pytest.raises(CheckpointError, match=r"is of a run with values of imu \w+, not \w+; values of depth"):
        trained(spec, moved, epochs=2, checkpoint=Checkpoint(cut_short))
