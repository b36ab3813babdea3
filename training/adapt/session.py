"""Turns a session's recordings into labelled windows for the model that learns from them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional, Sequence, Tuple

import numpy as np

from cosmo_runtime.models.activity_names import as_known, folded, is_fall
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NOBODY
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.training.adapt.base import Base, FinetuneError
from cosmo_runtime.training.datasets import recording
from cosmo_runtime.training.windows import UNLABELLED, Windows, without_absent

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """Labelled windows, and the example that each one belongs to.

    Attributes:
        spec: the new model's spec. Its classes are the base's retained activities in their order, then the new ones.
        windows: windows of all recordings. Those between the examples have no label.
        examples: (N,) the example of each window, as a row number of the labels; -1 for none.
        recordings: the start times of each recording and of its segments, which identify it, also when some are gone.
    """

    spec: ModelSpec
    windows: Windows
    examples: np.ndarray
    recordings: Sequence[str] = ()

    @property
    def activities(self) -> Dict[str, int]:
        """The class of each activity that has examples."""
        return {self.spec.classes[label]: int(label) for label in np.unique(self.windows.labelled.labels)}

    def split(self) -> Tuple[np.ndarray, np.ndarray]:
        """Splits the labelled windows into a training and a test set, as masks (N,).

        No moment is in both sets. Where examples touch, test windows that overlap training windows are left out. If
        that leaves an activity without test windows, the overlapping training windows are left out instead, as long as
        every activity keeps some.

        Raises:
            FinetuneError: there would be no test windows.
        """
        labels, held_out = self.windows.labels, self.last_examples()
        training = (labels != UNLABELLED) & ~held_out
        test = held_out & ~self._overlapping(training)
        for label in self.activities.values():
            last = held_out & (labels == label)
            others = training & ~self._overlapping(last)
            if not (test & last).any() and set(labels[others]) == set(labels[training]):
                training, test = others, test | last
        if not test.any():
            length = f"{self.spec.window_s:g} s"
            raise FinetuneError(
                "what is learned could not be measured, because all windows of the last examples overlap learned ones: "
                f"label longer stretches, or more of them, with {length} between"
            )
        return training, test

    def last_examples(self) -> np.ndarray:
        """Mask (N,) of the held-out windows: the last third (at least one) of each activity's examples in time."""
        held = np.zeros(len(self.examples), bool)
        for label in self.activities.values():
            examples = np.unique(self.examples[self.windows.labels == label])
            held |= np.isin(self.examples, examples[-max(1, len(examples) // 3) :])
        return held

    def without_falls(self) -> np.ndarray:
        """Mask (N,) of the windows of any sensor that show nothing of a labelled fall."""
        falls = [label for name, label in self.activities.items() if is_fall(name)]
        return ~self._overlapping(np.isin(self.windows.labels, falls)) & (self.windows.presence > 0).any(axis=1)

    def _overlapping(self, chosen: np.ndarray) -> np.ndarray:
        """Mask (N,) of the windows that overlap the chosen ones, including these."""
        near = chosen.copy()
        reach = -(-self.spec.window_ns // self.spec.hop_ns) - 1  # windows of a recording end at least one hop apart
        for step in range(1, min(reach, len(chosen) - 1) + 1):
            together = self.windows.recordings[step:] == self.windows.recordings[:-step]
            near[step:] |= chosen[:-step] & together
            near[:-step] |= chosen[step:] & together
        return near


def read_session(base: Base, labels: Mapping[Path, Sequence[Segment]], keep: Optional[Sequence[str]] = None) -> Session:
    """Cuts labelled recordings of one person into the windows of the base.

    Args:
        base: the base, which determines the windows.
        labels: the labels of each recording, from ``runtime.labels.table.read_labels``.
        keep: which of the base's activities the new model keeps; all if None.

    Raises:
        DataSetError: a recording is damaged or too short.
        FinetuneError: an activity has fewer than two examples that contain the middle of a window; there are none
            but of ``nobody``, which are left out; there would be only one activity; the base does not know an activity
            of ``keep``, or has no memory of it; or the base was trained on one of the recordings, so that before and
            after cannot be compared.
    """
    _refuse_known(base, labels)
    names = _as_in(base, (segment.activity for segments in labels.values() for segment in segments))
    rows = [
        (path, row._replace(activity=names[row.activity]))
        for path, rows in labels.items()
        for row in rows
        if folded(names[row.activity]) != NOBODY
    ]
    if not rows:
        raise FinetuneError(f"nothing is labelled but {NOBODY}, which a run tells by a rule: label activities, too")
    labelled = list(dict.fromkeys(segment.activity for _, segment in rows))
    retained = _retained(base, labelled, keep)
    classes = [*retained, *(name for name in labelled if name not in retained)]
    if len(classes) < 2:
        raise FinetuneError(f"the new model would know {classes[0]!r} alone: label another activity, or keep some")

    windows = _windows_by_example(base.spec, list(labels), rows)
    of_example = np.array([classes.index(segment.activity) for _, segment in rows] + [UNLABELLED])  # -1 is the last one
    session = Session(
        base.spec.model_copy(update={"classes": tuple(classes)}),
        replace(windows, labels=of_example[windows.labels]),
        windows.labels,
        [began for path in labels for began in _beginnings(path)],
    )
    _refuse_single_examples(session, labelled)
    if base.network is not None:
        return session
    spec, windows = without_absent(session.spec, session.windows)
    return replace(session, spec=spec, windows=windows)


def _refuse_known(base: Base, paths: Iterable[Path]) -> None:
    """Refuses recordings that have taught the base already."""
    for path in paths:
        if Recording(path).began in base.provenance.get("recordings", ()):
            raise FinetuneError(
                f"{base.path} has learned from {path.name} already; start from the model before it: "
                f"cosmo-runtime bundle rollback, or --bundle {base.provenance.get('base', 'PATH')}"
            )


def _windows_by_example(spec: ModelSpec, paths: Sequence[Path], rows: Sequence[Tuple[Path, Segment]]) -> Windows:
    """The windows of the recordings. The label of each is the number of the row whose example it shows."""
    numbered = spec.model_copy(update={"classes": tuple(map(str, range(len(rows))))})
    parts = []
    for path in paths:
        examples = [row._replace(activity=str(n)) for n, (of, row) in enumerate(rows) if of == path]
        parts.append(recording.windows(path, numbered, None, examples, group="one person"))
    return Windows.concatenate(parts)


def _refuse_single_examples(session: Session, labelled: Iterable[str]) -> None:
    """Refuses activities with fewer than two examples: one is learned from, another is held out."""
    for name in labelled:
        usable = np.unique(session.examples[session.windows.labels == session.spec.classes.index(name)])
        if len(usable) < 2:
            raise FinetuneError(
                f"{name!r}: {len(usable)} of its examples can be learned from, and two are needed. A window ends every "
                f"{session.spec.hop_s:g} s and is of the example that its middle lies in: label longer ones, or more"
            )


def _beginnings(path: Path) -> list[str]:
    return list(dict.fromkeys(Recording(part).began for part in (path, *segments_of(path))))


def _as_in(base: Base, names: Iterable[str]) -> Dict[str, str]:
    """Maps names to the base's activities, if a person would call them the same."""
    activities = {name: as_known(name, base.spec.classes) for name in names}
    for name, known in activities.items():
        if known != name:
            _log.warning("%r is taken for %r, which %s knows", name, known, base.path)
    return activities


def _retained(base: Base, labelled: Sequence[str], keep: Optional[Sequence[str]]) -> Sequence[str]:
    """The base's activities that the new model knows, in their order: those of ``keep``, and those with labels."""
    keep = keep if keep is None else [as_known(name, base.spec.classes) for name in keep]
    unknown = [name for name in keep or () if name not in base.spec.classes]
    if unknown:
        known = ", ".join(base.spec.classes) or "nothing: these are encoders alone"
        raise FinetuneError(f"{base.path} does not know {', '.join(unknown)}; it knows {known}")
    retained = [name for name in base.spec.classes if keep is None or name in keep or name in labelled]
    if base.memory is None and not set(retained) <= set(labelled):
        raise FinetuneError(
            f"{base.path} was written by an earlier version, which gave bundles no memory: it would forget the "
            f"activities that are not labelled. Label them, too, or give them up (--keep none), or train it again"
        )
    return retained
