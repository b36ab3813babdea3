"""Fine-tuning that leaves the model in use as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Tuple

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.training.adapt import finetune

Run = Callable[..., Any]


def test_a_model_that_is_laid_aside_tells_how_far_it_is_and_changes_nothing(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "STEPS", 40)
    in_use = shelf.in_use
    figures = tmp_path / "figures.json"
    words = ("--labels", labels, "--bundle", base.path, "--aside", "--progress", "--json", figures)
    done = cosmo("finetune", *words)
    assert done.code == 0, done.err
    told = [json.loads(line) for line in done.out.splitlines()]
    assert {tuple(line) for line in told} == {("step", "share")}
    shares = [line["share"] for line in told]
    assert shares == sorted(shares)
    assert (len(set(shares)) > 3, shares[-1]) == (True, 1.0)
    assert {"measuring the gain", "learning from all labels"} <= {line["step"] for line in told}
    made = json.loads(figures.read_text())
    assert made["in_use"] is False
    assert shelf.in_use == in_use
    name = Path(made["bundle"]).name
    assert name in done.err
    assert cosmo("bundle", "use", name).code == 0
    assert shelf.in_use.name == name


@pytest.mark.parametrize("other", [("--out", "x"), ("--force",), ("--delete-after",)], ids=" ".join)
def test_laid_aside_goes_with_nothing_that_puts_it_elsewhere(
    cosmo: Run, base: Bundle, labels: Path, other: Tuple[str, ...]
) -> None:
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--aside", *other)
    assert (done.code, "--aside cannot be used with" in done.err) == (2, True)
    assert labels.exists()
