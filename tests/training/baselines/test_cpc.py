from __future__ import annotations

import pytest

pytest.importorskip("torch")

from training.baselines.cpc import cpc


def test_it_learns(check):
    check(cpc, pretrain_epochs=10, epochs=80, expected=0.6)
