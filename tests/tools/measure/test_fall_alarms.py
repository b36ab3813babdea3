from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.features import random_inputs
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.tools.episode_check import Answer
from cosmo_runtime.tools.measure.fall_alarms import Answered, _compared, alarms, answers
from cosmo_runtime.training.benchmark.everyday import FALL_LABEL
from cosmo_runtime.training.windows import Windows

HALF_NS = 5 * 10**8


def answered(activities: str, falls: list[tuple[int, int]]) -> Answered:
    """One answer every half second: f is a fall, w is walking. Falls are in half seconds."""
    names = {"f": "fall", "w": "walk"}
    windows = [Answer((n + 4) * HALF_NS, (n + 2) * HALF_NS, names[letter], 0.9) for n, letter in enumerate(activities)]
    return Answered(windows, [(start * HALF_NS, end * HALF_NS) for start, end in falls])


def test_windows_of_a_fall_that_follow_one_another_are_one_fall() -> None:
    bundle = load_bundle(SHIPPED_BUNDLE)
    noise = random_inputs(bundle.spec, np.random.default_rng(0), 12)
    labels = np.array([0, 0, FALL_LABEL, FALL_LABEL, FALL_LABEL, 0, FALL_LABEL, 0, 0, FALL_LABEL, 0, 0])
    inputs = [{name: noise[name][i] for name in bundle.spec.sensors} for i in range(12)]
    people = Windows.stack(bundle.spec, inputs, [[True, True, False]] * 12, labels, [0] * 9 + [1] * 3, ["x"] * 12)
    one, other = answers(bundle, people, (True, True, True))
    assert one.falls == [(4 * HALF_NS, 8 * HALF_NS), (8 * HALF_NS, 10 * HALF_NS)]
    assert other.falls == [(2 * HALF_NS, 4 * HALF_NS)]
    assert [(end_ns, middle_ns) for end_ns, middle_ns, *_ in other.windows] == [
        ((n + 4) * HALF_NS, (n + 2) * HALF_NS) for n in range(3)
    ]
    assert next(answers(bundle, people, (False, False, True))).windows == [], "without a sensor there is no answer"


@pytest.mark.parametrize(("on_s", "held_s", "raised"), [(1.0, 1.0, [11 * HALF_NS]), (2.0, 2.0, [])])
def test_three_windows_of_a_fall_raise_an_alarm_that_needs_one_second(
    on_s: float, held_s: float, raised: list[int]
) -> None:
    person = answered("wwwwwwfffwwwwwwwwwwww", [(6, 12)])
    assert alarms(person, HALF_NS, on_s, held_s) == raised


def test_an_alarm_is_right_up_to_four_seconds_after_the_fall() -> None:
    person = answered("", [(10, 16), (40, 44)])
    assert _compared(person, [9 * HALF_NS, 10 * HALF_NS, 24 * HALF_NS, 25 * HALF_NS]) == (2, 1, 2)
