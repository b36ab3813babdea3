from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.tools.episode_check import PROMPT_NS, of_falls
from cosmo_runtime.tools.measure.fall_alarms import PROMPT_OR_LATE_NS

_S = 10**9


def test_a_fall_has_its_first_alarm_and_those_of_no_fall_are_false() -> None:
    falls = [(10 * _S, 12 * _S), (40 * _S, 42 * _S)]
    assert of_falls(falls, [9 * _S, 11 * _S, 13 * _S], 2 * _S) == ([1.0], 1)


def test_a_late_alarm_is_false_where_only_prompt_ones_count() -> None:
    falls, alarms = [(10 * _S, 12 * _S)], [15 * _S]
    assert of_falls(falls, alarms, PROMPT_NS) == ([], 1)
    assert of_falls(falls, alarms, PROMPT_OR_LATE_NS) == ([5.0], 0)
