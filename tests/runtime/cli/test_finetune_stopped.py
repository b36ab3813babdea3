"""Fine-tuning that is stopped or killed leaves the old model in use."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from cosmo_runtime.models.bundle import Bundle, load_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.training.adapt import learn
from tests.runtime.cli.finetuning import COMMAND, ROOT, content

Run = Callable[..., Any]


@pytest.fixture
def stopped_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets a training, counted from 1, end with Ctrl-C."""
    fine_tune = learn.fine_tune

    def stop_in(number: int) -> None:
        calls: List[int] = []

        def interrupted(*words: Any) -> Any:
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return fine_tune(*words)

        monkeypatch.setattr(learn, "fine_tune", interrupted)

    yield stop_in


@pytest.mark.parametrize("training", [1, 2])
def test_ctrl_c_leaves_the_old_bundle_alone(
    cosmo: Run, base: Bundle, labels: Path, shelf: Shelf, stopped_in: Callable[[int], None], training: int
) -> None:
    stopped_in(training)
    in_use = shelf.in_use
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--delete-after")
    assert done.code == 1
    assert f"stopped: {base.path} is unchanged" in done.err
    assert shelf.in_use == in_use
    assert not shelf.folder.exists()
    assert labels.exists()


def test_ctrl_c_after_the_measurement_offers_what_was_measured(
    cosmo: Run,
    base: Bundle,
    labels: Path,
    shelf: Shelf,
    stopped_in: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    stopped_in(2)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("cosmo_runtime.training.adapt.learn.Confirm.ask", lambda *_, **__: True)
    done = cosmo("finetune", "--labels", labels, "--bundle", base.path, "--json", tmp_path / "figures.json")
    assert done.code == 0
    bundle = load_bundle(shelf.in_use)
    labelled = json.loads((tmp_path / "figures.json").read_text())["learned_windows"]
    assert bundle.provenance["labelled_windows"] == labelled
    assert bundle.provenance["data"].endswith("8 labelled examples of the person")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_at_any_moment_leaves_the_old_bundle_working(
    base: Bundle, labels: Path, shelf: Shelf, tmp_path: Path
) -> None:
    """Kills early and late, and at the moments when something is written."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    words = [*COMMAND, "--labels", str(labels), "--bundle", str(base.path)]
    before, shipped = content(base.path), shelf.in_use
    started = time.monotonic()
    subprocess.run(words, env=environment, check=True, capture_output=True)
    whole_s, first = time.monotonic() - started, shelf.in_use
    assert first != shipped
    moments = random.Random(0)
    for turn in range(14):
        shelf_before = set(shelf.folder.iterdir())
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if turn < 6:
            time.sleep(moments.uniform(0, whole_s))
        else:  # something has just appeared on the shelf
            while process.poll() is None and set(shelf.folder.iterdir()) == shelf_before:
                time.sleep(0.0005)
            time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert content(base.path) == before
        load_bundle(shelf.in_use)
        for shelved in shelf.bundles():
            assert shelved.bundle, shelved.damage
    subprocess.run(words, env=environment, check=True, capture_output=True)
    assert load_bundle(shelf.in_use).spec.classes == ("still", "slow", "fast", "shake")
