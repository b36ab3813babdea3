from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.training.baselines.single_modal import single_modal
from cosmo_runtime.training.methods import Budget, Lesson, OneStage


@pytest.mark.parametrize(("sensor", "expected"), [("imu", 0.9), ("depth", 0.6), ("radar", 0.6)])
def test_it_learns(check, sensor, expected):
    check(OneStage(single_modal(sensor)), epochs=30, expected=expected)


def test_it_looks_at_its_own_modality_only(spec, windows, other_people):
    predict = single_modal("depth")(Lesson(spec, windows, Budget(0, 1), 0, Progress(disable=True)))
    presence = np.zeros((len(other_people), 3), bool)
    presence[:, 1] = True
    np.testing.assert_array_equal(predict(replace(other_people, presence=presence)), predict(other_people))
