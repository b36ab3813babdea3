from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.progress import Progress

from cosmo_runtime.models.tensors import read_tensors
from cosmo_runtime.tools import limu_bert_x as tool
from cosmo_runtime.training.baselines import limu_bert_x as row
from cosmo_runtime.training.baselines.limu_bert import LimuBert, WindowEmbedder
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.datasets.utd import trials, utd_a_spec
from cosmo_runtime.training.methods import Budget, Lesson, OneStage


@pytest.fixture
def weights(data_dir, tmp_path, monkeypatch):
    """The published weights, converted by the command."""
    pytest.importorskip("torch", minversion="1.13")  # which reads a pickle without running it
    path = tmp_path / "kept" / "limu-bert-x.safetensors"
    monkeypatch.setattr(row, "WEIGHTS", path)
    assert tool.main([str(data_dir / "limu-bert-x" / "limu_bert_x.pt"), "--out", str(path)]) == 0
    return path


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_it_learns(check, weights, frozen):
    check(OneStage(row.limu_bert_x(frozen=frozen)), epochs=60)


def test_only_the_tuned_one_changes_the_published_network(spec, windows, weights, monkeypatch):
    networks = []

    def learn(network, *_):
        networks.append(network)

    monkeypatch.setattr(row, "learn_labels", learn)
    for frozen in (True, False):
        row.limu_bert_x(frozen=frozen)(Lesson(spec, windows, Budget(0, 1), 0, Progress(disable=True)))
    learns = [{p.requires_grad for p in network.embedder.parameters()} for network in networks]
    assert learns == [{False}, {True}]


def test_the_published_network_knows_what_it_sees_of_a_real_wrist(data_dir, weights, tmp_path):
    """Weights in the wrong place would say anything: most of what is shown comes back."""
    bert = LimuBert(row.LONGEST)
    bert.load_state_dict(read_tensors(weights.read_bytes()))
    spec = utd_a_spec()
    waves = trials(data_dir / "utd-mhad", spec, tmp_path, [f"a{action}_s1_t1" for action in range(1, 22)])
    features, presence, _ = waves.tensors(np.arange(len(waves)))
    x = WindowEmbedder(spec, row.LONGEST).sequences(features, presence)
    with torch.no_grad():
        error = (bert.say(bert(x)) - x).pow(2).mean()
    assert error < x.var((0, 1)).mean() / 5


def test_missing_or_damaged_weights_are_named(spec, windows, tmp_path, monkeypatch):
    monkeypatch.setattr(row, "WEIGHTS", tmp_path / "weights")

    def fit():
        row.limu_bert_x(frozen=True)(Lesson(spec, windows, Budget(0, 1), 0, Progress(disable=True)))

    with pytest.raises(DataSetError, match=r"cannot be read .* python tools/limu_bert_x.py"):
        fit()
    (tmp_path / "weights").write_bytes(b"something else")
    with pytest.raises(DataSetError, match="Convert the published weights again"):
        fit()


def test_no_other_pickle_is_opened(tmp_path, capsys):
    pytest.importorskip("torch", minversion="1.13")

    class Evil:
        def __reduce__(self):
            return sys.exit, ("it was opened",)

    other, out = tmp_path / "limu_bert_x.pt", tmp_path / "out"
    other.write_bytes(pickle.dumps(Evil()))
    assert tool.main([str(other), "--out", str(out)]) == 1
    assert "not the published file" in capsys.readouterr().err and not out.exists()
    assert tool.main([str(tmp_path / "none"), "--out", str(out)]) == 1
    assert "No such file" in capsys.readouterr().err
