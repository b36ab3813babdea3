from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.methods import Budget
from cosmo_runtime.training.windows import Windows


def windows(count: int) -> Windows:
    return Windows({"imu": np.zeros((count, 1))}, np.ones((count, 1), bool), *[np.zeros(count, int)] * 3)


def test_labels_that_spread_are_learned_from_in_as_many_minibatches():
    budget = Budget(pretrain_epochs=91, epochs=350, pretrain_batch=64, batch=16).with_labels(windows(27), windows(646))
    assert (budget.batch, budget.epochs) == (64, 64)  # 700 minibatches of 16 were, 704 of 64 are
    assert Budget(pretrain_epochs=1, epochs=1).with_labels(windows(16), windows(6400)).epochs == 1
