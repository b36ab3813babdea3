from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from rich.progress import Progress

from models.spec import ModalitySpec, ModelSpec
from training.baselines.dtw import dtw
from training.methods import Budget
from training.windows import Windows


def fit(spec, windows):
    return dtw(spec, windows, Budget(pretrain_epochs=0, epochs=0), 0, Progress(disable=True))


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


@pytest.fixture(scope="module")
def utd(data_dir) -> Windows:
    """UTD-MHAD's trials whole, 40 steps of the skeleton and 120 of the IMU, read without the project's own loader."""
    loadmat = pytest.importorskip("scipy.io").loadmat
    folder = data_dir / "utd-mhad"

    def resampled(x: np.ndarray, steps: int) -> np.ndarray:
        place = np.linspace(0, len(x) - 1, steps)
        flat = [np.interp(place, np.arange(len(x)), column) for column in x.reshape(len(x), -1).T]
        return np.stack(flat, axis=1).reshape(steps, *x.shape[1:])

    names = sorted(path.name[: -len("_skeleton.mat")] for path in (folder / "Skeleton").glob("*.mat"))
    features = [
        {
            "imu": resampled(loadmat(folder / "Inertial" / f"{name}_inertial.mat")["d_iner"], 120),
            "skeleton": resampled(
                loadmat(folder / "Skeleton" / f"{name}_skeleton.mat")["d_skel"].transpose(2, 0, 1), 40
            ),
        }
        for name in names
    ]
    action, subject = zip(*(map(int, re.findall(r"\d+", name)[:2]) for name in names))
    return Windows.stack(UTD, features, np.ones((len(names), 2)), np.array(action) - 1, subject, names)


UTD = ModelSpec(
    modalities=(
        ModalitySpec(sensor="imu", rate_hz=30, shape=(6,)),
        ModalitySpec(sensor="skeleton", rate_hz=10, shape=(20, 3)),
    ),
    window_s=4,
    hop_s=4,
    classes=tuple(f"action {i + 1}" for i in range(27)),
    quality=(0.5, 0.5),
)


@pytest.mark.parametrize(("rate", "expected"), [("5", 77.7), ("20", 87.9), ("40", 93.0)])
def test_utd_mhad_is_recognised_as_published_figures_say(utd, data_dir, rate, expected):
    """Two people never seen, from 27, 108 and 216 labelled trials; a trial is 0.5 %."""
    splits = json.loads((data_dir / "utd-mhad" / "label_splits.json").read_text())
    training = utd.where(np.isin(utd.groups, splits["train_subjects"]))
    named = np.isin(training.recordings, splits["labelled_trials_by_rate_percent"][rate])
    predict = fit(UTD, training.labelled_only_where(named))
    assert 100 * accuracy(predict, utd.where(np.isin(utd.groups, splits["test_subjects"]))) == pytest.approx(
        expected, abs=2
    )
