"""The page of the figures of everyday activities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from cosmo_runtime.tools import everyday

_PAGE = Path(everyday.__file__).parents[1] / "docs" / "benchmarks"


def test_the_page_is_made_of_its_figures() -> None:
    figures = json.loads((_PAGE / "everyday.json").read_text(encoding="utf-8"))
    assert everyday.page(figures) in (_PAGE / "everyday.md").read_text(encoding="utf-8")


def test_figures_of_several_seeds_are_means_with_their_range() -> None:
    assert everyday._mean([0.5, 0.7]) == "60.0% (50.0% to 70.0%)"
    assert everyday._mean([0.5]) == "50.0%"
