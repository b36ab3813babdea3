from __future__ import annotations

import logging
from pathlib import Path
from typing import Iterator, List

import pytest

from cosmo_runtime.models.bundle import Bundle, write_bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.episodes.entries import entries
from tests.containers import Container, containers, grown

home_memory = pytest.importorskip("cosmo_runtime.tools.home_memory", reason="the page is not installed")

_TINY_ONNX = Path(__file__).parents[1] / "runtime" / "tiny.onnx"
_MINUTE_MS = 60_000
_WAVING = {"name": "waving", "activity": "wave", "held_s": 3, "clip": True}
_STILL = {"name": "still", "activity": "nobody", "held_s": 3, "clip": True, "until": "over"}


@pytest.fixture
def bundle(tiny_spec: ModelSpec, tmp_path: Path) -> Bundle:
    onnx = _TINY_ONNX.read_bytes()
    return write_bundle(tmp_path / "tiny", tiny_spec, onnx=onnx, weights=b"none", provenance={}, metrics={})


@pytest.fixture
def no_log() -> Iterator[None]:
    """Lets pytest not keep what is logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
def test_nothing_that_lives_as_long_as_a_run_keeps_a_piece_of_all_that_happens(
    tmp_path: Path, bundle: Bundle, no_log: None
) -> None:
    before: List[Container] = []
    found: List[str] = []

    def look(at_ms: int) -> bool:
        if at_ms == 4 * _MINUTE_MS:  # what is kept for two minutes is there
            before.extend(containers())
        if at_ms == 8 * _MINUTE_MS:
            found.extend(grown(before, by=5))
        return at_ms < 8 * _MINUTE_MS

    (tmp_path / "box").mkdir()
    home = home_memory.MadeUpHome(tmp_path / "box", bundle, [_WAVING, _STILL], segment_s=60)
    home.live(look)
    assert "\n".join(found) == ""
    kinds = [entry["kind"] for entry in entries(tmp_path / "box" / "home" / "episodes")]
    assert kinds.count("episode") > 12 and kinds.count("alarm") > 16  # so that there was much to keep
    assert len(list((tmp_path / "box" / "home" / "clips").iterdir())) > 8
    assert home.vitals.windows["answered"] > 900
    assert not home.vitals.troubles()


def test_growth_is_that_after_the_first_hour() -> None:
    course = [
        {"hours": tenth / 10, "anonymous_mb": 50 + max(0, tenth - 10) / 5, "files_mb": 9.0, "objects": 7.0}
        for tenth in range(31)
    ]
    figures = home_memory.growth(course)
    assert figures["anonymous_mb_an_hour"] == pytest.approx(2, abs=0.01)
    assert (figures["files_mb_an_hour"], figures["objects_an_hour"], figures["hours"]) == (0, 0, 3)
    assert home_memory.growth(course[:12]) == {}
