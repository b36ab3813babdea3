"""``cosmo-runtime pretrain`` as people meet it, on a small folder made like USC-HAD."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
scipy_io = pytest.importorskip("scipy.io")

from cosmo_runtime.models.bundle import load_bundle, write_bundle
from cosmo_runtime.models.shelf import SIMULATED_BUNDLE
from cosmo_runtime.runtime.cli import main
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from cosmo_runtime.training.datasets.usc import usc_spec
from cosmo_runtime.training.pretrained import load_pretrained


class Done(NamedTuple):
    code: int
    err: str


@pytest.fixture(scope="module")
def usc(tmp_path_factory) -> Path:
    """Two subjects of USC-HAD, who walk forward and left: 20 windows."""
    folder = tmp_path_factory.mktemp("usc-had")
    random = np.random.default_rng(0)
    for subject in (1, 2):
        (folder / f"Subject{subject}").mkdir()
        for activity in (1, 2):
            readings = np.cumsum(random.normal(0, 0.02, (600, 6)), axis=0) + np.sin(np.arange(600) / 9)[:, None]
            path = folder / f"Subject{subject}" / f"a{activity}t1.mat"
            scipy_io.savemat(str(path), {"sensor_readings": readings})
    return folder


@pytest.fixture
def pretrain(capsys, tmp_path) -> Callable[..., Done]:
    """Runs the command in this process; what it decodes stays in the test's folder."""

    def run(*words: object) -> Done:
        try:
            code = main(["pretrain", *map(str, words), "--cache", str(tmp_path / "cache")])
        except SystemExit as exit:
            code = int(exit.code or 0)
        return Done(code, capsys.readouterr().err)

    return run


def test_encoders_come_with_all_that_stage_2_needs(usc, pretrain, tmp_path):
    out = tmp_path / "deep" / "encoders"
    words = ("--epochs", 2, "--batch", 10, "--seed", 3, "--weights-range", "0.2,0.8", "--device", "cpu")
    done = pretrain(f"usc:{usc}", "--out", out, *words)
    assert done.code == 0, done.err
    spec, encoders, provenance, losses = load_pretrained(out)
    assert spec == usc_spec()
    z = encoders.eval()({sensor: torch.randn(2, 200, 3) for sensor in spec.sensors})
    assert torch.isfinite(z).all()
    assert int(encoders.by_sensor["gyroscope"].temporal.change[0][1].num_batches_tracked) == 4
    assert len(losses) == 2 and np.isfinite(losses).all()
    assert provenance["data"] == [f"usc:{usc}"]
    assert {key: provenance[key] for key in ("windows", "epochs", "batch", "seed", "precision", "processes")} == {
        "windows": 20,
        "epochs": 2,
        "batch": 10,
        "seed": 3,
        "precision": "fp32",
        "processes": 1,
    }
    assert provenance["weights_range"] == [0.2, 0.8]
    assert sorted(path.name for path in out.parent.iterdir()) == ["encoders"]


def test_the_same_seed_gives_the_same_folder(usc, pretrain, tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        assert pretrain(f"usc:{usc}", "--out", tmp_path / name, "--epochs", 1, "--seed", seed).code == 0
    one, again, other = ((tmp_path / name / "encoders.safetensors").read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_subjects_can_be_chosen(usc, pretrain, tmp_path):
    assert pretrain(f"usc:{usc}:2", "--out", tmp_path / "out", "--epochs", 1).code == 0
    assert load_pretrained(tmp_path / "out").provenance["windows"] == 10
    done = pretrain(f"usc:{usc}:3-5,9", "--out", tmp_path / "nobody")
    assert done.code == 1
    assert f"{usc} has no windows of the subjects in usc:{usc}:3-5,9" in done.err


def test_recordings_are_learned_from_in_the_windows_of_a_model(pretrain, tmp_path):
    for name in ("monday", "tuesday"):
        with RecordingWriter(
            tmp_path / f"{name}.mcap", {"imu": SensorInfo("imu", "an IMU of noise", 100)}, {}
        ) as writer:
            for step in range(500):
                reading = np.random.default_rng(step).normal(0, 1, 9).astype(np.float32)
                writer.write(Sample("imu", step * 10**7, step * 10**7, reading, b""))
    recordings = [tmp_path / "monday.mcap", tmp_path / "tuesday.mcap"]
    done = pretrain(*recordings, "--out", tmp_path / "out", "--epochs", 1)
    assert done.code == 0, done.err
    learned = load_pretrained(tmp_path / "out")
    assert learned.spec.sensors == ["imu"], "of those of the shipped model, what was recorded"
    assert learned.spec.modalities[0].rate_hz == load_bundle(SIMULATED_BUNDLE).spec.modalities[0].rate_hz
    assert learned.provenance["data"] == list(map(str, recordings))


def test_losses_are_kept_for_tensorboard(usc, pretrain, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert pretrain(f"usc:{usc}", "--out", tmp_path / "out", "--epochs", 3, "--tensorboard", tmp_path / "log").code == 0
    kept = events.EventAccumulator(str(tmp_path / "log"))
    kept.Reload()
    scalars = kept.Scalars("stage 1/loss")
    assert [scalar.step for scalar in scalars] == [0, 1, 2]
    assert [scalar.value for scalar in scalars] == pytest.approx(load_pretrained(tmp_path / "out").losses)


@pytest.mark.parametrize("option", ["--out", "--checkpoint", "--tensorboard"])
def test_what_cannot_be_written_is_told_before_anything_is_decoded(usc, pretrain, tmp_path, option):
    (tmp_path / "file").touch()
    words = {"--out": tmp_path / "out", "--checkpoint": tmp_path / "checkpoint", option: tmp_path / "file" / "x"}
    done = pretrain(f"usc:{usc}", *(word for pair in words.items() for word in pair))
    assert done.code == 1
    assert f"{option} {tmp_path}/file/x cannot be written (Not a directory); choose another place" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_checkpoint_is_kept_until_the_encoders_are(usc, pretrain, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint"
    words = (f"usc:{usc}", "--epochs", 2, "--checkpoint", checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr(
            "cosmo_runtime.models.files.os.fsync",
            full_when(lambda: checkpoint.exists() and any(tmp_path.glob(".out.*"))),
        )
        done = pretrain(*words, "--out", tmp_path / "out")
    assert done.code == 1
    assert "out cannot be written (No space left on device)" in done.err
    assert checkpoint.exists()
    assert pretrain(*words, "--seed", 1, "--out", tmp_path / "out").code == 1, "it is of another run"
    assert pretrain(*words, "--out", tmp_path / "out").code == 0
    assert not checkpoint.exists()


def full_when(full: Callable[[], bool]) -> Callable[[int], None]:
    """Stands for ``os.fsync`` on a disk that is full from some time on."""

    def fsync(descriptor: int) -> None:
        if full():
            raise OSError(28, "No space left on device")

    return fsync


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_more_processes_and_fewer_threads(usc, pretrain, tmp_path, monkeypatch):
    """torchrun gives each process one thread: the normalisation that it fits differs in its last bits."""
    words = [f"usc:{usc}", "--epochs", "3", "--batch", "10", "--checkpoint", str(tmp_path / "checkpoint")]
    torch.set_num_threads(2)
    with monkeypatch.context() as patch:
        patch.setattr("cosmo_runtime.models.files.os.fsync", full_when((tmp_path / "checkpoint").exists))
        assert pretrain(*words, "--out", tmp_path / "out").code == 1
    command = [*TORCHRUN, "-m", "cosmo_runtime.runtime.cli", "pretrain", *words, "--out", str(tmp_path / "out")]
    subprocess.run([*command, "--cache", str(tmp_path / "cache two")], check=True, timeout=100)
    assert load_pretrained(tmp_path / "out").provenance["processes"] == 2


@pytest.mark.slow
def test_processes_that_find_other_data_under_the_same_words_write_nothing(usc, tmp_path):
    """As on two machines: each process starts in a folder of its own, and the data sets there differ by one trial."""
    for rank in (0, 1):
        shutil.copytree(usc, tmp_path / f"rank{rank}" / "usc")
    (tmp_path / "rank1" / "usc" / "Subject2" / "a1t1.mat").unlink()
    script = tmp_path / "pretrain.sh"
    command = f"{sys.executable} -m cosmo_runtime.runtime.cli pretrain"
    script.write_text(f'cd {tmp_path}/rank$RANK && exec {command} usc:usc --out out "$@"\n')
    command = [*TORCHRUN, "--no_python", "sh", str(script), "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode != 0
    assert re.search(r"windows: 20 \(process 0 on \S+\), 15 \(process 1 on \S+\)", done.stderr)
    assert not list(tmp_path.glob("rank*/out"))


@pytest.mark.slow
def test_torchrun_starts_processes_that_learn_as_one(usc, pretrain, tmp_path):
    """All options are given, for torchrun reads an option that begins like one of its own as its own."""
    bundle = write_bundle(tmp_path / "bundle", usc_spec(), onnx=b"\x08\x07", weights=b"", provenance={}, metrics={})
    words = [f"usc:{usc}", "--epochs", "2", "--batch", "10", "--device", "cpu", "--seed", "1", "--precision", "fp32"]
    words += ["--weights-range", "0.1,0.9", "--tensorboard", str(tmp_path / "board"), "--bundle", str(bundle.path)]
    words += ["--checkpoint", str(tmp_path / "checkpoint")]
    assert pretrain(*words, "--out", tmp_path / "one").code == 0
    command = [*TORCHRUN, "-m", "cosmo_runtime.runtime.cli", "pretrain", *words]
    subprocess.run([*command, "--out", tmp_path / "two", "--cache", tmp_path / "cache two"], check=True, timeout=100)
    one, two = load_pretrained(tmp_path / "one"), load_pretrained(tmp_path / "two")
    assert two.provenance["processes"] == 2
    assert two.losses == pytest.approx(one.losses, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "out"], "required: DATA"),
        (["person"], "required: --out"),
        (["monday.csv", "--out", "out"], "expected FILE.mcap, a folder of segments, utd:PATH"),
        (["person:1,-", "--out", "out"], "expected FILE.mcap, a folder of segments, utd:PATH"),
        (["person", "utd:x", "--out", "out"], "give one data set, or one or more recordings"),
        (["person", "--out", "out", "--batch", "0"], "expected a whole number above 0"),
        (["person", "--out", "out", "--seed", "-1"], "expected a whole number, 0 or more"),
        (["person", "--out", "out", "--weights-range", "0.7,0.3"], "such as 0.3,0.7"),
        (["person", "--out", "out", "--precision", "int8"], "invalid choice"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(pretrain, words, message):
    done = pretrain(*words)
    assert done.code == 2
    assert message in done.err


def test_failures_name_what_is_wrong_with_exit_code_1(usc, pretrain, tmp_path):
    (tmp_path / "there").mkdir()
    for words, message in (
        ((f"usc:{usc}", "--out", tmp_path / "there"), f"{tmp_path}/there exists; choose another folder"),
        ((f"usc:{tmp_path}/no", "--out", tmp_path / "out"), f"{tmp_path}/no: no trial"),
        ((tmp_path / "no.mcap", "--out", tmp_path / "out"), f"{tmp_path}/no.mcap cannot be read"),
        ((f"usc:{usc}", "--out", tmp_path / "out", "--bundle", tmp_path / "no"), f"{tmp_path}/no/model.json not found"),
    ):
        done = pretrain(*words)
        assert done.code == 1
        assert message in done.err
        assert not (tmp_path / "out").exists()


def test_a_precision_that_torch_lacks_is_told(usc, pretrain, tmp_path, monkeypatch):
    def autocast(device: str, dtype: object, enabled: bool) -> None:
        raise RuntimeError("Currently, AutocastCPU only support Bfloat16")  # torch 1.11's words

    monkeypatch.setattr("torch.autocast", autocast)
    done = pretrain(f"usc:{usc}", "--out", tmp_path / "out", "--device", "cpu", "--precision", "fp16")
    assert done.code == 1
    assert "cannot compute in fp16 on a cpu; use --precision fp32" in done.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(usc, pretrain, tmp_path):
    done = pretrain(f"usc:{usc}", "--out", tmp_path / "out", "--device", "cuda")
    assert (done.code, "torch can use no GPU" in done.err) == (1, True)
