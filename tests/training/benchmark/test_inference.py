from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.training.benchmark.comparison import ROWS
from cosmo_runtime.training.benchmark.inference import _spectra_by_matrices, measure, network_of
from cosmo_runtime.training.methods import Budget, Lesson, learn


@pytest.mark.parametrize("steps", [2, 5, 12])
def test_a_matrix_gives_the_spectrum(steps):
    x = torch.randn(3, 4, steps, generator=torch.Generator().manual_seed(0))
    expected = torch.fft.rfft(x, norm="ortho")
    with _spectra_by_matrices():
        found = torch.fft.rfft(x, norm="ortho")
    torch.testing.assert_close(found.real, expected.real, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.imag, expected.imag, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.fft.rfft(x, norm="ortho"), expected)  # the real one is back


def test_learners_without_a_network_have_none(spec, windows):
    assert (
        network_of(learn(ROWS["dtw"].learner, Lesson(spec, windows, Budget(1, 1), 0, Progress(disable=True)))) is None
    )


@pytest.mark.slow
def test_every_network_is_exported_and_measured(spec, windows):
    names = ["cosmo", "single-imu", "deepsense", "attnsense", "milliego", "cmc", "limu-bert", "selfhar"]
    rows = {name: ROWS[name] for name in (*names, "dtw")}
    labelled = windows.labelled_only_where(np.arange(len(windows)) % 4 == 0)
    measured = measure(spec, labelled, rows, Progress(disable=True), runs=5)
    assert list(measured["networks"]) == names
    for figures in measured["networks"].values():
        low, middle, high = figures["latency_ms"]
        assert 0 < low <= middle <= high and figures["memory_mb"] > 0
        assert 0 < figures["parameters"] < 2e6 and figures["onnx_kb"] * 1000 > figures["parameters"]
    assert measured["networks"]["single-imu"]["parameters"] < measured["networks"]["cmc"]["parameters"]
