from __future__ import annotations

import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.benchmark.comparison import ROWS, rows_of, table_jobs
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.datasets.utd import published_split


def test_the_groups_of_every_protocol_train_or_test():
    for protocol in PROTOCOLS.values():
        assert not set(protocol.train) & set(protocol.test)
    assert PROTOCOLS["utd-a"].test == PROTOCOLS["utd-b"].test == (7, 8)
    assert PROTOCOLS["utd-odd-even"].train == (1, 3, 5, 7) and PROTOCOLS["utd-odd-even"].test == (2, 4, 6, 8)
    assert set(PROTOCOLS["usc"].train) | set(PROTOCOLS["usc"].test) == set(range(1, 15))


def test_a_protocol_that_names_its_rows_has_no_others():
    assert rows_of(PROTOCOLS["utd-own"]) == [row for row in ROWS if row in PROTOCOLS["utd-own"].rows]
    assert {job.method for job in table_jobs(1) if job.protocol == "utd-own"} == set(PROTOCOLS["utd-own"].rows)
    assert set(rows_of(PROTOCOLS["radhar-official"])) == set(rows_of(PROTOCOLS["radhar"]))


def test_the_real_labels_of_utd_are_of_its_training_subjects(data_dir):
    for rate in PROTOCOLS["utd-a"].rates:
        names = PROTOCOLS["utd-a"].published(data_dir / "utd-mhad")[rate]
        assert names == published_split(data_dir / "utd-mhad").labelled[rate]
        assert {int(name.split("_")[1][1:]) for name in names} <= set(PROTOCOLS["utd-a"].train)
        assert len(names) == len(set(names)) == 27 * {5: 1, 10: 2, 20: 4, 40: 8}[rate]
