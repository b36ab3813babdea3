"""Passes a run's episodes to listeners: the log, alarms, a broker."""

from __future__ import annotations

from typing import List, Sequence

from cosmo_runtime.runtime.episodes.listener import Listener
from cosmo_runtime.runtime.episodes.rule import Episode, EpisodeRule, Observation
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, call_all
from cosmo_runtime.runtime.recognition.silence import Silence


class Episodes(Sink):
    """Turns predictions into episodes. A window stands for a hop around its midpoint.

    Args:
        rule: decides when an episode begins and ends.
        listeners: receive the episodes.
    """

    def __init__(self, rule: EpisodeRule, listeners: Sequence[Listener]) -> None:
        self._rule = rule
        self._listeners = listeners

    def outcome(self, outcome: Outcome) -> None:
        """Adds one prediction."""
        prediction = outcome.prediction
        sensors = tuple(name for name, state in outcome.sensors.items() if state == "ok")
        start_ns, end_ns = outcome.middle_ns - outcome.hop_ns // 2, outcome.middle_ns + outcome.hop_ns // 2
        self._tell(
            self._rule.feed(
                Observation(start_ns, end_ns, prediction.activity, prediction.confidence, sensors, prediction.bundle)
            )
        )

    def silence(self, silence: Silence) -> None:
        """Notes that there are no predictions."""
        self._tell(self._rule.silent(silence.at_ns, silence.reason))

    def close(self) -> None:
        """Ends the last episode."""
        for episode in self._rule.finish():
            call_all(self._listeners, "ended", episode)
        call_all(self._listeners, "close")

    def _tell(self, ended: List[Episode]) -> None:
        for episode in ended:
            call_all(self._listeners, "ended", episode)
        if self._rule.current:
            call_all(self._listeners, "now", self._rule.current)
