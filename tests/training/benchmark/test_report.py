from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.benchmark.comparison import METHODS, ROWS, STUDIES
from cosmo_runtime.training.benchmark.corruptions import CORRUPTIONS, SUITE
from cosmo_runtime.training.benchmark.pages import pages
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.report import FIGURES, Collected, as_json
from cosmo_runtime.training.benchmark.results import COST, INFERENCE, Results
from cosmo_runtime.training.benchmark.tables import spread

NETWORK = {"stage_1_s": 0.5, "stage_2_s": 0.02, "latency_ms": 0.4, "parameters": 250000, "multiply_adds": 6000000}


@pytest.fixture
def results(tmp_path) -> Results:
    """Made up: two seeds of one row, one of another, on USC-HAD; one study; costs."""
    results = Results(tmp_path / "results")

    def write(protocol, rate, method, seed, accuracy, **more):
        scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.1}
        made_by = {"steps": [PROTOCOLS[protocol].pretrain_steps, PROTOCOLS[protocol].steps]}
        made_by["revision"] = METHODS[method].revision
        job = {"protocol": protocol, "rate": rate, "method": method, "seed": seed, "held_out": []}
        result = {**job, **made_by, **scores, **more}
        results.write(f"{protocol}:{rate}:{method}:{seed}", result)

    for seed, accuracy in enumerate((0.5, 0.7)):
        fewer = {
            sensor: {"accuracy": accuracy - share} for sensor, share in (("accelerometer", 0.1), ("gyroscope", 0.3))
        }
        write("usc", 1, "cosmo", seed, accuracy, **{"with": fewer})
    write("usc", 1, "single-gyroscope", 0, 0.45)
    write("usc", 5, "dtw", 0, 0.8)
    write("utd-a", 5, "turn=1", 0, 0.25)
    curve = [{"stage": 1, "epoch": 1, "seconds": 0.1, "loss": 5.0}]
    curve += [{"stage": 2, "epoch": 10, "seconds": 1.1, "loss": 2.0, "accuracy": 0.3}]
    write("utd-a", 5, "cosmo", 0, 0.75, curve=curve)
    write("utd-a", 5, "distance=0-1", 0, 0.0, same_window=0.25, any_windows=0.9)
    write("utd-a", 5, "distance=0.1-0.9", 0, 0.0, same_window=0.5, any_windows=0.9)
    reference = {name: 10 * value for name, value in NETWORK.items()}
    networks = {"default": NETWORK, "reference": reference}
    results.write(COST, {"runs": 3, "latency_runs": 9, "windows": 646, "labelled": 27, "networks": networks})
    return results


def all_pages(collected: Collected, figures: bool = False) -> str:
    return "\n".join(pages(collected, figures).values())


def table_below(text: str, line: str) -> list:
    lines = text.split("\n")
    start = lines.index(line)
    return lines[start : lines.index("", start)]


def test_a_table_has_means_deviations_and_numbers_of_seeds(results):
    text = all_pages(Collected(results))
    table = table_below(text, "| Accuracy, % | 1 % labelled | 5 % labelled | 10 % labelled |")
    assert table[1] == "| --- | ---: | ---: | ---: |"
    assert "| Cosmo | **60.0 ± 14.1 (2)** | not run | not run |" in table
    assert "| SingleModal: gyroscope | 45.0 (1) | not run | not run |" in table
    assert "| DTW nearest neighbour | not run | **80.0 (1)** | not run |" in table
    assert len(table) == 2 + len(ROWS) - 7  # without those of other sensors, the reference, and those that warp
    assert "| Cosmo | **50.0 ± 14.1 (2)** | not run | not run |" in text  # macro F1
    assert "Trained on subjects 1 to 10, tested on 11 to 14. Labels: drawn" in text


def test_missing_sensors_stand_under_the_one_that_is_left_alone(results):
    text = all_pages(Collected(results))
    table = table_below(text, "| Accuracy, %, with only | accelerometer | gyroscope |")
    assert table[2] == "| 1 %: SingleModal | not run | 45.0 (1) |"
    assert table[4] == "| 1 %: Cosmo | 50.0 ± 14.1 (2) | 30.0 ± 14.1 (2) |"


def test_studies_and_costs_have_their_tables(results):
    text = all_pages(Collected(results))
    assert "| T_iter, epochs of a turn of stage 2 | 1 | 2 | 5 | 10 | 25 |" in text
    assert "| Cosmo: accuracy, % | 25.0 (1) | not run | 75.0 (1) | not run | not run |" in text
    assert "| Cosmo: of one window | 0.250 (1) | 0.500 (1) | not run | not run | not run |" in text
    assert "| parameters | 250,000 | 2,500,000 | 10.0 × |" in text
    assert "| inference, ms a window | 0.400 | 4.000 | 10.0 × |" in text


def test_what_was_tested_on_held_out_people_says_so(tmp_path):
    results = Results(tmp_path)
    scores = {"accuracy": 0.5, "macro_f1": 0.5}
    job = {"protocol": "utd-a", "rate": 5, "method": "dtw", "seed": 0, "held_out": [5, 6]}
    results.write("x", {**job, "steps": [1000, 700], **scores})
    assert "Trained on subjects 1 to 4, tested on 5 and 6. Labels: drawn" in all_pages(Collected(results))


def test_every_result_is_in_the_json(results):
    written = json.loads(as_json(Collected(results)))
    assert len(written["results"]) == 8 and written["cost"]["runs"] == 3
    assert json.loads(as_json(Collected(Results(results.folder / "none")))) == {
        "results": [],
        "cost": None,
        "inference": None,
    }


def test_one_value_has_no_deviation():
    assert spread([]) == "not run"
    assert spread([50.04]) == "50.0 (1)"
    assert spread([1.0, 2.0, 3.0], digits=3) == "2.000 ± 1.000 (3)"


def test_figures_that_compare_nothing_are_left_out(results, tmp_path):
    pytest.importorskip("matplotlib")
    from cosmo_runtime.training.benchmark.figures import _STYLES, draw

    assert set(ROWS) <= set(_STYLES)
    for there_are, expected in (
        (results, ["accuracy", "convergence", "settings", "distance"]),
        (Results(tmp_path / "none"), ["accuracy", "convergence"]),
    ):
        files = draw(Collected(there_are), tmp_path)
        assert [file.stem for file in files] == expected
        for file in files:
            assert file.read_bytes().startswith(b"\x89PNG")
        text = all_pages(Collected(there_are), figures=True)
        assert [name for name in FIGURES if f"{name}.png)" in text] == expected


def test_what_others_published_stands_below_and_is_never_the_best(tmp_path):
    results = Results(tmp_path)
    job = {"protocol": "utd-odd-even", "rate": 100, "method": "dtw", "seed": 0, "held_out": []}
    scores = {"steps": [1000, 700], "suite": SUITE, "accuracy": 0.9, "macro_f1": 0.9}
    scores["corrupted"] = {name: [0.8, 0.6, 0.4] for name in CORRUPTIONS if name != "empty"}
    scores["corrupted"]["noise"] = [0.6, 0.3, 0.0]
    results.write("x", {**job, **scores})
    text = all_pages(Collected(results))
    table = table_below(text, "| Accuracy, % | 5 % labelled | 100 % labelled |")
    assert "| DTW nearest neighbour | not run | **90.0 (1)** |" in table
    assert table[-4:-1] == [
        "| *CMC-CMKM, published* |  | 97.67 |",
        "| *SafeSense, published* |  | 96.28 |",
        "| *Fusion-GCN, published* |  | 94.42 |",
    ]
    assert table_below(text, "| Accuracy, %, 100 % labelled | clean | corrupted |")[2:4] == [
        "| DTW nearest neighbour | **90.0 (1)** | **56.7 (1)** |",
        "| *SafeSense, published* | 96.28 | 85.13 |",
    ]
    assert "| 100 % labelled | noise | dead sensor |" in text and "empty radar" not in text
    assert "| clock offset | 0.1, 0.3, 0.5 | s that one sensor is early or late |" in text
    assert "Trained on subjects 1, 3, 5 and 7, tested on 2, 4, 6 and 8." in text
    assert "nothing of them was run here. CMC-CMKM: learned from 1, 3 and 5; 7 chose when to stop." in text
    results.write("x", {**job, **scores, "held_out": [5]})
    assert "published*" not in all_pages(Collected(results))


def test_labels_of_the_test_people_have_a_table_and_a_figure(tmp_path):
    results = Results(tmp_path / "results")
    for rate, accuracy in ((0, 0.8), (4, 0.95)):
        job = {"protocol": "utd-own", "rate": rate, "method": "cmc", "seed": 0, "held_out": [], "revision": 2}
        results.write(str(rate), {**job, "steps": [1000, 700], "accuracy": accuracy, "macro_f1": accuracy})
    collected = Collected(results)
    text = all_pages(collected, figures=True)
    table = table_below(text, "| Accuracy, % | 0 of their own | 1 of their own | 2 of their own | 4 of their own |")
    assert table[-1] == "| CMC | **80.0 (1)** | not run | not run | **95.0 (1)** |" and len(table) == 7
    assert "test people's repeats 1 and 2 are learned from as well" in text and "tested on repeats 3 and 4" in text
    assert "](own.png)" in text


def test_inference_stands_beside_accuracy(results, tmp_path):
    network = {"latency_ms": [0.1, 0.25, 1.0], "memory_mb": 12.34, "parameters": 273187, "multiply_adds": 5858432}
    results.write(INFERENCE, {"runs": 300, "networks": {"cosmo": network, "deepsense": network}})
    text = all_pages(Collected(results))
    table = table_below(text, "|  | accuracy, % | ms (5 % to 95 %) | memory, MB | parameters | multiply-adds |")
    assert table[2:] == [
        "| Cosmo | 75.0 (1) | 0.250 (0.100 to 1.000) | 12.3 | 273,187 | 5,858,432 |",
        "| DeepSense | not run | 0.250 (0.100 to 1.000) | 12.3 | 273,187 | 5,858,432 |",
    ]
    assert json.loads(as_json(Collected(results)))["inference"]["runs"] == 300


def test_every_study_is_in_a_figure():
    assert {study.figure for study in STUDIES.values()} <= set(FIGURES)
