from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.benchmark.protocol import Fold, Own, Protocol
from cosmo_runtime.training.benchmark.splits import radhar_parts
from cosmo_runtime.training.datasets.store import DataSetError


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


def test_windows_of_the_test_people_are_labelled_one_by_one(protocol, tmp_path):
    """People 5 and 6 have four windows of each activity each; the first two are to be learned from."""
    toy = protocol.windows(tmp_path, tmp_path)
    rank = np.array([np.count_nonzero((toy.groups[:i] == toy.groups[i]) & (toy.labels[:i] == toy.labels[i]))
                     for i in range(len(toy))])  # fmt: skip
    personal = replace(protocol, rates=(0, 1, 2, 4), own=Own(10, lambda windows: rank >= 2, ("some", "others")))
    tasks = [personal.task(tmp_path, tmp_path, rate, 0) for rate in personal.rates]
    for rate, task in zip(personal.rates, tasks):
        own = task.training.labelled.where(task.training.labelled.groups > 4)
        np.testing.assert_array_equal(np.bincount(own.labels, minlength=3), [rate] * 3)
        if rate > 1:  # as many of each person
            np.testing.assert_array_equal(np.bincount(own.groups), [0] * 5 + [3 * rate // 2] * 2)
        others = task.training.labelled.where(task.training.labelled.groups < 5)
        assert sorted(others.recordings) == ["0-0", "1-24", "2-48"]  # the published ones
        assert set(task.test.groups) == {5, 6} and len(task.test) == 12
        assert not set(task.training.recordings) & set(task.test.recordings)
        np.testing.assert_array_equal(task.training.recordings, tasks[0].training.recordings)  # stage 1 is shared
    for fewer, more in zip(tasks, tasks[1:]):
        assert set(fewer.training.labelled.recordings) < set(more.training.labelled.recordings)


def test_a_data_set_without_the_test_part_is_named(windows, protocol, tmp_path):
    train = replace(windows, recordings=np.array(["Train/walk/a"] * len(windows)))
    no_test = replace(protocol, read=lambda *_: train, people=radhar_parts, train=(1,), test=(2,), published=None)
    with pytest.raises(DataSetError, match=r"toy holds nothing to test on \(Toy\)\. Fetch all of the data set\."):
        no_test.task(tmp_path, tmp_path, 50, 0)


def test_a_fold_is_another_split_for_each_seed(protocol, tmp_path):
    fold = Fold(lambda windows, seed: windows.groups == seed + 1, "One person a seed.")
    folded = replace(protocol, fold=fold, train=(1, 2, 3, 4, 5, 6), test=(), published=None)
    for seed in (0, 3):
        task = folded.task(tmp_path, tmp_path, 50, seed)
        assert set(task.test.groups) == {seed + 1}
        assert set(task.training.groups) == {1, 2, 3, 4, 5, 6} - {seed + 1}
    task = folded.task(tmp_path, tmp_path, 50, 0, held_out=(4,))  # whom the fold tests on stays unseen
    assert set(task.test.groups) == {4} and set(task.training.groups) == {2, 3, 5, 6}
