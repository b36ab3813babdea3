from __future__ import annotations

import time

import pytest

from cosmo_runtime.runtime.recognition import backlog
from cosmo_runtime.runtime.recognition.backlog import OUTDATED_S, Backlog

_S = 10**9
_LATENESS_S = 2


def _ages(*ages_s: float) -> list[bool]:
    """Whether each of some windows is dropped, by its age beyond the lateness budget, one after the other."""
    late = Backlog(_LATENESS_S * _S)
    return [late.drops(time.monotonic_ns() - round((age_s + _LATENESS_S) * _S)) for age_s in ages_s]


def test_what_is_within_the_bound_is_answered() -> None:
    assert _ages(-2, 0, OUTDATED_S - 0.5) == [False] * 3


def test_once_behind_all_is_dropped_up_to_the_present() -> None:
    assert _ages(OUTDATED_S + 0.1, 4.5, 2, 1.1, 0.5, 4) == [True, True, True, True, False, False]


def test_a_run_that_never_gets_to_the_present_answers_one_window_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(backlog.time, "monotonic", lambda: now[0])
    late = Backlog(0)
    dropped = []
    for _ in range(30):
        now[0] += 0.5
        dropped.append(late.drops(round((now[0] - 20) * _S)))
    assert [number for number, drop in enumerate(dropped) if not drop] == [10, 20]
    assert late.behind


def test_it_is_said_with_a_count_and_not_too_often(caplog: pytest.LogCaptureFixture) -> None:
    _ages(9, 8, 7, 0, 9, 0, 9, 0)
    (record,) = caplog.records
    assert "3 windows" in record.message
