"""The simulated trials have the form of the real ones; mountings, turns and strengths are found and applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

pytest.importorskip("torch")

from cosmo_runtime.sensors.simulation.inertial import GRAVITY
from cosmo_runtime.training.datasets import utd, utd_imu
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows

NAMES = ["a1_s1_t1", "a22_s1_t1"]


@pytest.fixture
def windows() -> Windows:
    """A trial with the sensor on the wrist and one on the thigh, of noise."""
    spec = utd_imu.imu_spec()
    imu = np.random.default_rng(0).normal(size=(2, 120, 6))
    return Windows.stack(spec, [{"imu": samples} for samples in imu], [[True]] * 2, [0, 21], [1, 1], NAMES)


def imu_turned(windows: Windows, rotation: Rotation, row: int) -> np.ndarray:
    return rotation.apply(windows.features["imu"][row].reshape(-1, 3)).reshape(120, 6)


def test_simulated_trials_are_windows_as_the_real_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utd_imu, "in_parallel", lambda make, items, _: list(map(make, items)))
    monkeypatch.setattr(utd, "in_parallel", utd_imu.in_parallel)
    joints = np.random.default_rng(0).uniform(-1, 1, (20, 3, 1)) + np.zeros((20, 3, 60))
    for name in NAMES:
        for kind, key, content in (("Inertial", "d_iner", np.full((150, 6), 0.6)), ("Skeleton", "d_skel", joints)):
            (tmp_path / kind).mkdir(exist_ok=True)
            scipy.io.savemat(tmp_path / kind / f"{name}_{kind.lower()}.mat", {key: content})
    made, real = (
        read(tmp_path, utd_imu.imu_spec(), tmp_path / "cache") for read in (utd_imu.simulated_trials, utd.trials)
    )
    assert made.features["imu"].shape == real.features["imu"].shape == (2, 120, 6)
    for column in ("labels", "groups", "recordings", "presence"):
        np.testing.assert_array_equal(getattr(made, column), getattr(real, column))
    force, rate = made.features["imu"][..., :3], made.features["imu"][..., 3:]
    np.testing.assert_allclose(np.linalg.norm(force, axis=2), GRAVITY, atol=0.5)
    assert 0.001 < np.abs(rate).max() < 0.05  # the errors of a sensor


def test_the_mounting_is_found_from_signals_alone(windows: Windows) -> None:
    turns = {"wrist": Rotation.from_rotvec([0.3, -2.0, 0.5]), "thigh": Rotation.from_rotvec([0, 0, 1.5])}
    real = utd_imu.mounted(windows, turns)
    for row, place in enumerate(utd_imu.PLACES):
        np.testing.assert_allclose(real.features["imu"][row], imu_turned(windows, turns[place], row), atol=1e-5)
    found = utd_imu.mounting(windows, replace(real, labels=np.zeros(2, int)))
    for place, turn in turns.items():
        assert (found[place].inv() * turn).magnitude() < 1e-5


def test_a_place_without_trials_is_named(windows: Windows) -> None:
    wrist = windows.where(np.array([True, False]))
    with pytest.raises(DataSetError, match="no trial has the sensor on the thigh"):
        utd_imu.mounting(wrist, wrist)


def test_force_and_rate_turn_together_in_each_copy(windows: Windows) -> None:
    many = utd_imu.turned(windows, 3, seed=0)
    assert many.recordings.tolist() == NAMES * 3
    turns = []
    for row, imu in enumerate(many.features["imu"]):
        both = [w.reshape(-1, 3) for w in (imu, windows.features["imu"][row % 2])]
        turn, _ = Rotation.align_vectors(*both)
        np.testing.assert_allclose(turn.apply(both[1]), both[0], atol=1e-5)
        turns.append(turn.magnitude())
    assert np.ptp(turns) > 0.1


def test_signals_become_as_strong_as_real_ones_place_by_place(windows: Windows) -> None:
    factors = np.array([2.0, 0.5])[:, None, None]
    real = replace(windows, features={"imu": windows.features["imu"] * factors})
    found = utd_imu.calibrated(windows, windows, real).features["imu"]
    np.testing.assert_allclose(found, real.features["imu"], rtol=0.05, atol=0.02)
