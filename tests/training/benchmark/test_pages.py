from __future__ import annotations

import re

import pytest

pytest.importorskip("torch")

from cosmo_runtime.training.benchmark.comparison import METHODS
from cosmo_runtime.training.benchmark.pages import FIRST, pages
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.benchmark.report import Collected
from cosmo_runtime.training.benchmark.results import Results


@pytest.fixture
def collected(tmp_path) -> Collected:
    """Made up: three systems on UTD-MHAD at two rates, and two on USC-HAD."""
    results = Results(tmp_path / "results")
    made_up = {
        ("utd-a", 5): {
            "cosmo-warped": (0.92,),
            "cosmo-spread": (0.9, 0.92),
            "cosmo": (0.8,),
            "cmc": (0.85,),
            "dtw": (0.7,),
        },
        ("utd-a", 40): {"cosmo": (0.93,), "cmc": (0.95,)},
        ("utd-b", 5): {"cosmo-person": (0.55,), "cosmo": (0.5,), "cmc": (0.6,)},
        ("usc", 1): {"cosmo": (0.6,)},
        ("usc", 5): {"deepsense": (0.7,)},
    }
    for (protocol, rate), rows in made_up.items():
        steps = [PROTOCOLS[protocol].pretrain_steps, PROTOCOLS[protocol].steps]
        for method, accuracies in rows.items():
            for seed, accuracy in enumerate(accuracies):
                job = {"protocol": protocol, "rate": rate, "method": method, "seed": seed, "held_out": []}
                made_by = {"steps": steps, "revision": METHODS[method].revision}
                scores = {"accuracy": accuracy, "macro_f1": accuracy}
                results.write(f"{protocol}:{rate}:{method}:{seed}", {**job, **made_by, **scores})
    return Collected(results)


def test_the_first_page_sets_our_best_row_beside_the_best_other(collected: Collected) -> None:
    first = pages(collected, figures=True)[FIRST]
    lines = [line for line in first.split("\n") if line.startswith("| [")]
    assert lines == [
        "| [UTD-MHAD, IMU and skeleton](learning/utd-a.md), 5 % labelled "
        "| **92.0 (1)** | not run | 91.0 ± 1.4 (2) | 80.0 (1) | 85.0 (1) | CMC |",
        "| [UTD-MHAD, IMU and skeleton](learning/utd-a.md), 40 % labelled "
        "| not run | not run | not run | 93.0 (1) | **95.0 (1)** | CMC |",
        "| [UTD-MHAD, IMU and depth](learning/utd-b.md), 5 % labelled "
        "| – | 55.0 (1) | not run | 50.0 (1) | **60.0 (1)** | CMC |",
    ]
    assert "beside 3 other systems" in first
    assert "leads in 1 of the 3 comparisons below." in first
    assert "None leads on UTD-MHAD, IMU and skeleton (40 % labelled); UTD-MHAD, IMU and depth (5 % labelled)." in first
    assert first.count("![") == 1


def test_every_page_is_reached_from_the_first(collected: Collected) -> None:
    written = pages(collected, figures=False)
    assert set(re.findall(r"\((learning/.+?\.md)\)", written[FIRST])) == set(written) - {FIRST}
    assert "learning/utd-c.md" not in written  # nothing was run there


def test_without_results_there_is_only_how_to_make_some(tmp_path) -> None:
    assert set(pages(Collected(Results(tmp_path / "none")), figures=False)) == {FIRST, "learning/setup.md"}
