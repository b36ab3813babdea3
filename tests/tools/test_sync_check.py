from __future__ import annotations

import argparse
import re

import numpy as np

from cosmo_runtime.tools.sync_accuracy import _shown_late
from cosmo_runtime.tools.sync_check import _cases, _table
from tests.runtime.sync.made_up import bursts, seen, steps

OPTIONS = argparse.Namespace(seconds=60.0, draws=2, sensors=["imu", "depth", "radar"])
OWN_S = {"imu": 0.0, "depth": 0.1, "radar": 0.0}


def test_delays_are_put_in_beside_those_that_are_there_and_found() -> None:
    cases = list(_cases("made up", seen(bursts(90), **OWN_S), OWN_S, OPTIONS, np.random.default_rng(0)))
    assert len(cases) == 2 * 2 * 2  # pieces, draws, sensors
    assert all(case.told and abs(case.error_s) < 0.02 for case in cases)


def test_the_table_counts_what_is_told_and_what_of_it_is_wrong() -> None:
    rng = np.random.default_rng(0)
    right = list(_cases("made up", seen(bursts(60), **OWN_S), OWN_S, OPTIONS, rng))
    refused = list(_cases("steps", seen(steps(60), **OWN_S), OWN_S, OPTIONS, rng))
    wrong = right[0]._replace(source="wrong", error_s=0.3)
    table = _table([*right, *refused, wrong])
    assert re.search(r"\*\*made up\*\* \| all \| 4 \| 100% \| \d+ ms \| \d+ ms \| 0 \(0\.0%\)", table)
    assert "| **steps** | all | 4 | 0% | – | – | 0 (0.0%) |" in table
    assert "| **wrong** | all | 1 | 100% | 300 ms | 300 ms | 1 (100.0%) |" in table


def test_windows_of_a_late_sensor_show_what_it_saw_before() -> None:
    """Of a stream whose values are the times at which they were measured, in tenths of a second."""
    times = 5 * np.arange(8)[:, None] + 2 * np.arange(-9, 1)
    assert (_shown_late(times, "depth", 0) == times).all()
    late = _shown_late(times, "depth", 3)
    assert (late[4:-1] == times[4:-1] - 3).all()
    assert (np.abs(late[-1] - times[-1] + 3) <= 1).all()
