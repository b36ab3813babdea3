from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from training.datasets.store import DataSetError
from training.datasets.utd import published_split
from training.protocols import PROTOCOLS, Protocol, balanced_draw, radhar_quarters


@pytest.fixture
def protocol(spec, windows, tmp_path) -> Protocol:
    """Six people with a dozen recordings of every activity among them; 7 and 8 of these are published as labelled."""
    people = np.arange(len(windows)) % 6 + 1
    recordings = np.array([f"{label}-{i}" for i, label in enumerate(windows.labels)])
    toy = replace(windows, groups=people, recordings=recordings)
    (tmp_path / "toy").mkdir()
    return Protocol(
        "toy",
        "Toy",
        spec,
        folder="to*",
        read=lambda folder, spec, cache: toy,
        train=(1, 2, 3, 4),
        test=(5, 6),
        rates=(10, 50),
        pretrain_steps=20,
        steps=30,
        published=lambda folder: {10: ["0-0", "1-24", "2-48"], 50: recordings[::2]},
    )


def test_the_groups_of_every_protocol_train_or_test():
    for protocol in PROTOCOLS.values():
        assert not set(protocol.train) & set(protocol.test)
    assert PROTOCOLS["utd-a"].test == PROTOCOLS["utd-b"].test == (7, 8)
    assert set(PROTOCOLS["usc"].train) | set(PROTOCOLS["usc"].test) == set(range(1, 15))


def test_nobody_and_no_recording_is_both_trained_and_tested_on(protocol, tmp_path):
    for held_out, test_people in (((), {5, 6}), ((2, 3), {2, 3})):
        task = protocol.task(tmp_path, tmp_path, 50, 0, held_out)
        assert set(task.test.groups) == test_people
        assert set(task.training.groups) == {1, 2, 3, 4} - test_people  # the test people are not trained on either
        assert not set(task.training.recordings) & set(task.test.recordings)
        assert (task.test.labels >= 0).all()


def test_labels_are_the_published_ones(protocol, tmp_path):
    labelled = [protocol.task(tmp_path, tmp_path, 10, seed).training.labelled for seed in (0, 1)]
    for windows in labelled:
        assert sorted(windows.recordings) == ["0-0", "1-24", "2-48"]
        assert sorted(windows.labels) == [0, 1, 2]


def test_a_list_that_labels_nothing_is_refused(protocol, tmp_path):
    elsewhere = replace(protocol, published=lambda folder: {50: ["another-trial"]})
    for rate in (10, 50):
        with pytest.raises(DataSetError, match=f"toy: no training trial is listed as labelled at {rate} %"):
            elsewhere.task(tmp_path, tmp_path, rate, 0)


def test_labels_are_drawn_where_none_are_published_or_people_are_held_out(protocol, tmp_path):
    unpublished = replace(protocol, published=None)
    for task_of in (lambda seed: unpublished.task(tmp_path, tmp_path, 50, seed).training.labelled,
                    lambda seed: protocol.task(tmp_path, tmp_path, 50, seed, (2,)).training.labelled):  # fmt: skip
        first, again, other = task_of(0), task_of(0), task_of(1)
        assert len(set(np.bincount(first.labels))) == 1
        np.testing.assert_array_equal(first.recordings, again.recordings)
        assert set(first.recordings) != set(other.recordings)


def test_a_draw_is_balanced_and_within_what_there_is():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    np.testing.assert_array_equal(np.bincount(labels[balanced_draw(labels, 30, 0)]), [14, 14, 3])
    np.testing.assert_array_equal(np.bincount(labels[balanced_draw(labels, 0.1, 0)]), [1, 1, 1])


def test_unlabelled_windows_can_be_fewer_but_labels_stay(protocol, tmp_path):
    whole, half, none = (
        protocol.task(tmp_path, tmp_path, 10, 0, unlabelled=share).training for share in (1.0, 0.5, 0.0)
    )
    assert len(whole) == 48 and len(none) == 3 < len(half) < 45
    assert len(half.labelled) == len(none.labelled) == 3


def test_budgets_make_about_as_many_steps_whatever_the_labels(protocol, tmp_path):
    few, many = (protocol.task(tmp_path, tmp_path, rate, 0, pretrain_batch=16).budget for rate in (10, 50))
    assert few.pretrain_epochs == many.pretrain_epochs == 20  # one batch of 64 an epoch
    assert (few.epochs, many.epochs) == (30, 15)  # 3 labels are one batch, 24 are two
    assert few.pretrain_batch == 16


def test_a_missing_data_set_is_named(protocol, tmp_path):
    with pytest.raises(DataSetError, match=f"{tmp_path / 'nowhere'} has no to"):
        protocol.task(tmp_path / "nowhere", tmp_path, 10, 0)


def test_radhar_is_split_by_recordings_with_every_activity_in_each_quarter(windows):
    recordings = np.array([f"r{i // 3:02d}" for i in range(len(windows))])  # 24 windows, 8 recordings an activity
    quarters = radhar_quarters(replace(windows, recordings=recordings))
    for recording in np.unique(recordings):
        assert len(set(quarters[recordings == recording])) == 1
    for quarter in (1, 2, 3, 4):
        np.testing.assert_array_equal(np.bincount(windows.labels[quarters == quarter]), [6, 6, 6])


def test_the_real_labels_of_utd_are_of_its_training_subjects(data_dir):
    for rate in PROTOCOLS["utd-a"].rates:
        names = PROTOCOLS["utd-a"].published(data_dir / "utd-mhad")[rate]
        assert names == published_split(data_dir / "utd-mhad").labelled[rate]
        assert {int(name.split("_")[1][1:]) for name in names} <= set(PROTOCOLS["utd-a"].train)
        assert len(names) == len(set(names)) == 27 * {5: 1, 10: 2, 20: 4, 40: 8}[rate]
