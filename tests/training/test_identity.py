from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.networks import Encoders
from cosmo_runtime.training import distributed
from cosmo_runtime.training.identity import DifferentProcessesError, identity, refuse_different_processes

CPU = torch.device("cpu")


@pytest.fixture
def known(spec, windows) -> dict:
    return identity({"seed": 1, "range": (0.0, 1.0)}, windows, None, Encoders(spec))


def test_it_follows_from_inputs_alone(spec, windows, known):
    torch.manual_seed(7)
    other = Encoders(spec)
    features, presence, _ = windows.tensors(np.arange(9))
    other.fit(features, presence)
    relabelled = replace(windows, labels=windows.labels * 0)
    assert identity({"seed": 1, "range": (0.0, 1.0)}, relabelled, None, other) == known
    assert known["range"] == [0.0, 1.0] and known["windows"] == len(windows)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda w: w.where(np.arange(len(w))[::-1]), {f"values of {s}" for s in ("imu", "depth", "radar")}),
        (lambda w: replace(w, presence=~w.presence), {"presence of sensors"}),
        (lambda w: replace(w, features={**w.features, "imu": w.features["imu"].astype(np.float64)}), {"values of imu"}),
    ],
)
def test_whatever_is_learned_from_tells(spec, windows, known, change, names):
    other = identity({"seed": 1, "range": (0.0, 1.0)}, change(windows), None, Encoders(spec))
    assert {name for name in known if known[name] != other[name]} == names


def test_processes_that_differ_are_named_with_what_they_have(known, monkeypatch):
    few = {**known, "windows": 20, "seed": 2}
    del few["values of radar"]
    told = [json.dumps({"host": host, "known": of}).encode() for host, of in (("a", known), ("b", few), ("b", known))]
    monkeypatch.setattr(distributed, "bytes_of_all", lambda mine, device: told)
    with pytest.raises(DifferentProcessesError) as error:
        refuse_different_processes(known, CPU)
    lines = str(error.value).splitlines()
    assert lines[1:-1] == [
        "  seed: 1 (process 0 on a, 2 on b), 2 (process 1 on b)",
        "  windows: 72 (process 0 on a, 2 on b), 20 (process 1 on b)",
        f"  values of radar: {known['values of radar']} (process 0 on a, 2 on b), missing (process 1 on b)",
    ]
    assert "give all of them the same data" in lines[-1]
    told[1] = told[0]
    refuse_different_processes(known, CPU)
