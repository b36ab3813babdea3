from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

from cosmo_runtime.models.bundle import Bundle, write_bundle
from cosmo_runtime.models.shelf import Shelf
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.runtime.engines.choose import open_engine
from cosmo_runtime.runtime.engines.onnxruntime import EngineError
from cosmo_runtime.runtime.recognition.follow import Follower
from cosmo_runtime.runtime.recognition.recognizer import Recognizer

Put = Callable[..., Bundle]

_IMU_ALONE = {"modalities": (ModalitySpec(sensor="imu", rate_hz=20, shape=(6,)),), "quality": (1.0,)}


@pytest.fixture
def put(shelf: Shelf, tiny_bundle: Bundle) -> Put:
    """Writes a bundle on the shelf, with changes to its spec."""

    def put(name: str, **changes: object) -> Bundle:
        spec = tiny_bundle.spec.model_copy(update=changes)
        onnx = tiny_bundle.onnx.read_bytes()
        return write_bundle(shelf.folder / name, spec, onnx=onnx, weights=b"", provenance={}, metrics={})

    return put


class _Following:
    """A follower at work, and the threads in which it opened engines."""

    def __init__(self, shelf: Shelf, running: Bundle, **options: Any) -> None:
        self.threads: List[threading.Thread] = []
        self.opened: List[str] = []
        self.follower = Follower(shelf, running, ["imu", "radar"], self._recognizer_of, **options)

    def _recognizer_of(self, bundle: Bundle) -> Recognizer:
        self.threads.append(threading.current_thread())
        recognizer = Recognizer(bundle, open_engine(bundle))
        self.opened.append(recognizer.name)
        return recognizer

    def taken(self, wait_s: float = 60.0) -> Optional[Recognizer]:
        """The next recognizer that is ready within a time."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            recognizer = self.follower.take()
            if recognizer:
                return recognizer
            time.sleep(0.02)
        return None


@contextmanager
def _follow(shelf: Shelf, running: Bundle, **options: Any) -> Iterator[_Following]:
    following = _Following(shelf, running, **options)
    with following.follower:
        yield following


def _wait_for(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def _warnings(caplog: pytest.LogCaptureFixture) -> List[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_is_put_in_use_is_made_ready_in_a_thread_of_its_own_and_taken_once(shelf: Shelf, put: Put) -> None:
    put("a")
    put("b")
    running = shelf.use("a")
    with _follow(shelf, running) as following:
        assert following.taken(0.6) is None
        shelf.use("b")
        recognizer = following.taken()
        assert recognizer and recognizer.name == "b"
        assert following.threads != [threading.current_thread()]
        assert following.taken(0.6) is None
        shelf.rollback()
        recognizer = following.taken()
        assert recognizer and recognizer.name == "a"
    assert not following.threads[0].is_alive()


def test_what_was_put_in_use_between_loading_and_following_is_not_missed(shelf: Shelf, put: Put) -> None:
    put("b")
    running = put("a")
    shelf.use("b")
    with _follow(shelf, running) as following:
        recognizer = following.taken()
        assert recognizer and recognizer.name == "b"


def test_of_two_changes_before_a_window_the_last_one_counts(shelf: Shelf, put: Put) -> None:
    put("b")
    put("c")
    with _follow(shelf, put("a")) as following:
        for name in "bc":
            shelf.use(name)
            _wait_for(lambda name=name: following.opened[-1:] == [name])  # type: ignore[misc]
        time.sleep(0.5)  # from there it is handed over
        recognizer = following.taken()
        assert recognizer and recognizer.name == "c"
        assert following.taken(0.5) is None


@pytest.mark.parametrize(
    "changes, options, why",
    [
        (_IMU_ALONE, {}, "b, which is in use now, knows no sensor radar; it knows imu"),
        ({"hop_s": 0.25}, {"same_windows_only": True}, "b, which is in use now, needs other windows"),
        ({"classes": ("walk",)}, {}, ".*/b: its model, .*, answers in the shapes"),
        ({"window_s": 2}, {}, ".*/b: its model does not run"),
    ],
)
def test_what_does_not_fit_is_refused_once_with_the_reason_and_the_next_one_is_taken(
    shelf: Shelf,
    put: Put,
    caplog: pytest.LogCaptureFixture,
    changes: Dict[str, object],
    options: Dict[str, object],
    why: str,
) -> None:
    put("b", **changes)
    running = put("a")
    with _follow(shelf, running, **options) as following:
        shelf.use("b")
        _wait_for(lambda: bool(_warnings(caplog)))  # a bundle that was never tried is tried in a process of its own
        assert following.taken(0.5) is None
        (warning,) = _warnings(caplog)
        assert re.match(f"a goes on: {why}", warning)
        put("c")
        shelf.use("c")
        recognizer = following.taken()
        assert recognizer and recognizer.name == "c"


def test_other_windows_are_taken_where_nothing_is_recorded(shelf: Shelf, put: Put, spec: ModelSpec) -> None:
    put("b", hop_s=0.25)
    with _follow(shelf, put("a")) as following:
        shelf.use("b")
        recognizer = following.taken()
        assert recognizer and recognizer.spec.hop_s == 0.25


def test_a_bundle_that_breaks_after_it_was_put_in_use_is_refused(
    shelf: Shelf, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = put("b")
    running = put("a")
    shelf.use("b")
    bundle.onnx.write_bytes(b"tampered")
    with _follow(shelf, running) as following:
        assert following.taken(0.6) is None
    (warning,) = _warnings(caplog)
    assert "a goes on:" in warning and "b/model.onnx is not the file" in warning


def test_an_engine_that_fails_leaves_the_running_one(shelf: Shelf, put: Put, caplog: pytest.LogCaptureFixture) -> None:
    put("b")

    def no_engine(_: Bundle) -> Recognizer:
        raise EngineError("no GPU")

    with Follower(shelf, put("a"), ["imu"], no_engine) as follower:
        shelf.use("b")
        _wait_for(lambda: bool(caplog.records))
        assert follower.take() is None
    assert _warnings(caplog) == ["a goes on: no GPU"]


def test_a_damaged_state_is_told_once_and_followed_again_when_it_is_mended(
    shelf: Shelf, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    put("b")
    with _follow(shelf, put("a")) as following:
        (shelf.folder / "in-use.json").write_text("{")
        assert following.taken(0.6) is None
        (warning,) = _warnings(caplog)
        assert "a goes on:" in warning and "in-use.json is damaged" in warning
        (shelf.folder / "in-use.json").unlink()
        shelf.use("b")
        while True:  # it may have seen the moment between the two
            recognizer = following.taken()
            assert recognizer
            if recognizer.name == "b":
                break
