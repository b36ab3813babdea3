"""The check of the simulated IMU, on a data set of a few short trials."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

pytest.importorskip("torch")

from cosmo_runtime.tools import imu_check
from cosmo_runtime.training.datasets import utd, utd_imu
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two actions of three people, in which arms and legs sway. The real signals are noise around gravity."""
    random = np.random.default_rng(0)
    for kind in ("Inertial", "Skeleton"):
        (tmp_path / "utd-mhad" / kind).mkdir(parents=True)
    for action in (1, 22):
        for subject in (1, 2, 7):
            name = f"a{action}_s{subject}_t1"
            sway = 0.1 * np.sin(np.arange(50) / 5 + action) * random.uniform(-1, 1, (20, 3, 1))
            joints = random.uniform(-0.5, 0.5, (20, 3, 1)) + sway + np.array([0, 0, 3.0])[:, None]
            samples = random.normal([0, 1, 0, 0, 0, 0], 0.3, (110, 6))
            for kind, key, content in (("Inertial", "d_iner", samples), ("Skeleton", "d_skel", joints)):
                scipy.io.savemat(tmp_path / "utd-mhad" / kind / f"{name}_{kind.lower()}.mat", {key: content})
    return tmp_path


def test_the_command_prints_both_tables(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for module in (utd, utd_imu):
        monkeypatch.setattr(module, "in_parallel", lambda make, items, _: list(map(make, items)))
    for name in ("REAL", "SIMULATED"):
        monkeypatch.setattr(imu_check, name, replace(getattr(imu_check, name), steps=2))
    monkeypatch.setattr(sys, "argv", ["imu_check", "--data", str(folder), "--cache", str(folder), "--seeds", "2"])
    imu_check.main()
    alike, learned = (part.splitlines() for part in capsys.readouterr().out.strip().split("\n\n"))
    assert len(alike) == 2 + 8
    assert [line.split(" | ")[:3] for line in learned[2:]] == [
        ["| real", "real", "2"],
        ["| simulated", "real", "2"],
        ["| simulated, as strong as real", "real", "2"],
        ["| simulated and real", "real", "2"],
        ["| simulated", "simulated", "2"],
        ["| real, turned at random", "real", "2"],
        ["| simulated, turned at random", "real", "2"],
    ]
    assert all(line.count("(2)") == 2 for line in learned[2:])


def test_likeness_is_one_for_equal_signals_and_knows_strength() -> None:
    imu = np.random.default_rng(0).normal(size=(2, 120, 6))
    names = ["a1_s1_t1", "a22_s1_t1"]
    real = Windows.stack(
        utd_imu.imu_spec(), [{"imu": samples} for samples in imu], [[True]] * 2, [0, 21], [1, 1], names
    )
    weak = replace(real, features={"imu": real.features["imu"] / 2})
    rows = imu_check.likeness(weak, real).splitlines()[2:]
    assert rows[0] == "| wrist, force: correlation | 1.00 | 1.00 | 1.00 | 1.00 |"
    assert rows[-1] == "| thigh, rate: ratio of SD | 0.50 | 0.50 | 0.50 | 0.50 |"


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["imu_check", "--data", str(tmp_path), "--cache", str(tmp_path)])
    with pytest.raises(DataSetError, match="has no utd-mhad"):
        imu_check.main()
