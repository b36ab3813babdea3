"""What is told of answers and of gravity, for windows made by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.tools import usc_check
from cosmo_runtime.training.windows import Windows


def test_gravity_is_told_by_subject_and_activity() -> None:
    sleep = usc_check._CLASSES.index("sleep")
    still = np.ones((3, 4, 3), np.float32)
    still[0], still[1], still[2] = (1, 2, 3), (3, 2, 1), (50, 50, 50)
    windows = Windows(
        {"accelerometer": still},
        np.ones((3, 1), bool),
        np.array([sleep, sleep, 0]),
        np.array([4, 4, 4]),
        np.full(3, ""),
    )
    assert usc_check.gravity(windows, "sleep").splitlines()[-1] == "| 4 | 2.0 | 2.0 | 2.0 |"


def test_answers_are_told_with_what_they_are_taken_for() -> None:
    up, down = (usc_check._CLASSES.index(f"elevator {way}") for way in ("up", "down"))
    told = usc_check.answers(np.array([up, up, up, down]), np.array([up, down, down, down])).splitlines()
    assert told[2:] == [
        "| elevator up | 3 | 33% | elevator down 67% |",
        "| elevator down | 1 | 100% |  |",
        "| all | 4 | 50.0% |  |",
    ]
