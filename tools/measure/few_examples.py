"""Compares ways to learn a person from few windows per activity, to decide what `cosmo-runtime finetune` should do.

    python tools/measure/few_examples.py utd --data PATH/utd-mhad --people 7,8 --base models/pretrained/utd
    python tools/measure/few_examples.py utd --data PATH/utd-mhad --people 7,8 --base PATH/everyday-0
    python tools/measure/few_examples.py simulated --people 910-912 --base models/bundles/everyday

In each draw, all ways get the same few labelled windows of each activity, and four include the first one and two. A
subject of UTD-MHAD is labelled in the first two repeats of each action and tested on the other two. A simulated person
is labelled in the first two minutes and tested in the next two. No test window overlaps one of the session. A figure is
the share of the test's windows that are recognised, averaged over activities and then over draws, with its 95 %
confidence interval over draws (Student's t).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats
from torch import Tensor

from cosmo_runtime.models.bundle import BundleError
from cosmo_runtime.models.confidence import tempered
from cosmo_runtime.models.files import write_whole
from cosmo_runtime.models.nearest import SHARPNESS, NearestExamples
from cosmo_runtime.names import NONE
from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.values import count, numbers
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.utd import ACTIVITIES, UtdMotion
from cosmo_runtime.training.adapt.base import Base, load_base
from cosmo_runtime.training.adapt.finetune import remembered, train, windows_each
from cosmo_runtime.training.adapt.memory import Memory
from cosmo_runtime.training.adapt.nearest import nearest_examples, temperature
from cosmo_runtime.training.adapt.session import Session
from cosmo_runtime.training.benchmark.everyday import require_strangers
from cosmo_runtime.training.calibration import expected_calibration_error
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.datasets import everyday, utd
from cosmo_runtime.training.datasets.motion import PERSON_CLASSES, simulated_people, utd_stream_spec, utd_streams
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.evaluate import predict, read
from cosmo_runtime.training.pretrained import PretrainedError
from cosmo_runtime.training.windows import UNLABELLED, Windows

SESSION_REPEATS, TEST_REPEATS = ("1", "2"), ("3", "4")
SECONDS = 240.0
"""The length of a simulated person's stream. The first half is the session."""


class Person(NamedTuple):
    """One person's windows, in order of time.

    Attributes:
        name: the name to print.
        windows: labelled by ``activities``.
        activities: the names, in the order of the labels.
        session, test: (N,) masks; no window of one overlaps one of the other.
    """

    name: str
    windows: Windows
    activities: Sequence[str]
    session: np.ndarray
    test: np.ndarray


class Draw(NamedTuple):
    """The training and test data of one draw, the same for every way.

    Attributes:
        base: the base, where training starts.
        session: all windows of the session.
        chosen: (N,) mask of the session's windows that have a label.
        test: the test's windows.
        z: (N, M, D) embeddings of the session by the base's encoders.
        test_z: embeddings of the test.
        seed: the seed of the draw.
    """

    base: Base
    session: Session
    chosen: np.ndarray
    test: Windows
    z: Tensor
    test_z: Tensor
    seed: int


Way = Callable[[Draw], np.ndarray]
"""Learns from a draw, and returns probabilities (N, classes) of the test's windows."""


def trained(draw: Draw) -> np.ndarray:
    """A trained classifier. If the base is encoders only, they are trained too."""
    model = train(draw.base, draw.session, draw.chosen, draw.seed, lambda share: None)
    if draw.base.network is None:
        return predict(model.network, draw.test, model.spec)
    return read(model.spec, _answers(draw, model.network.classifier), draw.test.presence)[0]


def nearest(draw: Draw) -> np.ndarray:
    """The examples vote by similarity, as in fine-tuning with few of them."""
    softness = temperature(windows_each(draw.session.windows.labels[draw.chosen]))
    return tempered(_answers(draw, _compared(draw, _known(draw))), softness)


def nearest_one(draw: Draw) -> np.ndarray:
    """The activity of the most similar example."""
    known = _known(draw)
    likeness = _compared(draw, known).likeness(draw.test_z, _presence(draw.test))
    best = torch.full((len(likeness), len(draw.session.spec.classes)), -1e4)
    for label in known.labels.unique():
        best[:, label] = likeness[:, known.labels == label].amax(1)
    return torch.softmax(SHARPNESS * best, 1).numpy()


def prototypes(draw: Draw) -> np.ndarray:
    """The activity with the most similar mean; the means are of whitened embeddings."""
    known = _known(draw)
    compared = _compared(draw, known)
    means = torch.einsum("mdk,mk,kc->mdc", compared.examples, compared.seen, compared.shares)
    return _answers(draw, _of_means(compared, means))


def plain_prototypes(draw: Draw) -> np.ndarray:
    """The same, with the cosine of the unchanged embeddings."""
    known = _known(draw)
    compared = nearest_examples(known, len(draw.session.spec.classes), draw.z[:0], torch.zeros(0, draw.z.shape[1]))
    means = torch.einsum("mdk,mk,kc->mdc", compared.examples, compared.seen, compared.shares)
    return _answers(draw, _of_means(compared, means))


def _of_means(compared: NearestExamples, means: Tensor) -> NearestExamples:
    """A classifier that compares with the mean of each activity."""
    classes = means.shape[2]
    classifier = NearestExamples(classes, means.shape[0], means.shape[1], classes)
    classifier.usual, classifier.evening = compared.usual, compared.evening
    classifier.examples.copy_(torch.nn.functional.normalize(means, dim=1))
    classifier.seen.copy_((compared.seen @ compared.shares > 0).float())
    classifier.shares.copy_(torch.eye(classes))
    return classifier


def _compared(draw: Draw, known: Memory) -> NearestExamples:
    return nearest_examples(known, len(draw.session.spec.classes), draw.z, _presence(draw.session.windows))


def _answers(draw: Draw, classifier: torch.nn.Module) -> np.ndarray:
    with torch.no_grad():
        logits, _ = classifier(draw.test_z, _presence(draw.test))
    answers: np.ndarray = torch.softmax(logits, 1).numpy()
    return answers


def _known(draw: Draw) -> Memory:
    """The chosen windows, and the base's memory of activities that have no labels."""
    labels = torch.from_numpy(draw.session.windows.labels)
    chosen = torch.from_numpy(draw.chosen)
    known = Memory(draw.z[chosen], _presence(draw.session.windows)[chosen], labels[chosen])
    return known.concatenate(remembered(draw.base.memory, draw.base, draw.session)) if draw.base.memory else known


def _presence(windows: Windows) -> Tensor:
    return torch.from_numpy(windows.presence.astype(np.float32))


WAYS: Dict[str, Way] = {
    "trained": trained,
    "nearest examples": nearest,
    "nearest one": nearest_one,
    "prototypes": prototypes,
    "plain prototypes": plain_prototypes,
}


def people(options: argparse.Namespace, base: Base) -> Iterator[Person]:
    """The people to learn, in windows of the base."""
    for number in options.people:
        if options.kind == "utd":
            yield _subject(options, number, base)
            continue
        if base.spec.modalities == everyday.everyday_spec().modalities:
            windows = everyday.simulated([number], SECONDS, options.cache)
            names: Sequence[str] = everyday.CLASSES
        else:
            spec = utd_stream_spec().model_copy(update={"classes": PERSON_CLASSES})
            windows, names = simulated_people([number], SECONDS, spec, options.cache), PERSON_CLASSES
        half = np.arange(len(windows)) < len(windows) // 2
        yield Person(f"simulated {number}", windows, names, half, _apart(~half, half))


def _subject(options: argparse.Namespace, subject: int, base: Base) -> Person:
    """A subject of UTD-MHAD. For a model of everyday activities, actions get its names, and rests have no label."""
    if "skeleton" in base.spec.sensors:
        windows = utd.trials(options.data, base.spec.model_copy(update={"classes": utd.CLASSES}), options.cache)
        windows = windows.where(windows.groups == subject)
        repeat = np.array([name[-1] for name in windows.recordings])
        halves = (np.isin(repeat, part) for part in (SESSION_REPEATS, TEST_REPEATS))
        return Person(f"subject {subject}", windows, utd.CLASSES, *halves)
    if base.spec.modalities == everyday.everyday_spec().modalities:
        windows = everyday.real_people(options.data, [subject], options.cache)
        named = [everyday.LIKE_NAMED.get(name, name) for name in windows.recordings]
        activities = tuple(everyday.LIKE_NAMED.get(name, name) for name in ACTIVITIES.values())
        labels = np.array([activities.index(name) if name != NONE else UNLABELLED for name in named])
        windows = replace(windows, labels=labels)
    else:
        windows = utd_streams(options.data, [subject], utd_stream_spec(), options.cache)
        activities = utd_stream_spec().classes
    spec = utd_stream_spec()
    middles_s = spec.window_s / 2 + spec.hop_s * np.arange(len(windows))
    trials = UtdMotion(options.data, [subject]).trials
    last = np.searchsorted([trial.start_s for trial in trials], middles_s, side="right") - 1
    repeat = np.array([trials[number].name[-1] if number >= 0 else "" for number in last])
    session = np.isin(repeat, SESSION_REPEATS)
    return Person(f"subject {subject}", windows, activities, session, _apart(np.isin(repeat, TEST_REPEATS), session))


def _apart(test: np.ndarray, session: np.ndarray) -> np.ndarray:
    """A test mask without the windows that overlap the session."""
    spec = utd_stream_spec()
    reach = round(spec.window_s / spec.hop_s) - 1
    near = np.convolve(session, np.ones(2 * reach + 1), mode="same") > 0
    return test & ~near


def drawn(person: Person, z: Tensor, base: Base, each: int, number: int) -> Draw:
    """Labels ``each`` windows of each activity. Draws with the same number are nested."""
    generator = np.random.default_rng((number, person.windows.groups[0]))
    order = generator.permutation(np.flatnonzero(person.session & (person.windows.labels != UNLABELLED)))
    of = person.windows.labels[order]
    chosen = np.zeros(len(person.windows), bool)
    for label in np.unique(of):
        chosen[order[of == label][:each]] = True
    names = [person.activities[label] for label in np.unique(of)]
    classes = (*base.spec.classes, *(name for name in names if name not in base.spec.classes))
    label_of = np.array([classes.index(name) if name in classes else UNLABELLED for name in [*person.activities, ""]])
    windows = replace(person.windows, labels=label_of[person.windows.labels])
    learned = windows.where(person.session)
    session = Session(base.spec.model_copy(update={"classes": classes}), learned, np.arange(len(learned)))
    known = np.isin(windows.labels, np.unique(learned.labels[learned.labels != UNLABELLED]))
    test = person.test & known
    embeddings = z[torch.from_numpy(person.session)], z[torch.from_numpy(test)]
    return Draw(base, session, chosen[person.session], windows.where(test), *embeddings, number)


def recall(labels: np.ndarray, answers: np.ndarray) -> float:
    """The share of recognised windows, averaged over activities."""
    return float(np.mean([(answers[labels == label] == label).mean() for label in np.unique(labels)]))


def measure(options: argparse.Namespace, base: Base) -> List[Dict[str, Any]]:
    """One row for each way, number of windows, person and draw."""
    rows = []
    known = [(person, embed(base.encoders, person.windows)[0]) for person in people(options, base)]
    for number in range(options.draws):
        for (person, z), each in itertools.product(known, options.windows):
            draw = drawn(person, z, base, each, number)
            for way in options.ways:
                began = time.process_time()
                probabilities = WAYS[way](draw)
                seconds = time.process_time() - began
                row = {"person": person.name, "windows": each, "draw": number, "way": way}
                rows.append({**row, **scores(draw.test.labels, probabilities), "seconds": round(seconds, 2)})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def scores(labels: np.ndarray, probabilities: np.ndarray) -> Dict[str, float]:
    """Recall averaged over activities, calibration error, and mean negative log-likelihood of the truth in nats."""
    likelihood = probabilities[np.arange(len(labels)), labels]
    return {
        "recall": recall(labels, probabilities.argmax(1)),
        "ece": expected_calibration_error(probabilities, labels),
        "surprise": float(-np.log(likelihood.clip(1e-8)).mean()),
    }


def interval(values: np.ndarray) -> str:
    """Mean in percent, with the half-width of its 95 % confidence interval."""
    wide = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{100 * np.mean(values):.1f} ± {100 * wide:.1f}"


def table(rows: Sequence[Mapping[str, Any]], first: str) -> Table:
    """Means, and the paired differences from the first way."""
    by_way: Dict[int, Dict[str, List[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_way[row["windows"]][row["way"]].append(row)
    shown = Table("windows an activity", "way", "recognised, %", f"more than {first}", "ECE", "seconds", box=None)
    for each, ways in by_way.items():
        for way, of_way in ways.items():
            recalls = np.array([row["recall"] for row in of_way])
            more = recalls - [row["recall"] for row in ways[first]]
            ece, seconds = (f"{np.mean([row[key] for row in of_way]):.3f}" for key in ("ece", "seconds"))
            shown.add_row(str(each), way, interval(recalls), "" if way == first else interval(more), ece, seconds)
    return shown


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("utd", "simulated"))
    parser.add_argument(
        "--people", type=numbers, required=True, help="subjects of UTD-MHAD, or seeds of simulated ones"
    )
    parser.add_argument("--base", type=Path, required=True, help="bundle or encoders to start from")
    parser.add_argument("--data", type=Path, default=Path(), help="folder of UTD-MHAD (utd only)")
    parser.add_argument(
        "--windows", type=numbers, default=(1, 2, 4), help="numbers of labelled windows of each activity"
    )
    parser.add_argument("--draws", type=count, default=10, help="draws of labels for each person")
    parser.add_argument(
        "--ways", type=lambda text: text.split(";"), default=list(WAYS), help=f"any of {'; '.join(WAYS)}"
    )
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="cache of windows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every draw to a file")
    options = parser.parse_args(arguments)
    unknown = [way for way in options.ways if way not in WAYS]
    if unknown:
        parser.error(f"--ways: there is no {', '.join(unknown)}; there are {'; '.join(WAYS)}")
    torch.set_num_threads(1)
    try:
        base = load_base(options.base)
        if options.kind == "utd":
            require_strangers(base, options.people)
    except (BundleError, PretrainedError) as error:
        parser.error(f"--base: {error}")
    rows = measure(options, base)
    Console().print(table(rows, options.ways[0]))
    if options.json:
        write_whole(options.json, json.dumps(rows, indent=1).encode() + b"\n")


if __name__ == "__main__":
    try:
        main()
    except (DataSetError, SensorError) as error:
        raise SystemExit(str(error)) from error
