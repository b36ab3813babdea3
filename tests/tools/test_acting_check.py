"""What is compared between people who act and simulated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.tools.acting_check import _table, figures, real, simulated

RATE_HZ = 30.0


def upright(frames: int = 90) -> np.ndarray:
    """Somebody who stands, one arm hanging, the other bent by a right angle ahead. The trunk has 0.5 m."""
    side = np.array([[0, 0, 1.4], [0, 0, 1.1], [0, 0, 0.85], [0, 0, 0.9], [0, 0, 0.5], [0, 0, 0.1]])
    left, right = side.copy(), side + np.array([0.4, 0.0, 0.0])
    right[2] = right[1] + [0, -0.25, 0]
    return np.tile(np.stack([left, right]), (frames, 1, 1, 1))


def test_lengths_count_in_trunks_and_angles_from_straight() -> None:
    found = figures(upright(), RATE_HZ)
    assert found["lasts, s"] == 3.0
    assert found["hips at their lowest, % of upright"] == 100.0
    assert found["knee at its most bent, °"] == pytest.approx(0, abs=1e-4)
    assert np.isnan(found["strides a second"]), "nobody steps"
    assert found["higher hand above its shoulder, trunks"] == pytest.approx(-0.6)
    assert found["its elbow at its most bent, °"] == pytest.approx(90)
    assert found["hand farthest ahead, trunks"] == pytest.approx(0.5)
    assert found["hands nearest, trunks"] == pytest.approx(2 * np.linalg.norm([0.4, 0.25, 0.25]))


def test_knees_that_bend_in_turn_are_strides() -> None:
    joints = upright()
    beat = np.sin(2 * np.pi * 1.4 * np.arange(90) / RATE_HZ)
    joints[:, 0, 4, 1] -= 0.15 * beat.clip(0)
    joints[:, 1, 4, 1] -= 0.15 * (-beat).clip(0)
    found = figures(joints, RATE_HZ)
    assert found["strides a second"] == pytest.approx(1.4, abs=0.05)
    assert found["knee at its most bent, °"] == pytest.approx(2 * np.degrees(np.arctan(0.15 / 0.4)), abs=1)


def test_simulated_people_raise_a_hand_to_wave_and_sink_to_sit() -> None:
    found = simulated([100, 101, 102, 103], 60.0)
    wave, sit, walk = (
        {name: np.median([trial[name] for trial in found[activity]]) for name in found[activity][0]}
        for activity in ("wave", "sit down", "walk")
    )
    assert wave["higher hand above its shoulder, trunks"] > walk["higher hand above its shoulder, trunks"] + 0.3
    assert sit["hips at their lowest, % of upright"] < 70 < walk["hips at their lowest, % of upright"]
    table = _table({"wave": found["wave"]}, found).splitlines()
    assert table[0] == "| real / acting, medians | wave |"
    one = np.median([trial["lasts, s"] for trial in found["wave"]])
    assert table[2] == f"| lasts, s | {one:.3g} / {one:.3g} |"


def test_real_people_are_read_from_their_skeletons(data_dir: Path) -> None:
    found = real(data_dir / "utd-mhad", [1])
    assert {name: len(trials) for name, trials in found.items()} == dict.fromkeys(found, 4)
    assert len(found) == 8
    assert np.median([trial["hips at their lowest, % of upright"] for trial in found["squat"]]) < 70
