from __future__ import annotations

import sys

import pytest

pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.training.baselines.minirocket import minirocket
from cosmo_runtime.training.methods import Budget, Lesson, OneStage
from cosmo_runtime.training.warping import vectors


def fit(spec, windows, seed=0):
    return minirocket(Lesson(spec, windows, Budget(0, 0), seed, Progress(disable=True)))


@pytest.mark.slow  # numba compiles for half a minute
def test_it_learns(check):
    pytest.importorskip("sktime")
    pytest.importorskip("numba")
    check(OneStage(minirocket), expected=0.9)


def test_classes_without_a_label_are_never_answered(spec, windows, other_people):
    pytest.importorskip("sktime")
    pytest.importorskip("numba")
    probabilities = fit(spec, windows.labelled_only_where(windows.labels != 1))(other_people)
    assert not probabilities[:, 1].any()
    others = other_people.labels != 1
    assert (probabilities.argmax(1) == other_people.labels)[others].mean() > 0.9


def test_what_is_missing_is_named(spec, windows, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"cosmo-runtime\[evaluate\]"):
        fit(spec, windows)


def test_each_modality_has_convolutions_of_its_own(spec, windows, monkeypatch):
    pytest.importorskip("numba")
    rocket = pytest.importorskip("sktime.transformations.rocket")
    asked = []

    class Spy(rocket.MiniRocketMultivariate):
        def fit(self, X, y=None):
            asked.append((X.shape[1], self.num_kernels))
            return super().fit(X, y)

    monkeypatch.setattr(rocket, "MiniRocketMultivariate", Spy)
    fit(spec, windows)
    channels = [vectors(m, windows.features[m.sensor][:1]).shape[2] for m in spec.modalities]
    assert asked == [(count, 3333) for count in channels]
