"""The page of the figures of everyday activities."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from cosmo_runtime.models.bundle import load_bundle
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE
from cosmo_runtime.tools import everyday

_PAGE = Path(everyday.__file__).parents[1] / "docs" / "benchmarks"


def test_the_page_is_made_of_its_figures() -> None:
    figures = json.loads((_PAGE / "everyday.json").read_text(encoding="utf-8"))
    written = (_PAGE / "everyday.md").read_text(encoding="utf-8")
    by_hand = everyday.below_the_commands(written)
    assert by_hand.startswith("\n\nIn the first table"), "or the tool would delete it"
    assert everyday.page(figures) + by_hand == written


def test_a_new_page_ends_with_its_commands() -> None:
    assert everyday.below_the_commands("") == "\n"


def test_commands_name_no_folder_of_this_machine() -> None:
    command = (
        "python tools/train_everyday.py --data utd --only simulated --mocap clips/motions --cache my/cache --out here/x"
    )
    bundle = replace(load_bundle(SHIPPED_BUNDLE), path=Path("zero-shot-mocap-0"), provenance={"command": command})
    assert everyday._anywhere(bundle) == (
        "python tools/train_everyday.py --data PATH/utd-mhad --only simulated --mocap PATH/deepmimic/data/motions "
        "--out PATH/zero-shot-mocap-0"
    )


def test_figures_of_several_seeds_are_means_with_their_range() -> None:
    assert everyday._mean([0.5, 0.7]) == "60.0% (50.0% to 70.0%)"
    assert everyday._mean([0.5]) == "50.0%"


def test_commands_that_differ_in_their_seeds_are_one() -> None:
    figures = {
        "everyday-0": {"command": "python train.py --out PATH/everyday-0"},
        "everyday-1": {"command": "python train.py --seed 1 --out PATH/everyday-1"},
        "zero-shot-1": {"command": "python train.py --only simulated --seed 1 --steps 7 --out PATH/zero-shot-1"},
    }
    assert everyday._commands(figures) == [
        "for seed in 0 1; do",
        "  python train.py --seed $seed --out PATH/everyday-$seed",
        "done",
        "for seed in 1; do",
        "  python train.py --only simulated --steps 7 --seed $seed --out PATH/zero-shot-$seed",
        "done",
    ]
