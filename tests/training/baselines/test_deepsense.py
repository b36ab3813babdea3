from __future__ import annotations

import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.baselines.deepsense import deepsense
from cosmo_runtime.training.methods import OneStage


def test_it_learns(check):
    check(OneStage(deepsense), epochs=20)
