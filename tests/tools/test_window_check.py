"""What is compared between windows of simulated and real people."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.tools import window_check
from cosmo_runtime.training.datasets.everyday import CLASSES, everyday_spec
from cosmo_runtime.training.windows import Windows


@pytest.fixture
def windows() -> Windows:
    """One window: a square person of 10 x 10 blocks at 2 m that moves by a block an image; one radar point."""
    depth = np.zeros((10, 27, 48), np.float32)
    for step in range(10):
        depth[step, 5:15, 10 + step : 20 + step] = 2.0
    imu = np.zeros((100, 6), np.float32)
    imu[::2, 0], imu[1::2, 0] = 8, 12
    radar = np.zeros((20, 24, 5), np.float32)
    radar[:, 0] = [0, 2, 0, -0.5, 20]
    features = [{"imu": imu, "depth": depth, "radar": radar}]
    return Windows.stack(everyday_spec(), features, [[True] * 3], [CLASSES.index("wave")], [1], ["a"])


def test_measures_are_those_of_the_person(windows: Windows) -> None:
    found = {name: measure(windows) for name, measure in window_check.MEASURES.items()}
    values = [float(value[0]) for value in found.values()]
    assert values == pytest.approx([100 * 100 / (27 * 48), 20.0, 2.0, 2.0, 1.0, 0.5], rel=1e-3)


def test_the_table_has_a_row_for_each_activity_that_both_have_names_for(windows: Windows) -> None:
    table = window_check._table(window_check.distance, {"real": windows}).splitlines()
    assert table[0] == "| | real |"
    assert "| wave | 2 (2 to 2) |" in table
    assert "| walk | – |" in table


def test_whoever_does_not_wear_the_sensor_does_not_count(windows: Windows) -> None:
    windows.presence[:] = False
    assert len(window_check.shaking(windows)) == 0
