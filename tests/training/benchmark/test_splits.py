from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.benchmark.splits import (
    a_fifth_of_the_trials,
    balanced_draw,
    draw_in_turns,
    one_person,
    radhar_parts,
    radhar_quarters,
    repeats,
)


def test_radhar_can_be_split_by_its_folders(windows):
    names = np.array(["Train/walk/a", "Test/walk/b", "data/walk/c"])
    np.testing.assert_array_equal(radhar_parts(replace(windows.where(np.arange(3)), recordings=names)), [1, 2, 0])


def test_a_draw_is_balanced_and_within_what_there_is():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    np.testing.assert_array_equal(np.bincount(labels[balanced_draw(labels, 30, 0)]), [14, 14, 3])
    np.testing.assert_array_equal(np.bincount(labels[balanced_draw(labels, 0.1, 0)]), [1, 1, 1])
    assert balanced_draw(labels, 100, 0).all()


def test_people_take_turns_and_the_draw_depends_on_the_seed():
    labels, people = np.repeat([0, 1], 10), np.tile([7, 7, 7, 7, 8], 4)
    chosen = draw_in_turns(labels, people, 4, 0)
    assert [sorted(people[chosen & (labels == label)]) for label in (0, 1)] == [[7, 7, 8, 8]] * 2
    assert (chosen != draw_in_turns(labels, people, 4, 1)).any()
    assert draw_in_turns(labels, people, 99, 0).all() and not draw_in_turns(labels, people, 0, 0).any()


def test_the_repeat_of_a_trial_ends_its_name(windows):
    names = np.array(["a1_s7_t2", "s3_a2_t4", "a23_s6_t1"])
    np.testing.assert_array_equal(repeats(replace(windows.where(np.arange(3)), recordings=names)), [2, 4, 1])


def test_radhar_is_split_by_recordings_with_every_activity_in_each_quarter(windows):
    recordings = np.array([f"r{i // 3:02d}" for i in range(len(windows))])  # 24 windows, 8 recordings an activity
    quarters = radhar_quarters(replace(windows, recordings=recordings))
    for recording in np.unique(recordings):
        assert len(set(quarters[recordings == recording])) == 1
    for quarter in (1, 2, 3, 4):
        np.testing.assert_array_equal(np.bincount(windows.labels[quarters == quarter]), [6, 6, 6])


def test_turns_take_every_person_and_every_trial_once(windows):
    toy = replace(
        windows,
        groups=np.arange(len(windows)) % 3,
        recordings=np.array([f"{label}-{i // 2}" for i, label in enumerate(windows.labels)]),  # two windows each
    )
    people = [one_person(toy, turn) for turn in range(3)]
    fifths = [a_fifth_of_the_trials(toy, turn) for turn in range(5)]
    assert (np.sum(people, axis=0) == 1).all() and (np.sum(fifths, axis=0) == 1).all()
    assert (one_person(toy, 3) == people[0]).all() and (a_fifth_of_the_trials(toy, 5) == fifths[0]).all()
    for fifth in fifths:
        assert not set(toy.recordings[fifth]) & set(toy.recordings[~fifth])
        assert set(np.bincount(toy.labels[fifth])) <= {4, 6}  # 12 trials an activity, two windows each
