"""Fine-tunes a model for one person and one room: stage 2 of Cosmo on a labelled session.

From a bundle, only fusion and classifier are trained. The encoders are frozen, so each window is embedded once,
together with a few augmented copies. Training also uses the bundle's rehearsal memory (``training.adapt.memory``), so
that the other activities are not forgotten. From encoders of stage 1 only, encoders and classifier are trained in
turns, as in ``training.cosmo.stage2``.

If a session has only a few windows of activities that are mostly new to a bundle, nothing is trained. Later windows are
compared with these instead (``training.adapt.nearest``).

A bundle's other activities are still recognised by the bundle's own classifier (``models.mixture``), so that what a
session did not show, such as a fall, is not called more often than before.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import numpy as np
import torch
from rich.progress import Progress

from cosmo_runtime.models.nearest import NearestExamples
from cosmo_runtime.models.networks import CosmoNetwork, Encoders, FusionClassifier
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.adapt.base import Base
from cosmo_runtime.training.adapt.beside import keep_beside, read_as_before, tempered
from cosmo_runtime.training.adapt.memory import Memory, build_memory
from cosmo_runtime.training.adapt.nearest import nearest_examples, temperature
from cosmo_runtime.training.adapt.session import Session
from cosmo_runtime.training.augment import OF_A_MOMENT, augment
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.cosmo.stage2 import embed, finetune_classifier, freeze
from cosmo_runtime.training.methods import Budget, Lesson
from cosmo_runtime.training.windows import UNLABELLED, Windows

# Chosen with people, real and simulated, who appear in no result.
COPIES, STEPS = 8, 800
TURN_EPOCHS, TURN_STEPS, TURN_BATCH = 20, 120, 32  # at least this many epochs and minibatches for each part
FEW = 8  # up to this many windows per activity, comparing recognises more than training

Advance = Callable[[float], None]
"""Called with the share of the training that was done since the last call. The shares sum to 1."""


class FineTuned(NamedTuple):
    """A model that was fine-tuned on a session, and its rehearsal memory."""

    spec: ModelSpec
    network: CosmoNetwork
    memory: Memory

    @property
    def compares(self) -> bool:
        """Whether it compares windows with examples, and was not trained."""
        return isinstance(self.network.latest, NearestExamples)


def fine_tune(base: Base, session: Session, chosen: np.ndarray, seed: int, advance: Advance) -> FineTuned:
    """Fine-tunes a copy of the base on a session, in the way that is best for the session's number of labels.

    Args:
        base: the base, where training starts. It is not changed.
        session: the labelled windows.
        chosen: (N,) mask of the windows to train on.
        seed: the seed of everything random.
        advance: called with the share of the training that was done since the last call.
    """
    if not too_few(base, session):
        return train(base, session, chosen, seed, advance)
    model = remember(base, session, chosen, seed)
    advance(1.0)
    return model


def too_few(base: Base, session: Session) -> bool:
    """Whether a session has too few windows per activity (by their median) to train on.

    This can only be so for a bundle that knows less than half of the activities. If it knows more, its classifier is
    the better start. If the base is encoders only, they are trained too, and gain from two windows on. All labels
    count, so that the measured model and the final one are made in the same way.
    """
    known = sum(name in base.spec.classes for name in session.spec.classes)
    mostly_new = base.network is not None and 2 * known < len(session.spec.classes)
    return mostly_new and windows_each(session.windows.labels) <= FEW


def windows_each(labels: np.ndarray) -> float:
    """The median number of windows per activity, over activities that have any."""
    each = np.bincount(labels[labels != UNLABELLED])
    return float(np.median(each[each > 0]))


def remember(base: Base, session: Session, chosen: np.ndarray, seed: int) -> FineTuned:
    """Stores the chosen windows and the base's memory of other activities, to compare later windows with them."""
    torch.set_num_threads(1)
    sensors = len(session.spec.modalities)
    spec = tempered(session.spec, temperature(windows_each(session.windows.labels[chosen])))
    spec = spec.model_copy(update={"quality": (1 / sensors,) * sensors})
    encoders = _encoders_for(base, spec)
    z, presence, labels = embed(encoders, session.windows)
    known = Memory(z, presence, labels).where(torch.from_numpy(chosen))
    memory = build_memory(encoders, session.windows.labelled_only_where(chosen).labelled, seed)
    if base.memory:
        others = remembered(base.memory, base, session)
        known, memory = known.concatenate(others), memory.concatenate(others)
    network = CosmoNetwork(spec, examples=len(known.labels))
    network.encoders, network.classifier = encoders, nearest_examples(known, len(spec.classes), z, presence)
    freeze(network)
    return FineTuned(keep_beside(base, session, spec, network), network, memory)


def train(base: Base, session: Session, chosen: np.ndarray, seed: int, advance: Advance) -> FineTuned:
    """Stage 2 of Cosmo. The arguments are those of ``fine_tune``."""
    torch.set_num_threads(1)  # small networks gain nothing from more threads, which would only slow a live run
    windows = session.windows.labelled_only_where(chosen)
    if base.network is None:
        return _fine_tune_in_turns(base, session.spec, windows, seed, advance)
    labelled = windows.labelled
    torch.manual_seed(seed)
    known = base.network.latest
    spec = read_as_before(base, session.spec)
    network = CosmoNetwork(spec, base.network.fusion)
    network.encoders = _encoders_for(base, spec)
    classifier = network.latest
    assert isinstance(classifier, FusionClassifier)  # it has no examples
    if isinstance(known, FusionClassifier):
        _copy_weights(classifier, session.spec.classes, known, base.spec.classes)
    freeze(network.encoders)

    examples = _embed_augmented(network.encoders, labelled, seed, lambda: advance(0.5 / COPIES))
    weights = torch.ones(len(examples.labels))
    memory = build_memory(network.encoders, labelled, seed)
    if base.memory:
        rehearsed = remembered(base.memory, base, session)
        # each rehearsed activity is drawn as often as the average activity of the session
        balanced = len(examples.labels) / len(session.activities) / torch.bincount(rehearsed.labels)[rehearsed.labels]
        examples, weights = examples.concatenate(rehearsed), torch.cat([weights, balanced])
        memory = memory.concatenate(rehearsed)
    finetune_classifier(classifier, *examples, weights, steps=STEPS, seed=seed, on_step=lambda: advance(0.5 / STEPS))
    return FineTuned(keep_beside(base, session, spec, network), network, memory)


def _encoders_for(base: Base, spec: ModelSpec) -> Encoders:
    """A copy of the base's encoders for the sensors of the session."""
    encoders = Encoders(spec)
    encoders.load_state_dict({name: base.encoders.state_dict()[name] for name in encoders.state_dict()})
    return encoders


def remembered(memory: Memory, base: Base, session: Session) -> Memory:
    """The base's memory of the retained activities that have no labels in the session."""
    return memory.relabelled(
        base.spec.classes, ["" if name in session.activities else name for name in session.spec.classes]
    )


def _copy_weights(
    classifier: FusionClassifier, classes: Sequence[str], known: FusionClassifier, known_classes: Sequence[str]
) -> None:
    """Copies the weights of another classifier. Activities that it does not know keep their random weights."""
    state, known_state = classifier.state_dict(), known.state_dict()
    last = f"classify.{len(classifier.classify) - 1}."
    for name, value in state.items():
        if not name.startswith(last):
            value.copy_(known_state[name])
            continue
        for row, activity in enumerate(classes):
            if activity in known_classes:
                value[row] = known_state[name][known_classes.index(activity)]


@torch.no_grad()
def _embed_augmented(encoders: Encoders, windows: Windows, seed: int, copy_done: Callable[[], None]) -> Memory:
    """Embeds the windows unchanged, and ``COPIES - 1`` augmented copies of each."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for number in range(COPIES):
        for features, presence, labels in windows.batches(64):
            z = encoders(augment(features, windows.kinds, generator, OF_A_MOMENT) if number else features)
            parts.append(Memory(z, presence, labels))
        copy_done()
    return Memory(*(torch.cat(columns) for columns in zip(*parts)))


def turned_temperature(windows: float) -> float:
    """The temperature of what is trained in turns, by its windows per activity.

    From a few windows on, it is right more often than it says. Fitted to subjects 5 and 6 of UTD-MHAD: the best values
    for 1, 2, 4, 8 and 16 windows were 1.34, 0.89, 0.67, 0.63 and 0.71.
    """
    return round(max(0.67, 1.34 / windows**0.5), 4)


def _fine_tune_in_turns(base: Base, spec: ModelSpec, windows: Windows, seed: int, advance: Advance) -> FineTuned:
    """Stage 2 as in the paper, from encoders of stage 1."""
    encoders = _encoders_for(base, spec)
    minibatches = -(-len(windows.labelled) // TURN_BATCH)
    rounds = max(TURN_EPOCHS, TURN_STEPS // minibatches) // Cosmo.turn
    budget = Budget(pretrain_epochs=0, epochs=rounds * Cosmo.turn, batch=TURN_BATCH)
    cosmo = Cosmo(warp=OF_A_MOMENT)
    hidden = Progress(disable=True)
    trained = cosmo.tune_network(
        encoders, Lesson(spec, windows, budget, seed, hidden, lambda _: advance(1 / (2 * budget.epochs)))
    )
    network = trained.network
    spec = tempered(trained.spec, turned_temperature(windows_each(windows.labels)))
    return FineTuned(spec, network, build_memory(network.encoders, windows.labelled, seed))
