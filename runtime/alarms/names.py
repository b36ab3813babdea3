"""Checks the activities that a configuration names against those that the model knows, to catch a ``fal``."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from typing import Iterable, List, Sequence

from cosmo_runtime.models.activity_names import folded
from cosmo_runtime.names import GAP, NOBODY, UNCERTAIN
from cosmo_runtime.runtime.config import Config
from cosmo_runtime.runtime.health.vitals import Trouble
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink

_log = logging.getLogger(__name__)


def unknown_names(config: Config, model: str, classes: Sequence[str]) -> List[Trouble]:
    """Finds names in ``[[alarms]]`` and ``[episodes]`` that a model never says.

    Args:
        config: the configuration.
        model: the model's name.
        classes: the activities that it knows.

    Returns:
        A trouble for each alarm and section. It is grave if an alarm can never be raised.
    """
    answers = [*classes, NOBODY, UNCERTAIN, GAP]
    troubles = []
    for rule in config.alarms:
        named = [rule.activity] if rule.activity is not None else rule.nothing_but or []
        unknown = _unknown(named, answers)
        if unknown:
            never = len(unknown) == len(named)
            what = f"alarm {rule.name}{' can never be raised' if never else ''}"
            troubles.append(Trouble(f"{what}: {_words(unknown, model, answers)}", never))
    unknown = _unknown(config.episodes.activities, [*classes, NOBODY])
    if unknown:
        troubles.append(Trouble(f"[episodes.activities]: {_words(unknown, model, [*classes, NOBODY])}", False))
    return troubles


class NameWatch(Sink):
    """Checks the configuration's names again whenever another model takes over.

    Args:
        config: the configuration.
        model: the name of the model that runs first.
        classes: the activities that it knows.

    Attributes:
        troubles: what is wrong with the present model.
    """

    def __init__(self, config: Config, model: str, classes: Sequence[str]) -> None:
        self._config = config
        self._model = ("", frozenset(classes))
        self.troubles: List[Trouble] = []
        self._check(model, classes)

    def outcome(self, outcome: Outcome) -> None:
        """Looks whether another model has answered."""
        prediction = outcome.prediction
        if (prediction.bundle, prediction.probabilities.keys()) != self._model:
            self._check(prediction.bundle, list(prediction.probabilities))

    def _check(self, model: str, classes: Sequence[str]) -> None:
        self._model = (model, frozenset(classes))
        self.troubles = unknown_names(self._config, model, classes)
        for trouble in self.troubles:
            _log.warning("%s", trouble.words)


def _unknown(named: Iterable[str], known: Sequence[str]) -> List[str]:
    same = {folded(name) for name in known}
    return [name for name in named if folded(name) not in same]


def _words(unknown: Sequence[str], model: str, known: Sequence[str]) -> str:
    meant = list(dict.fromkeys(filter(None, (_meant(name, known) for name in unknown))))
    perhaps = f"; did you mean {' and '.join(meant)}?" if meant else "."
    names = " and ".join(repr(name) for name in unknown)
    return f"the model {model} knows no {names}{perhaps} It knows {', '.join(known)}"


def _meant(name: str, known: Sequence[str]) -> str:
    """The likeliest known name, which shares words with it, or else letters; empty if none is alike."""
    alike = {folded(one): one for one in known}
    words = set(folded(name).split())
    sharing = [one for one in alike if words <= set(one.split()) or words >= set(one.split())]
    match = get_close_matches(folded(name), sharing or alike, n=1, cutoff=0.0 if sharing else 0.6)
    return alike[match[0]] if match else ""
