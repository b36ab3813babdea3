from __future__ import annotations

import pytest

pytest.importorskip("torch")

from training.baselines.deepsense import deepsense


def test_it_learns(check):
    check(deepsense, epochs=20)
