"""A model for one person and one room: stage 2 from a labelled session, from where an earlier model stands.

From a bundle only fusion and classifier go on learning: its encoders stay as they are, so each window is embedded once,
in some augmented copies, and what the bundle remembers of its other activities (``training.memory``) is learned again
beside the session. From encoders of stage 1 alone, both learn in turns, as in ``training.finetune``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, cast

import numpy as np
import torch
from rich.progress import Progress

from models.bundle import Bundle, load_bundle
from models.networks import CosmoNetwork, Encoders, FusionClassifier, load_network
from models.spec import ModelSpec
from runtime.truth import Segment
from sensors.recording import Recording
from training.augment import OF_A_MOMENT, augment
from training.cosmo import Cosmo
from training.datasets import recording
from training.datasets.store import DataSetError
from training.evaluate import predict, scores
from training.export import export
from training.finetune import finetune_classifier, freeze
from training.memory import Memory, recall, remember
from training.methods import Budget
from training.pretrained import MANIFEST as ENCODERS
from training.pretrained import PretrainedError, load_pretrained
from training.windows import UNLABELLED, Windows, without_absent

# Chosen with people, real and simulated, who appear in no result.
COPIES, STEPS = 8, 800
TURN_EPOCHS, TURN_STEPS, TURN_BATCH = 20, 120, 32  # at least so many epochs, and minibatches, of each part

Advance = Callable[[float], None]
"""Told how much of a training has been done since it was last called; all of it adds up to 1."""


class PersonaliseError(Exception):
    """A base or a session that nothing can be learned from; the message names it and what to do."""


FAILURES = (PersonaliseError, PretrainedError, DataSetError)
"""What keeps a session from being learned, with a message for people."""


class Base(NamedTuple):
    """Where learning starts.

    Attributes:
        path: of a bundle, or of encoders.
        spec: its classes are what the base knows; none where there are encoders alone.
        encoders: after stage 1 or 2.
        network: of a bundle, ``encoders`` included; None where there are encoders alone.
        memory: of a bundle; None where it was written without.
        provenance: how it came to be.
    """

    path: Path
    spec: ModelSpec
    encoders: Encoders
    network: Optional[CosmoNetwork]
    memory: Optional[Memory]
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Session:
    """Labelled windows, and which example each is of.

    Attributes:
        spec: of the new model: the activities that it keeps, in their order, then the new ones.
        windows: of all recordings; those between the examples have no label.
        examples: (N,) the number of the example, a row of the labels, that a window is of; -1 for none.
        recordings: when each began, by which a recording is known again.
    """

    spec: ModelSpec
    windows: Windows
    examples: np.ndarray
    recordings: Sequence[str] = ()

    @property
    def shown(self) -> Dict[str, int]:
        """The activities that have examples, with their class."""
        return {self.spec.classes[label]: int(label) for label in np.unique(self.windows.labelled.labels)}

    def last_examples(self) -> np.ndarray:
        """Mask (N,) of windows to hold out: of the last third of each activity's examples in time, at least one."""
        held = np.zeros(len(self.examples), bool)
        for label in self.shown.values():
            examples = np.unique(self.examples[self.windows.labels == label])
            held |= np.isin(self.examples, examples[-max(1, len(examples) // 3) :])
        return held


class Taught(NamedTuple):
    """A model that has learned from a session, and what it shall remember."""

    spec: ModelSpec
    network: CosmoNetwork
    memory: Memory


class Comparison(NamedTuple):
    """How good base and new model are on windows that neither has learned from.

    Attributes:
        before: ``training.evaluate.scores`` of the base; None where there are encoders alone.
        after: of the new model.
        activities: by name, ``windows`` and the share of them recognised ``before`` and ``after``.
    """

    before: Optional[Dict[str, float]]
    after: Dict[str, float]
    activities: Dict[str, Dict[str, Optional[float]]]

    @property
    def pays(self) -> bool:
        """Whether the new model recognises something, and no less than the base."""
        return self.after["accuracy"] > 0 and (not self.before or self.after["accuracy"] >= self.before["accuracy"])


class Lesson(NamedTuple):
    """What came of a session.

    Attributes:
        taught: the model.
        comparison: of a model that did not learn from the last examples, on these.
        learned: (N,) mask of the windows whose labels were learned.
    """

    taught: Taught
    comparison: Comparison
    learned: np.ndarray


def load_base(path: Path) -> Base:
    """Read a bundle, or encoders of ``cosmo-runtime pretrain``.

    Raises:
        BundleError, PretrainedError: it is neither, damaged, or of another version.
    """
    if (path / ENCODERS).is_file():
        start = load_pretrained(path)
        spec = start.spec.model_copy(update={"classes": ()})
        return Base(path, spec, start.encoders, None, None, start.provenance)
    bundle = load_bundle(path)
    network = load_network(bundle)
    return Base(path, bundle.spec, network.encoders, network, recall(bundle), bundle.provenance)


def read_session(base: Base, labels: Mapping[Path, Sequence[Segment]], keep: Optional[Sequence[str]] = None) -> Session:
    """Cut labelled recordings of one person into the base's windows.

    Args:
        base: gives the windows their form.
        labels: of each recording, as ``runtime.session.read_labels`` gives them.
        keep: which of the activities that the base knows the new model keeps; all when None.

    Raises:
        DataSetError: a recording is damaged or too short.
        PersonaliseError: an activity has fewer than two examples that hold the middle of a window; there would be but
            one activity; one shall be kept that the base does not know, or has no memory of; the base has learned from
            a recording already, so that before and after could not be compared.
    """
    recordings = [_began(path) for path in labels]
    for path, began in zip(labels, recordings):
        if began in base.provenance.get("recordings", ()):
            raise PersonaliseError(
                f"{base.path} has learned from {path.name} already; start from the model before it: "
                f"cosmo-runtime bundle rollback, or --bundle {base.provenance.get('base', 'PATH')}"
            )
    rows = [(path, segment) for path, segments in labels.items() for segment in segments]
    shown = list(dict.fromkeys(segment.activity for _, segment in rows))
    kept = _kept(base, shown, keep)
    classes = [*kept, *(name for name in shown if name not in kept)]
    if len(classes) < 2:
        raise PersonaliseError(f"the new model would know {classes[0]!r} alone: label another activity, or keep some")

    # Each example is a class of its own while windows are cut, so that it is known which one a window is of.
    numbered = base.spec.model_copy(update={"classes": tuple(map(str, range(len(rows))))})
    parts = []
    for path in labels:
        examples = [row._replace(activity=str(n)) for n, (of, row) in enumerate(rows) if of == path]
        parts.append(recording.windows(path, numbered, None, examples, group="one person"))
    windows = Windows.concatenate(parts)
    of_example = np.array([classes.index(segment.activity) for _, segment in rows] + [UNLABELLED])  # -1 is the last
    session = Session(
        base.spec.model_copy(update={"classes": tuple(classes)}),
        replace(windows, labels=of_example[windows.labels]),
        windows.labels,
        recordings,
    )
    for name in shown:
        usable = np.unique(session.examples[session.windows.labels == classes.index(name)])
        if len(usable) < 2:
            raise PersonaliseError(
                f"{name!r}: {len(usable)} of its examples can be learned from, and two are needed. A window ends every "
                f"{base.spec.hop_s:g} s and is of the example that its middle lies in: label longer ones, or more"
            )
    if base.network is not None:
        return session
    spec, windows = without_absent(session.spec, session.windows)
    return replace(session, spec=spec, windows=windows)


def teach(base: Base, session: Session, chosen: np.ndarray, seed: int, advance: Advance) -> Taught:
    """Train a model that goes on from the base, which is left as it is.

    Args:
        base: where learning starts.
        session: what is learned.
        chosen: (N,) mask of the windows whose labels are learned.
        seed: of everything random.
        advance: told how far it is.
    """
    torch.set_num_threads(1)  # networks this small gain nothing from more, and lose much beside a live recognition
    windows = session.windows.labelled_only_where(chosen)
    if base.network is None:
        return _teach_in_turns(base, session.spec, windows, seed, advance)
    labelled = windows.labelled
    torch.manual_seed(seed)
    network = CosmoNetwork(session.spec, base.network.fusion)
    network.encoders.load_state_dict(base.encoders.state_dict())
    _take_over(network.classifier, session.spec.classes, base.network.classifier, base.spec.classes)
    freeze(network.encoders)

    learned = _embed_augmented(network.encoders, labelled, seed, lambda: advance(0.5 / COPIES))
    share = torch.ones(len(learned.labels))
    memory = remember(network.encoders, labelled, seed)
    if base.memory:
        others = base.memory.relabelled(
            base.spec.classes, ["" if name in session.shown else name for name in session.spec.classes]
        )
        # Each of them is met as often as an activity of the session is on average.
        alike = len(learned.labels) / len(session.shown) / torch.bincount(others.labels)[others.labels]
        learned, share, memory = learned.and_also(others), torch.cat([share, alike]), memory.and_also(others)
    finetune_classifier(
        network.classifier, *learned, share, steps=STEPS, seed=seed, on_step=lambda: advance(0.5 / STEPS)
    )
    return Taught(session.spec, network, memory)


def compare(base: Base, taught: Taught, windows: Windows) -> Comparison:
    """Measure both on labelled windows of the session."""
    classes = taught.spec.classes
    probabilities = {"after": predict(taught.network, windows)}
    if base.network is not None:
        known = predict(base.network, windows)
        probabilities["before"] = np.zeros((len(windows), len(classes) + 1))  # the last for all that is not kept
        for name, column in zip(base.spec.classes, known.T):
            probabilities["before"][:, classes.index(name) if name in classes else -1] += column
    activities = {}
    for label in np.unique(windows.labels):
        of_it = windows.labels == label
        recognised = {when: float((p[of_it].argmax(1) == label).mean()) for when, p in probabilities.items()}
        activities[classes[label]] = {"windows": int(of_it.sum()), "before": None, **recognised}
    figures = {when: {"windows": len(windows), **scores(windows.labels, p)} for when, p in probabilities.items()}
    return Comparison(figures.get("before"), figures["after"], activities)


def write(out: Path, base: Base, session: Session, lesson: Lesson, *, seed: int, command: str) -> Bundle:
    """Export what was taught as a bundle, verified in ONNX Runtime before it is written, whole or not at all.

    Args:
        out: the bundle's folder.
        base: where learning started.
        session: what was learned.
        lesson: what came of it.
        seed: that it was learned with.
        command: for the bundle's record.

    Raises:
        BundleError: ``out`` is in the way.
        PersonaliseError: the exported model answers otherwise than the network, or cannot be written.
    """
    name, told = base.path.resolve().name, base.provenance
    data = told.get("data", "data that is not recorded")
    examples = len(np.unique(session.examples[lesson.learned]))
    provenance = {
        **{key: told[key] for key in ("licence", "limits") if key in told},
        "about": f"Knows one person in one room: made of {name}, with a session that the person labelled.",
        "data": f"{data if isinstance(data, str) else ', '.join(data)}; {examples} labelled examples of the person",
        "recordings": [*told.get("recordings", ()), *session.recordings],
        "command": command,
        "method": "Cosmo: stage 2 from encoders of stage 1"
        if base.network is None
        else "Cosmo: stage 2 of fusion and classifier, on encoders that stay as they are",
        "base": name,
        "seed": seed,
        "labelled_windows": int(lesson.learned.sum()),
        "torch": torch.__version__,
    }
    comparison, taught = lesson.comparison, lesson.taught
    before = {"last examples, before": comparison.before} if comparison.before else {}
    metrics = {**before, "last examples": comparison.after, "activities": comparison.activities}
    try:
        return export(out, taught.spec, taught.network, memory=taught.memory, provenance=provenance, metrics=metrics)
    except RuntimeError as error:
        raise PersonaliseError(f"{error}; nothing was written, and {base.path} is as it was") from error
    except OSError as error:
        raise PersonaliseError(f"{out} cannot be written: {error.strerror}") from error


def _began(path: Path) -> str:
    recording = Recording(path)
    return datetime.fromtimestamp((recording.start_ns + recording.wall_offset_ns) / 1e9, timezone.utc).isoformat()


def _kept(base: Base, shown: Sequence[str], keep: Optional[Sequence[str]]) -> Sequence[str]:
    """The activities of the base that the new model knows, in their order: those to be kept, and those shown anew."""
    unknown = [name for name in keep or () if name not in base.spec.classes]
    if unknown:
        known = ", ".join(base.spec.classes) or "nothing: these are encoders alone"
        raise PersonaliseError(f"{base.path} does not know {', '.join(unknown)}; it knows {known}")
    kept = [name for name in base.spec.classes if keep is None or name in keep or name in shown]
    if base.memory is None and not set(kept) <= set(shown):
        raise PersonaliseError(
            f"{base.path} was written by an earlier version, which gave bundles no memory: it would forget the "
            f"activities that are not labelled. Label them, too, or give them up (--keep none), or train it anew"
        )
    return kept


def _take_over(
    classifier: FusionClassifier, classes: Sequence[str], known: FusionClassifier, known_classes: Sequence[str]
) -> None:
    """Give a classifier what another one knows; activities that it does not know stay at random."""
    state, learned = classifier.state_dict(), known.state_dict()
    last = f"classify.{len(classifier.classify) - 1}."
    for name, value in state.items():
        if not name.startswith(last):
            value.copy_(learned[name])
            continue
        for row, activity in enumerate(classes):
            if activity in known_classes:
                value[row] = learned[name][known_classes.index(activity)]


@torch.no_grad()
def _embed_augmented(encoders: Encoders, windows: Windows, seed: int, copy_done: Callable[[], None]) -> Memory:
    """Embeddings of the windows as they are, and of ``COPIES - 1`` augmented copies of each."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for number in range(COPIES):
        for features, presence, labels in windows.batches(64):
            z = encoders(augment(features, generator, OF_A_MOMENT) if number else features)
            parts.append(Memory(z, presence, labels))
        copy_done()
    return Memory(*(torch.cat(columns) for columns in zip(*parts)))


def _teach_in_turns(base: Base, spec: ModelSpec, windows: Windows, seed: int, advance: Advance) -> Taught:
    """Stage 2 as in the paper, from encoders of stage 1."""
    encoders = Encoders(spec)
    encoders.load_state_dict({name: base.encoders.state_dict()[name] for name in encoders.state_dict()})
    minibatches = -(-len(windows.labelled) // TURN_BATCH)
    rounds = max(TURN_EPOCHS, TURN_STEPS // minibatches) // Cosmo.turn
    budget = Budget(pretrain_epochs=0, epochs=rounds * Cosmo.turn, batch=TURN_BATCH)
    cosmo = Cosmo(warp=OF_A_MOMENT, watch=lambda epoch: advance(1 / (2 * budget.epochs)))
    trained = cosmo.train(spec, windows, budget, seed, Progress(disable=True), encoders)
    network = cast(CosmoNetwork, trained.network)
    return Taught(trained.spec, network, remember(network.encoders, windows.labelled, seed))
