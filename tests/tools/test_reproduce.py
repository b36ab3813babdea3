"""The command that re-runs the comparison, on a data set of noise."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.tools import reproduce
from cosmo_runtime.training.benchmark.protocol import Protocol
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.results import COST, Results
from cosmo_runtime.training.windows import Windows


def _command(folder, monkeypatch):
    """``reproduce.main``, for which there is one protocol with four people."""
    modalities = tuple(ModalitySpec(sensor=s, rate_hz=10, shape=(3,)) for s in ("accelerometer", "gyroscope"))
    spec = ModelSpec(modalities=modalities, window_s=2, hop_s=2, classes=("a", "b"), quality=(0.5, 0.5))
    random = np.random.default_rng(0)
    features = [{m.sensor: random.normal(size=(20, 3)) for m in modalities} for _ in range(32)]
    people = np.arange(32) // 2 % 4 + 1
    windows = Windows.stack(spec, features, np.ones((32, 2)), [0, 1] * 16, people, [str(i) for i in range(32)])
    (folder / "data" / "toy").mkdir(parents=True)
    toy = Protocol("usc", "Toy", spec, "toy", lambda *_: windows, (1, 2, 3), (4,), (50,), pretrain_steps=1, steps=2)
    for name in list(PROTOCOLS):
        monkeypatch.delitem(PROTOCOLS, name)
    monkeypatch.setitem(PROTOCOLS, "usc", toy)
    monkeypatch.delenv("COSMO_DATA", raising=False)
    places = {name: str(folder / name) for name in ("data", "results", "cache")}
    return lambda *arguments: reproduce.main([*(f"--{name}={path}" for name, path in places.items()), *arguments])


ROWS = ("--only", "usc:50:cosmo", "usc:50:dtw", "--seeds", "2")


@pytest.fixture
def command(tmp_path, monkeypatch):
    return _command(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def results_once(tmp_path_factory):
    """The results of ``ROWS``, which take a while."""
    folder = tmp_path_factory.mktemp("ran")
    with pytest.MonkeyPatch.context() as patch:
        assert _command(folder, patch)("tables", *ROWS) == 0
    return folder / "results"


@pytest.fixture
def results(results_once, tmp_path):
    """The same, for a test to go on from."""
    return shutil.copytree(str(results_once), str(tmp_path / "results"))


def test_it_runs_prints_and_goes_on_where_it_was(command, capsys, tmp_path):
    assert command("tables", *ROWS) == 0
    told = capsys.readouterr()
    assert "4 ran, 0 had a result, 0 skipped, 0 failed" in told.err
    assert "| CMC | not run |" in told.out and "# Toy\n" in told.out

    (tmp_path / "results" / "usc.50.cosmo.1.json").unlink()
    assert command("tables", *ROWS) == 0
    assert "1 ran, 3 had a result" in capsys.readouterr().err


def test_the_report_has_tables_numbers_and_figures(command, results, tmp_path):
    pytest.importorskip("matplotlib")
    assert command("tables", *ROWS, "--report", str(tmp_path / "report")) == 0
    report = tmp_path / "report"
    written = {str(file.relative_to(report)) for file in report.rglob("*.*")}
    assert {"learning.md", "learning.json", "learning/accuracy.png", "learning/convergence.png"} <= written
    assert len(json.loads((tmp_path / "report" / "learning.json").read_text())["results"]) == 4


def test_a_report_is_gone_on_with_on_another_machine(command, results, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    report = ("--report", str(tmp_path / "report"))
    assert command("tables", *ROWS, *report) == 0
    written = (tmp_path / "report" / "learning.json").read_text()
    shutil.rmtree(tmp_path / "results")
    capsys.readouterr()
    assert command("tables", *ROWS, *report) == 0
    assert "0 ran, 4 had a result" in capsys.readouterr().err
    assert (tmp_path / "report" / "learning.json").read_text() == written

    for damaged in ("{}", "[]", '{"results": [1], "cost": null}', written[:-20]):
        (tmp_path / "report" / "learning.json").write_text(damaged)
        assert command("tables", *ROWS, *report) == 1
        assert "learning.json is not a report" in capsys.readouterr().err.replace("\n", "")


def test_held_out_people_have_results_of_their_own(command, capsys, tmp_path):
    assert command("tables", *ROWS, "--held-out", "2,3") == 0
    assert "Trained on subjects 1, tested on 2 and 3" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["held-out-2-3"]
    assert command("tables", *ROWS, "--held-out", "4") == 1
    assert "skipped usc:50:cosmo:0 and 3 more: it does not train on 4" in capsys.readouterr().err


def test_costs_are_measured_once(command, capsys, tmp_path, monkeypatch):
    measured = dict.fromkeys(("stage_1_s", "stage_2_s", "latency_ms", "parameters", "multiply_adds"), 1)
    cost = {"runs": 1, "latency_runs": 1, "windows": 4, "labelled": 2}
    cost["networks"] = {"default": measured, "reference": measured}
    monkeypatch.setattr(reproduce, "STUDIED", ("usc", 50))
    monkeypatch.setattr(reproduce, "compare", lambda spec, windows, progress: {**cost, "windows": len(windows)})
    assert command("cost") == 0
    assert "24 windows" in capsys.readouterr().out
    assert Results(tmp_path / "results").read(COST)["windows"] == 24
    assert command("cost") == 0
    assert "0 ran, 1 had a result" in capsys.readouterr().err


def test_jobs_can_be_listed(command, capsys):
    command("tables", "--only", "usc:50:dtw", "--seeds", "1")
    capsys.readouterr()
    assert command("--list", "--seeds", "1") == 0
    listed = capsys.readouterr().out.split("\n")
    assert "usc:50:dtw:0  done" in listed and "usc:50:cosmo:0" in listed and COST in listed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "usc:50:dwt"], "--only usc:50:dwt: there is no such job"),
        (["everything"], "there is no part everything"),
        (["--held-out", "five"], "'five': expected numbers"),
        (["--held-out", "1", "--report", "x"], "leave out --held-out"),
        (["--jobs", "0"], "give at least 1"),
        (["--data", "/nowhere"], "give the folder that holds utd-mhad"),
        (["--report", "/proc/report"], "--report /proc/report cannot be written"),
        (["--results", "/proc/results"], "--results /proc/results cannot be written"),
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(command, capsys, arguments, told):
    with pytest.raises(SystemExit) as stopped:
        command(*arguments)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_a_damaged_result_is_named(command, results, capsys, tmp_path):
    for content in ("", "[]", "7"):
        (tmp_path / "results" / "usc.50.dtw.0.json").write_text(content)
        assert command("tables", *ROWS) == 1
        assert "usc.50.dtw.0.json is not a result" in capsys.readouterr().err
