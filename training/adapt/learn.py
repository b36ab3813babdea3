"""Learns a labelled session: measures what fine-tuning gains, fine-tunes on all labels, and writes the bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.prompt import Confirm

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.mixture import Mixture
from cosmo_runtime.runtime.labels.truth import Segment
from cosmo_runtime.training.adapt.base import Base, FinetuneError
from cosmo_runtime.training.adapt.finetune import FineTuned, fine_tune, windows_each
from cosmo_runtime.training.adapt.gain import Comparison, compare
from cosmo_runtime.training.adapt.session import Session, read_session
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.export import export
from cosmo_runtime.training.pretrained import PretrainedError
from cosmo_runtime.training.progress import bars

FAILURES = (FinetuneError, PretrainedError, DataSetError)
"""Errors that stop a session from being learned; their messages are for people."""

_KEEP_IT = "Stopped. Keep the model that was measured? It has learned without the last examples"


class Learned(NamedTuple):
    """The result of learning a session.

    Attributes:
        base: the base where training started.
        session: the labelled windows.
        model: the model after training.
        comparison: scores on the last examples, of a model that was trained without them.
        windows: (N,) mask of the windows that ``model`` was trained on.
    """

    base: Base
    session: Session
    model: FineTuned
    comparison: Comparison
    windows: np.ndarray

    @property
    def way(self) -> str:
        """What was done with how many examples, in words for people."""
        labels = self.session.windows.labels[self.windows]
        examples = len(np.unique(self.session.examples[self.windows]))
        each = f"{len(labels)} windows of {examples} examples (an activity has {windows_each(labels):g}, median)"
        if self.model.compares:
            way = f"Compares with the nearest of {each}; they were too few to train on"
        elif self.base.network is None:
            way = f"The whole model was trained, encoders and classifier in turns, on {each}"
        else:
            way = f"Fusion and classifier were trained on {each}; the encoders stay as they are"
        kept = isinstance(self.model.network.classifier, Mixture)
        return f"{way}. What they do not show is recognised as before" if kept else way


def learn(
    base: Base,
    labels: Mapping[Path, Sequence[Segment]],
    keep: Optional[Sequence[str]],
    seed: int,
    tell: Callable[[str, float], object] = lambda step, share: None,
) -> Learned:
    """Fine-tunes without the last examples to measure the gain, and then with all of them.

    Args:
        base: from ``load_base``.
        labels: the labels of each recording.
        keep: which of the base's activities the model keeps; all if None.
        seed: the seed of everything random.
        tell: called with the current step and the share of the whole that is done.

    Raises:
        FinetuneError, DataSetError: the session cannot teach it; see ``read_session``.
        KeyboardInterrupt: it was stopped; nothing is written.
    """
    session = read_session(base, labels, keep)
    labelled = session.windows.labels >= 0
    first, held_out = session.split()
    comparison: Optional[Comparison] = None
    try:
        with bars(Console(stderr=True)) as progress:
            total = int(first.sum() + labelled.sum())
            bar = progress.add_task("measuring the gain", total=total)

            def advance(windows: float) -> None:
                progress.advance(bar, windows)
                tell(str(progress.tasks[0].description), progress.tasks[0].completed / total)

            measured = fine_tune(base, session, first, seed, lambda done: advance(done * first.sum()))
            windows, standing = session.windows.where(held_out), session.windows.where(session.without_falls())
            comparison = compare(base, measured.spec, measured.network, windows, standing)
            progress.update(bar, description="learning from all labels")
            final = fine_tune(base, session, labelled, seed, lambda done: advance(done * labelled.sum()))
    except KeyboardInterrupt:
        if comparison and sys.stdin.isatty() and Confirm.ask(_KEEP_IT, console=Console(stderr=True)):
            return Learned(base, session, measured, comparison, first)
        raise
    return Learned(base, session, final, comparison, labelled)


def write(out: Path, learned: Learned, *, seed: int, command: str) -> Bundle:
    """Exports a bundle, verifies it in ONNX Runtime, and writes it whole or not at all.

    Args:
        out: the bundle's folder.
        learned: the model, and how it was trained.
        seed: the seed of the training.
        command: the command, for the bundle's record.

    Raises:
        BundleError: ``out`` holds something else.
        FinetuneError: the exported model's answers differ from the network's, or it cannot be written.
    """
    base, session, model, comparison, trained = learned
    name, before = base.path.resolve().name, base.provenance
    data = before.get("data", "data that is not recorded")
    examples = len(np.unique(session.examples[trained]))
    provenance = {
        **{key: before[key] for key in ("licence", "limits", "subjects") if key in before},
        "about": f"Knows one person in one room: made of {name}, with a session that the person labelled.",
        "data": f"{data if isinstance(data, str) else ', '.join(data)}; {examples} labelled examples of the person",
        "recordings": [*before.get("recordings", ()), *session.recordings],
        "command": command,
        "method": learned.way,
        "base": name,
        "seed": seed,
        "labelled_windows": int(trained.sum()),
        "torch": torch.__version__,
    }
    metrics = {"last examples": comparison.after, "activities": comparison.activities}
    if comparison.before:
        metrics = {"last examples, before": comparison.before, **metrics}
    try:
        return export(out, model.spec, model.network, memory=model.memory, provenance=provenance, metrics=metrics)
    except RuntimeError as error:
        raise FinetuneError(f"{error}; nothing was written, and {base.path} is unchanged") from error
    except OSError as error:
        raise FinetuneError(f"{out} cannot be written: {error.strerror}") from error
