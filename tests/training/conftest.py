"""Small windows in which each activity moves in its own way, seen by all three sensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec

if TYPE_CHECKING:
    from cosmo_runtime.training.windows import Windows


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Networks this small are faster on one core, and far faster where the other is busy.

    In each module, for numba sets another number.
    """
    pytest.importorskip("torch").set_num_threads(1)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return sway_spec()


def sway_spec() -> ModelSpec:
    return ModelSpec(
        modalities=(
            ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),
            ModalitySpec(sensor="depth", rate_hz=5, shape=(8, 10)),
            ModalitySpec(sensor="radar", rate_hz=5, shape=(4, 5)),
        ),
        window_s=2,
        hop_s=0.5,
        classes=("still", "slow", "fast"),
        quality=(0.5, 0.3, 0.2),
    )


@pytest.fixture(scope="session")
def windows(spec) -> Windows:
    return swaying(spec, per_class=24, seed=0)


@pytest.fixture(scope="session")
def other_people(spec) -> Windows:
    return swaying(spec, per_class=12, seed=1)


def swaying(spec: ModelSpec, per_class: int, seed: int) -> Windows:
    """Someone sways at 0, 0.5 or 1.5 Hz: along the IMU's x, across the camera's view, before the radar."""
    from cosmo_runtime.training.windows import Windows

    random = np.random.default_rng(seed)
    features, labels = [], []
    for label, hertz in enumerate((0.0, 0.5, 1.5)):
        for _ in range(per_class):
            phase, distance = random.uniform(0, 2 * np.pi), random.uniform(1.5, 2.5)

            def sway(rate_hz, hertz=hertz, phase=phase):
                return np.sin(2 * np.pi * hertz * np.arange(round(2 * rate_hz)) / rate_hz + phase) * (hertz > 0)

            imu = random.normal(0, 0.3, (40, 6))
            imu[:, 0] += 4 * sway(20)
            imu[:, 2] += 9.8
            depth = np.full((10, 8, 10), 4.0)
            for frame, x in zip(depth, np.round(4 + 3 * sway(5)).astype(int)):
                frame[2:, x : x + 2] = distance
            radar = np.zeros((10, 4, 5))
            radar[:, :2] = random.normal([0, distance, 1, 0, 15], [0.1, 0.1, 0.3, 0.05, 2], (10, 2, 5))
            radar[:, :2, 3] += 2 * hertz * sway(5)[:, None]
            features.append({"imu": imu, "depth": depth, "radar": radar})
            labels.append(label)
    return Windows.stack(
        spec, features, np.ones((len(labels), 3)), labels, [seed] * len(labels), [f"person {seed}"] * len(labels)
    )
