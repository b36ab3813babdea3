from __future__ import annotations

import argparse
import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List, Literal

import pytest

from cosmo_runtime.models.bundle import Bundle, write_bundle
from cosmo_runtime.models.shelf import SHIPPED_BUNDLE, SIMULATED_BUNDLE, Shelf
from cosmo_runtime.runtime.cli.common import chosen_bundle
from cosmo_runtime.runtime.config import load_config
from cosmo_runtime.runtime.engines.choose import BuiltEngine, Verification
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import RecordingWriter

Run = Callable[..., Any]


@pytest.fixture
def mine(shelf: Shelf, tiny_bundle: Bundle) -> Bundle:
    """A bundle on the shelf."""
    shares = {"train": 1.0, "held out": 0.875}
    scores = {part: {"windows": 8, "accuracy": share, "macro_f1": share} for part, share in shares.items()}
    return write_bundle(
        shelf.folder / "mine",
        tiny_bundle.spec,
        onnx=tiny_bundle.onnx.read_bytes(),
        weights=b"none",
        provenance={"data": ["monday.mcap", "tuesday.mcap"]},
        metrics={"seconds": 3, **scores},
    )


def _build(bundle: Bundle, precision: Literal["fp32", "fp16"], max_error: float) -> None:
    """Leaves the record of a TensorRT engine."""
    figures = Verification(
        windows=9, max_error=max_error, tolerance=0.01, top1_differs=0, latency_ms=1, cpu_latency_ms=2
    )
    record = BuiltEngine(
        engine="tensorrt",
        precision=precision,
        version="8.2.1.8",
        gpu="a GPU",
        model="",
        plan=None,
        verification=figures,
    )
    bundle.engines.mkdir(exist_ok=True)
    (bundle.engines / f"{precision}.json").write_text(record.model_dump_json())


def _listed(cosmo: Run) -> Dict[str, Any]:
    listing = json.loads(cosmo("bundle", "list", "--json").out)
    return {bundle["name"]: bundle for bundle in listing["bundles"]}


def test_the_table_tells_what_each_bundle_is(cosmo: Run, mine: Bundle) -> None:
    _build(mine, "fp16", max_error=0.001)
    _build(mine, "fp32", max_error=0.9)
    done = cosmo("bundle", "list")
    assert done.code == 0
    _, shipped, own, engine, simulated = done.out.splitlines()
    assert engine.split() == ["tensorrt", "fp16"]  # the other one was refused
    for words in ("mine", " 3 ", "monday.mcap, tuesday.mcap", "87.5% held out", " MB", "onnxruntime"):
        assert words in own
    assert "100.0%" not in own  # of what it was trained on
    for words in ("●", "everyday", "UTD-MHAD", "shipped"):
        assert words in shipped
    for words in ("person", "simulated people", "shipped"):
        assert words in simulated
    assert "●" not in own


_LONG = "living-room-with-balcony-2026-11-24-1"


def _table_on_a_terminal(columns: int) -> List[str]:
    """The lines of ``bundle list`` on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "cosmo_runtime.runtime.cli", "bundle", "list"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
    process = subprocess.Popen(words, stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while True:
            shown += os.read(ours, 65536)
    os.close(ours)
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[\d;]*m", "", shown.decode()).splitlines()


@pytest.fixture
def long_name(shelf: Shelf, mine: Bundle) -> str:
    """A bundle in use whose name takes half of a usual terminal."""
    mine.path.rename(shelf.folder / _LONG)
    shelf.use(_LONG)
    return _LONG


@pytest.mark.parametrize("columns", [124, 80, 60, 40])
def test_a_terminal_shows_a_line_a_bundle_and_the_columns_that_fit(long_name: str, columns: int) -> None:
    table = _table_on_a_terminal(columns)
    heading, shipped, own, simulated = table
    assert own.split()[:2] == ["●", long_name]
    assert (shipped.split()[0], simulated.split()[0]) == ("everyday", "person")
    fits = {124: "learned from", 80: "accuracy", 60: "activities", 40: "bundle"}[columns]
    assert heading.rstrip().endswith(fits)
    assert max(len(line) for line in table) <= max(columns, len(long_name) + 5)
    if columns == 124:
        assert "…" in own


def test_a_pipe_gets_all_of_it_whatever_the_width(cosmo: Run, long_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    own = cosmo("bundle", "list").out.splitlines()[2]
    assert own.split()[:2] == ["●", long_name]
    assert own.rstrip().endswith("monday.mcap, tuesday.mcap")


def test_machines_are_told_more(cosmo: Run, mine: Bundle, shelf: Shelf) -> None:
    _build(mine, "fp16", max_error=0.001)
    listing = json.loads(cosmo("bundle", "list", "--json").out)
    assert (listing["folder"], listing["in_use"]) == (str(shelf.folder), "everyday")
    shipped, own, _ = listing["bundles"]
    assert own == {
        "name": "mine",
        "path": str(mine.path),
        "shipped": False,
        "in_use": False,
        "made": own["made"],
        "bytes": sum(file.stat().st_size for file in mine.path.rglob("*.*")),
        "engines": [{"engine": "tensorrt", "precision": "fp16", "version": "8.2.1.8", "gpu": "a GPU"}],
        "damage": None,
        "classes": ["walk", "wave", "none"],
        "sensors": ["imu", "depth", "radar"],
        "data": "monday.mcap, tuesday.mcap",
        "accuracy": {"train": 1.0, "held out": 0.875},
    }
    assert own["made"][:2] == "20"
    assert (shipped["path"], shipped["in_use"], shipped["made"]) == (str(SHIPPED_BUNDLE), True, None)


def test_use_and_rollback_change_what_is_in_use_and_say_so(cosmo: Run, mine: Bundle) -> None:
    done = cosmo("bundle", "use", "mine")
    assert (done.code, done.err) == (0, "in use: mine, 3 activities from imu, depth, radar\n")
    assert _listed(cosmo)["mine"]["in_use"]
    done = cosmo("bundle", "rollback")
    assert (done.code, done.err[:16]) == (0, "in use: everyday")
    assert not _listed(cosmo)["mine"]["in_use"]
    done = cosmo("bundle", "rollback")
    assert (done.code, "is the first model" in done.err) == (1, True)


def test_a_damaged_bundle_is_shown_but_not_used(cosmo: Run, mine: Bundle) -> None:
    mine.onnx.write_bytes(b"tampered")
    done = cosmo("bundle", "list")
    assert "damaged" in next(line for line in done.out.splitlines() if "mine" in line)
    assert "mine is damaged:" in done.err
    assert "model.onnx is not the file" in done.err
    assert "model.onnx is not the file" in _listed(cosmo)["mine"]["damage"]
    done = cosmo("bundle", "use", "mine")
    assert (done.code, "model.onnx is not the file" in done.err) == (1, True)


def test_one_that_hides_a_shipped_one_is_told(cosmo: Run, mine: Bundle, shelf: Shelf) -> None:
    assert "hides" not in cosmo("bundle", "list").err
    mine.path.rename(shelf.folder / "everyday")
    done = cosmo("bundle", "list")
    assert f"everyday is the one in {shelf.folder}/everyday. It hides the shipped one" in " ".join(done.err.split())
    assert _listed(cosmo)["everyday"]["in_use"]


def test_wrong_words_are_explained(cosmo: Run) -> None:
    assert cosmo("bundle").code == cosmo("bundle", "use").code == cosmo("bundle", "lose").code == 2
    done = cosmo("bundle", "use", "yours")
    assert (done.code, done.err) == (1, "cosmo-runtime: no bundle is called yours; there are: everyday, person\n")


def test_what_is_in_use_recognises_unless_another_is_asked_for(
    cosmo: Run, mine: Bundle, tiny_bundle: Bundle, tmp_path: Path, infos: Dict, samples: Callable
) -> None:
    with RecordingWriter(tmp_path / "run.mcap", {"imu": infos["imu"]}) as writer:
        for sample in samples("imu", 0, 3.2):
            assert isinstance(sample, Sample)
            writer.write(sample)
    config = tmp_path / "cosmo.toml"
    config.write_text(f'[recognition]\nbundle = "{tiny_bundle.path}"\n')
    cosmo("bundle", "use", "mine")

    def answers(*words: object) -> str:
        done = cosmo("--sensors", "imu", "--replay", tmp_path / "run.mcap", "--speed", "max", *words)
        assert done.code == 0
        (name,) = {json.loads(line)["bundle"] for line in done.out.splitlines()}
        return name

    assert answers() == "mine"
    assert answers("--config", config) == "tiny"
    assert answers("--bundle", SHIPPED_BUNDLE) == "everyday"
    cosmo("bundle", "rollback")
    assert answers() == "everyday"


@pytest.mark.slow
def test_the_simulated_person_is_recognised_by_the_model_that_knows_it_unless_another_is_chosen(
    cosmo: Run, mine: Bundle
) -> None:
    def answers() -> str:
        done = cosmo("--sensors", "imu", "--emulate", "person", "--duration", 3, "--output", "-")
        assert done.code == 0, done.err
        (name,) = {json.loads(line)["bundle"] for line in done.out.splitlines()}
        return name

    assert answers() == "person"
    cosmo("bundle", "use", "mine")
    assert answers() == "mine"


def test_a_bundle_in_use_that_is_gone_is_told_of_everywhere(cosmo: Run, mine: Bundle, tmp_path: Path) -> None:
    cosmo("bundle", "use", "mine")
    mine.path.rename(tmp_path / "elsewhere")
    for words in (["--sensors", "imu", "--emulate", "person"], ["doctor"]):
        done = cosmo(*words)
        assert (done.code, "mine is in use but does not exist. Choose another" in done.err) == (1, True)
    done = cosmo("bundle", "list")
    assert (done.code, "mine is in use but does not exist" in done.err) == (0, True)
    assert cosmo("bundle", "rollback").code == 0


def test_the_configuration_names_a_model_or_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cosmo.toml").write_text('[recognition]\nbundle = "person"\n')

    def chosen(config: str) -> Path:
        return chosen_bundle(argparse.Namespace(bundle=None), load_config(Path(config)))

    assert chosen("cosmo.toml") == SIMULATED_BUNDLE
    (tmp_path / "person").mkdir()
    assert chosen("cosmo.toml") == chosen(f"{tmp_path}/cosmo.toml") == tmp_path / "person"
