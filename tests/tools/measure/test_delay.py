from __future__ import annotations

from typing import List

import pytest

pytest.importorskip("torch")

from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.tools.measure.delay import Answer, delays_s, figures_of

_S = 10**9
_TRUTHS = [Segment(0, 4 * _S, "sit"), Segment(4 * _S, 8 * _S, "walk"), Segment(8 * _S, 12 * _S, "wave")]


def _answers(hop_s: float, *words: str) -> List[Answer]:
    return [Answer(round((number + 1) * hop_s * _S), word) for number, word in enumerate(words)]


def test_an_activity_is_answered_from_the_first_right_answer_that_stays() -> None:
    """Walking is answered at 4.5 s, but not for a second; at 5.5 s it is, although one later answer is wrong."""
    words = ["sit"] * 8 + ["walk", "sit", "walk", "walk", "walk", "sit", "walk", "walk"] + ["walk"] * 7 + ["wave"]
    assert delays_s(_TRUTHS, _answers(0.5, *words), ["sit", "walk", "wave"]) == pytest.approx([1.5, 4.0])


def test_what_is_not_answered_is_counted_and_what_has_no_name_is_not() -> None:
    delays = delays_s(_TRUTHS, _answers(0.5, *["walk"] * 24), ["sit", "wave"])
    assert delays == [None]
    assert figures_of([*delays, 1.0, 2.0])["answered"] == 2


def test_a_shorter_hop_must_stay_right_for_as_long() -> None:
    words = ["sit"] * 40 + ["walk"] * 5 + ["sit"] * 5 + ["walk"] * 30
    assert delays_s(_TRUTHS[:2], _answers(0.1, *words), ["walk"]) == pytest.approx([1.1])
