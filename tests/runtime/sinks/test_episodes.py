from __future__ import annotations

from contextlib import suppress
from typing import List

from cosmo_runtime.runtime.episodes.listener import Listener
from cosmo_runtime.runtime.episodes.rule import Episode, EpisodeRule, Hold
from cosmo_runtime.runtime.recognition.loop import Outcome
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks.episodes import Episodes
from cosmo_runtime.runtime.windows.aligner import Window

_HOP = 10**9 // 2


class Notebook(Listener):
    def __init__(self) -> None:
        self.heard: List[Episode] = []
        self.at_present: List[str] = []
        self.closed = False

    def ended(self, episode: Episode) -> None:
        self.heard.append(episode)

    def now(self, episode: Episode) -> None:
        self.at_present.append(episode.activity)

    def close(self) -> None:
        self.closed = True


def _outcome(end_ns: int, activity: str, hop_ns: int = _HOP) -> Outcome:
    """A window of two seconds."""
    present = {"imu": True, "depth": False}
    prediction = Prediction("person", end_ns, activity, 0.9, {activity: 0.9}, {}, present, 1.0, 1.0)
    sensors = {"imu": "ok", "depth": "lost"}
    return Outcome(prediction, Window(end_ns, {}, present, end_ns), sensors, end_ns - 10**9, None, False, hop_ns)


def test_a_window_speaks_for_a_hop_about_its_middle() -> None:
    notebook = Notebook()
    sink = Episodes(EpisodeRule(lambda _: Hold(1, 1.5, 1), 3), [notebook])
    for step in range(10, 14):
        sink.outcome(_outcome(step * _HOP, "walk"))
    for step in range(14, 18):
        sink.outcome(_outcome(step * _HOP, "wave"))
    sink.silence(Silence(20 * 10**9, {}, "imu: lost"))
    sink.silence(Silence(30 * 10**9, {}, "imu: lost"))
    sink.close()
    assert [(e.activity, e.start_ns / 1e9, e.end_ns / 1e9, e.sensors) for e in notebook.heard] == [
        ("walk", 3.75, 5.75, ("imu",)),
        ("wave", 5.75, 7.75, ("imu",)),
        ("gap", 7.75, 30.0, ()),
    ]
    assert notebook.at_present[1:] == ["walk"] * 4 + ["wave"] * 3 + ["gap"] * 2
    assert notebook.closed


def test_a_listener_that_fails_silences_no_other() -> None:
    class Full(Notebook):
        def now(self, episode: Episode) -> None:
            raise PermissionError("the disk")

    notebook = Notebook()
    sink = Episodes(EpisodeRule(lambda _: Hold(1, 1.5, 1), 3), [Full(), notebook])
    for step in range(10, 14):
        with suppress(PermissionError):
            sink.outcome(_outcome(step * _HOP, "walk"))
    assert notebook.at_present[-1] == "walk"
    sink.close()
    assert notebook.closed


def test_windows_of_a_model_that_answers_more_seldom_stand_for_more_time() -> None:
    notebook = Notebook()
    sink = Episodes(EpisodeRule(lambda _: Hold(2, 1, 1), 3), [notebook])
    for step in range(10, 15):
        sink.outcome(_outcome(step * _HOP, "walk"))
    for step in range(1, 4):
        sink.outcome(_outcome(14 * _HOP + step * 2 * _HOP, "wave", 2 * _HOP))
    assert notebook.at_present[-3:] == ["walk", "wave", "wave"]  # the second makes 2 s of it
    sink.close()
