from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.benchmark import runs
from cosmo_runtime.training.benchmark.comparison import (
    METHODS,
    PARTS,
    STUDIED,
    STUDIES,
    Job,
    study_jobs,
    table_jobs,
)
from cosmo_runtime.training.benchmark.corruptions import CORRUPTIONS
from cosmo_runtime.training.benchmark.experiments import Method
from cosmo_runtime.training.benchmark.protocol import Protocol
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.report import Collected, as_json
from cosmo_runtime.training.benchmark.results import ResultError, Results
from cosmo_runtime.training.benchmark.robustness import corrupted_mean
from cosmo_runtime.training.benchmark.runs import name_of, run_all
from cosmo_runtime.training.methods import OneStage


@pytest.fixture
def toy(spec, windows, tmp_path, monkeypatch) -> Protocol:
    """Stands in for the protocol that parts and studies use, and is the only one."""
    people = replace(windows, groups=np.arange(len(windows)) % 3 + 1)
    (tmp_path / "toy").mkdir()
    protocol = Protocol(
        "utd-a",
        "Toy",
        spec,
        folder="toy",
        read=lambda folder, spec, cache: people,
        train=(1, 2),
        test=(3,),
        rates=(5, 50),
        pretrain_steps=2,
        steps=5,
    )
    for name in list(PROTOCOLS):
        monkeypatch.delitem(PROTOCOLS, name)
    monkeypatch.setitem(PROTOCOLS, "utd-a", protocol)
    return protocol


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results")


@pytest.fixture
def run(toy, tmp_path, results):
    return lambda jobs, **how: run_all(jobs, tmp_path, tmp_path, results, **how)


COSMO, DTW = Job("utd-a", 5, "cosmo", 0), Job("utd-a", 50, "dtw", 1)


def test_a_second_run_has_nothing_to_do_but_what_was_deleted(run, results):
    assert vars(run([COSMO, DTW])) == {"ran": 2, "kept": 0, "skipped": {}, "failed": {}}
    first = results.read(COSMO.name)
    assert (run([COSMO, DTW]).ran, run([COSMO, DTW]).kept) == (0, 2)

    results.file(COSMO.name).unlink()
    assert vars(run([COSMO, DTW])) == {"ran": 1, "kept": 1, "skipped": {}, "failed": {}}
    again = results.read(COSMO.name)
    timed = ("seconds", "test_seconds", "curve")
    assert {k: v for k, v in again.items() if k not in timed} == {k: v for k, v in first.items() if k not in timed}
    assert [p["loss"] for p in again["curve"]] == [p["loss"] for p in first["curve"]]


def test_a_result_says_what_was_measured_how(run, results):
    run([COSMO, DTW])
    cosmo, dtw = results.read(COSMO.name), results.read(DTW.name)
    assert cosmo["windows"] == {"training": 48, "labelled": 3, "test": 24}
    assert dtw["windows"] == {"training": 48, "labelled": 24, "test": 24}
    assert cosmo["budget"] == {"pretrain_epochs": 2, "epochs": 5, "pretrain_batch": 64, "batch": 16}
    assert {"torch", "numpy", "python"} <= set(cosmo["versions"])
    assert cosmo["commit"] is None or len(cosmo["commit"].rstrip("+")) == 12
    assert list(dtw["with"]) == ["imu", "depth", "radar", "imu+depth", "imu+radar", "depth+radar"]
    assert dtw["accuracy"] > 0.8 and dtw["macro_f1"] > 0.8
    stages = [(point["stage"], point["epoch"]) for point in cosmo["curve"]]
    assert stages == [(1, 1), (1, 2), (2, 10)]  # one round of stage 2 is five epochs of each part
    assert cosmo["curve"][-1]["accuracy"] == cosmo["accuracy"]


def test_faulty_sensors_are_measured_where_the_protocol_asks(run, results, toy, monkeypatch):
    run([DTW])
    assert "corrupted" not in results.read(DTW.name)
    monkeypatch.setitem(PROTOCOLS, "utd-a", replace(toy, corrupted=True))
    assert run([DTW]).ran == 1  # the result without them is out of date
    result = results.read(DTW.name)
    assert list(result["corrupted"]) == [name for name, fault in CORRUPTIONS.items() if fault.applies(toy.spec)]
    assert all(len(accuracies) == 3 for accuracies in result["corrupted"].values())
    assert corrupted_mean(result) < result["accuracy"]
    assert run([DTW]).kept == 1
    monkeypatch.setattr(runs, "SUITE", runs.SUITE + 1)
    assert run([DTW]).ran == 1


def test_watching_does_not_change_what_is_learned(run, results, monkeypatch):
    run([COSMO])
    watched = results.read(COSMO.name)
    monkeypatch.setattr(runs, "STUDIED", ("other", 1))
    results.file(COSMO.name).unlink()
    run([COSMO])
    unwatched = results.read(COSMO.name)
    assert "curve" not in unwatched
    assert unwatched["accuracy"] == watched["accuracy"] and unwatched["with"] == watched["with"]


@pytest.mark.parametrize("method", ["cosmo-spread", "cmc", "cpc"])
def test_jobs_that_differ_in_labels_share_stage_1_and_none_notices(run, results, method):
    alone = Job("utd-a", 50, method, 0)
    run([alone])
    expected = {k: v for k, v in results.read(alone.name).items() if k not in ("seconds", "test_seconds")}
    (kept,) = (results.folder / "stage-1").iterdir()
    written = kept.stat().st_mtime_ns
    results.file(alone.name).unlink()

    run([replace(alone, rate=5), alone])
    assert expected.items() <= results.read(alone.name).items()
    assert [file.stat().st_mtime_ns for file in (results.folder / "stage-1").iterdir()] == [written]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b""])
def test_a_damaged_stage_1_is_named(run, results, damage):
    job = Job("utd-a", 50, "cmc", 0)
    run([job])
    (stage_1,) = (results.folder / "stage-1").iterdir()
    stage_1.write_bytes(damage(stage_1.read_bytes()))
    results.file(job.name).unlink()
    with pytest.raises(ResultError, match=rf"{stage_1.name} is not a whole stage 1 .* Delete it to learn it again"):
        run([job])


def test_another_budget_is_another_result(run, toy, monkeypatch):
    run([DTW])
    monkeypatch.setitem(PROTOCOLS, "utd-a", replace(toy, steps=4))
    assert run([DTW]).ran == 1


def test_another_revision_of_a_method_is_another_result_and_the_old_one_is_in_no_report(
    run, results, tmp_path, monkeypatch
):
    job = Job("utd-a", 50, "cpc", 0)
    run([job, DTW])
    report = tmp_path / "learning.json"
    report.write_text(as_json(Collected(results)))
    (stage_1,) = (results.folder / "stage-1").iterdir()

    monkeypatch.setitem(METHODS, "cpc", replace(METHODS["cpc"], revision=99))
    assert [result["method"] for result in Collected(results).all] == ["dtw"]
    elsewhere = Results(tmp_path / "elsewhere")
    elsewhere.restore(report, name_of)
    assert elsewhere.names() == [DTW.name.replace(":", ".")]
    elsewhere.write(DTW.name, {"protocol": "utd-a", "method": "dtw", "steps": "of another budget"})
    elsewhere.restore(report, name_of)
    assert elsewhere.read(DTW.name) == results.read(DTW.name)
    assert run([job, DTW]).ran == 1
    assert results.read(job.name)["revision"] == 99
    assert len(list((results.folder / "stage-1").iterdir())) == 2 and stage_1.exists()


def test_distance_of_modalities_is_smaller_in_one_window(run, results, toy, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "utd-a", replace(toy, pretrain_steps=30))
    job = Job("utd-a", 5, "distance=0-1", 0)
    run([job])
    measured = results.read(job.name)
    assert 0 < measured["same_window"] < measured["any_windows"] < 2


def test_one_that_fails_does_not_stop_the_others(run, results, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("oh")

    def lacking(*_):
        raise ImportError("needs a library")

    monkeypatch.setitem(METHODS, "cmc", Method("CMC", OneStage(broken)))
    monkeypatch.setitem(METHODS, "cpc", Method("CPC", OneStage(lacking)))
    outcome = run([replace(DTW, method="cmc"), replace(DTW, method="cpc"), DTW])
    assert outcome.ran == 1 and "ZeroDivisionError: oh" in outcome.failed["utd-a:50:cmc:1"]
    assert outcome.skipped == {"utd-a:50:cpc:1": "needs a library"}
    assert results.names() == ["utd-a.50.dtw.1"]


def test_a_protocol_without_data_or_people_is_skipped_with_the_reason(run, toy, monkeypatch):
    assert "does not train on 3" in run([DTW], held_out=(3,)).skipped[DTW.name]
    monkeypatch.setitem(PROTOCOLS, "utd-a", replace(toy, folder="elsewhere"))
    assert "has no elsewhere" in run([DTW]).skipped[DTW.name]


def test_a_damaged_result_is_named(run, results):
    run([DTW])
    results.file(DTW.name).write_text("{")
    with pytest.raises(ResultError, match=r"utd-a\.50\.dtw\.1\.json is not a result"):
        run([DTW])
    results.file(DTW.name).write_text("{}")  # of whatever else
    assert run([DTW]).ran == 1


def test_a_damaged_report_is_named(results, tmp_path):
    for content in ("{", "[]", '{"cost": null}'):
        (tmp_path / "learning.json").write_text(content)
        with pytest.raises(ResultError, match=r"learning\.json is not a report"):
            results.restore(tmp_path / "learning.json", name_of)


def test_results_are_written_whole_or_not_at_all(results):
    results.write("a:1:b:0", {"accuracy": 1})
    with pytest.raises(TypeError):
        results.write("a:1:b:0", {"accuracy": object()})
    assert results.read("a:1:b:0") == {"accuracy": 1}
    assert [file.name for file in results.folder.iterdir()] == ["a.1.b.0.json"]


def test_jobs_are_every_row_that_a_protocol_has_sensors_for():
    names = {job.name for job in table_jobs(2)}
    assert {"utd-a:5:cosmo-spread:1", "utd-a:40:cosmo-reference:0", "usc:10:single-gyroscope:1"} <= names
    assert {"radhar:100:single-radar:0", "usc:1:cosmo-sum:0"} <= names
    assert not {"radhar:5:cosmo:0", "radhar:5:cmc:0", "utd-b:5:cosmo-reference:0", "utd-a:5:cosmo-sum:0"} & names
    assert "utd-a:5:single-depth:0" not in names
    # the nearest neighbour of published labels is always the same, that of drawn ones is not
    assert "utd-a:5:dtw:1" not in names and "usc:1:dtw:1" in names
    assert "utd-a:5:dtw:1" in {job.name for job in table_jobs(2, held_out=(5,))}


def test_studies_run_what_the_tables_do_not():
    jobs = study_jobs(1)
    assert len(set(jobs)) == len(jobs) and not set(jobs) & set(table_jobs(1))
    for study in STUDIES.values():
        assert set(study.methods.values()) <= set(METHODS)
    assert STUDIES["turn"].methods["5"] == STUDIES["batch"].methods["64"] == "cosmo"
    assert STUDIES["unlabelled-cmc"].methods["100"] == "cmc"
    assert {job.method for job in [*jobs, *table_jobs(1)] if (job.protocol, job.rate) == STUDIED} >= set(PARTS)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [("utd-a", 1), ("utd-a:5", 1), ("utd-a:5:cosmo*", 1), ("*:cosmo:0", 1), ("utd", 0), ("utd-a:50", 0), ("*:1", 0)],
)
def test_a_filter_is_a_name_or_its_beginning(pattern, matches):
    assert COSMO.matches([pattern]) == bool(matches)


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path, results, data_dir):
    """On real data, because a process of its own knows the real protocols only."""
    jobs = [job for job in table_jobs(2) if job.matches(["radhar:5:dtw"])]
    assert run_all(jobs, data_dir, tmp_path, results, processes=2).ran == 2
    both = [results.read(job.name) for job in jobs]
    results.file(jobs[1].name).unlink()
    assert run_all(jobs, data_dir, tmp_path, results).ran == 1
    assert results.read(jobs[1].name)["accuracy"] == both[1]["accuracy"]
