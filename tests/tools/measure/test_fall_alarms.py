from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.tools.measure.fall_alarms import Answered, _compared, _joined, alarms

HALF_NS = 5 * 10**8


def answered(activities: str, falls: list[tuple[int, int]]) -> Answered:
    """One answer every half second: f is a fall, w is walking. Falls are in half seconds."""
    names = {"f": "fall", "w": "walk"}
    windows = [((n + 4) * HALF_NS, (n + 2) * HALF_NS, names[letter], 0.9) for n, letter in enumerate(activities)]
    return Answered(windows, [(start * HALF_NS, end * HALF_NS) for start, end in falls])


def test_windows_of_a_fall_that_follow_one_another_are_one_fall() -> None:
    windows = [(n * HALF_NS, (n + 2) * HALF_NS) for n in (4, 5, 6, 9)]
    assert _joined(windows, HALF_NS) == [(4 * HALF_NS, 8 * HALF_NS), (9 * HALF_NS, 11 * HALF_NS)]


@pytest.mark.parametrize(("on_s", "held_s", "raised"), [(1.0, 1.0, [11 * HALF_NS]), (2.0, 2.0, [])])
def test_three_windows_of_a_fall_raise_an_alarm_that_needs_one_second(
    on_s: float, held_s: float, raised: list[int]
) -> None:
    person = answered("wwwwwwfffwwwwwwwwwwww", [(6, 12)])
    assert alarms(person, HALF_NS, on_s, held_s) == raised


def test_an_alarm_is_right_up_to_four_seconds_after_the_fall() -> None:
    person = answered("", [(10, 16), (40, 44)])
    assert _compared(person, [9 * HALF_NS, 10 * HALF_NS, 24 * HALF_NS, 25 * HALF_NS]) == (2, 1, 2)
