from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("dtaidistance")

from rich.progress import Progress

from cosmo_runtime.training.baselines.dtw import dtw
from cosmo_runtime.training.datasets.utd import published_split, trials, utd_a_spec
from cosmo_runtime.training.methods import Budget, Lesson


def fit(spec, windows):
    return dtw(Lesson(spec, windows, Budget(pretrain_epochs=0, epochs=0), 0, Progress(disable=True)))


def accuracy(predict, windows) -> float:
    return float((predict(windows).argmax(1) == windows.labels).mean())


def test_it_recognises_other_people(spec, windows, other_people):
    few = windows.labelled_only_where(np.arange(len(windows)) % 3 == 0)
    assert accuracy(fit(spec, few), other_people) > 0.9


def test_any_modalities_will_do_and_none_is_an_even_answer(spec, windows, other_people):
    presence = np.ones((len(windows), 3), bool)
    presence[::2, 0] = presence[1::2, 2] = False
    predict = fit(spec, replace(windows, presence=presence))
    none = np.zeros((len(other_people), 3), bool)
    np.testing.assert_allclose(predict(replace(other_people, presence=none)), 1 / 3)
    for j, expected in enumerate(
        (0.8, 0.8, 0.45)
    ):  # of a radar's points, one number in five tells the activities apart
        one = none.copy()
        one[:, j] = True
        assert accuracy(predict, replace(other_people, presence=one)) > expected


@pytest.mark.parametrize(("rate", "expected"), [(5, 77.7), (20, 87.9), (40, 93.0)])
def test_utd_mhad_is_recognised_as_well_as_was_measured_elsewhere(data_dir, tmp_path_factory, rate, expected):
    """IMU and skeleton of two people never seen, from 27, 108 and 216 labelled trials; a trial is 0.5 %."""
    folder, spec = data_dir / "utd-mhad", utd_a_spec()
    trials_of_all = trials(folder, spec, tmp_path_factory.getbasetemp() / "utd")  # decoded for the first rate only
    split = published_split(folder)
    training = trials_of_all.where(np.isin(trials_of_all.groups, split.train_subjects))
    test = trials_of_all.where(np.isin(trials_of_all.groups, split.test_subjects))
    named = np.isin(training.recordings, split.labelled[rate])
    assert 100 * accuracy(fit(spec, training.labelled_only_where(named)), test) == pytest.approx(expected, abs=2.5)
