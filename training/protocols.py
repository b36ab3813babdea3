"""What is trained and tested on what: the data sets, splits, label rates and budgets of the paper's comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from models.spec import ModelSpec
from training.datasets import radhar, usc, utd
from training.datasets.store import DataSetError
from training.methods import Budget
from training.windows import UNLABELLED, Windows


class Task(NamedTuple):
    """Windows to learn from, some of them labelled, others to be tested on, all labelled, and how long to learn."""

    training: Windows
    test: Windows
    budget: Budget


@dataclass(frozen=True)
class Protocol:
    """One data set, split by people, in which few of the training windows have a label.

    Attributes:
        name: short, for commands and files.
        title: for readers.
        spec: of the windows.
        folder: of the data set, in the folder of all data sets; a glob, of which the first match counts.
        read: all windows, all labelled, from this folder; a second folder caches them.
        train, test: whom to learn from and whom to test on, by the numbers that ``people`` gives.
        rates: percentages of the training windows that have a label.
        pretrain_steps, steps: about how many minibatches each method learns from without and with labels, whatever the
            label rate is.
        people: (N,) int: of whom each window is.
        unit: what these numbers are, for readers.
        published: by label rate the recordings that have a label, where the data set's folder lists them.
    """

    name: str
    title: str
    spec: ModelSpec
    folder: str
    read: Callable[[Path, ModelSpec, Path], Windows]
    train: tuple[int, ...]
    test: tuple[int, ...]
    rates: tuple[int, ...]
    pretrain_steps: int
    steps: int
    people: Callable[[Windows], np.ndarray] = lambda windows: windows.groups
    unit: str = "subjects"
    published: Optional[Callable[[Path], Mapping[int, Sequence[str]]]] = None

    def windows(self, data: Path, cache: Path) -> Windows:
        """All of the data set.

        Args:
            data: folder of all data sets.
            cache: folder of decoded windows.

        Raises:
            DataSetError: the data set is missing or broken.
        """
        return self.read(self._folder(data), self.spec, cache)

    def task(
        self,
        data: Path,
        cache: Path,
        rate: int,
        seed: int,
        held_out: Sequence[int] = (),
        unlabelled: float = 1.0,
        pretrain_batch: int = Budget.pretrain_batch,
    ) -> Task:
        """What one learner gets.

        Args:
            data: folder of all data sets.
            cache: folder of decoded windows.
            rate: percentage of the training windows with a label. They are the published ones where there are, else as
                many of each activity, drawn.
            seed: of the draws.
            held_out: people out of ``train`` who take the place of ``test``, for choices that must not see the latter.
                The published labels are of all training people, so that here, too, labels are drawn.
            unlabelled: the share of the windows without a label that is kept, drawn.
            pretrain_batch: windows of a minibatch without labels; the number of windows seen stays the same.

        Raises:
            DataSetError: the data set is missing or broken.
        """
        windows = self.windows(data, cache)
        people = self.people(windows)
        test = held_out or self.test
        training = windows.where(np.isin(people, [person for person in self.train if person not in test]))
        if self.published and not held_out:
            folder = self._folder(data)
            chosen = np.isin(training.recordings, self.published(folder).get(rate, ()))
            if not chosen.any():
                raise DataSetError(
                    f"{folder}: no training trial is listed as labelled at {rate} %. Fetch the list again."
                )
        else:
            chosen = balanced_draw(training.labels, rate, seed)
        training = training.labelled_only_where(chosen)
        if unlabelled < 1:
            drawn = np.random.default_rng(seed).random(len(training)) < unlabelled
            training = training.where(chosen | drawn)
        return Task(training, windows.where(np.isin(people, test)), self.budget(training, pretrain_batch))

    def budget(self, training: Windows, pretrain_batch: int = Budget.pretrain_batch) -> Budget:
        """Epochs that make about ``pretrain_steps`` and ``steps`` minibatches of the budget's sizes."""
        labelled = np.count_nonzero(training.labels != UNLABELLED)
        return Budget(
            pretrain_epochs=max(1, round(self.pretrain_steps / -(-len(training) // Budget.pretrain_batch))),
            epochs=max(1, round(self.steps / -(-labelled // Budget.batch))),
            pretrain_batch=pretrain_batch,
        )

    def _folder(self, data: Path) -> Path:
        found = sorted(Path(data).glob(self.folder))
        if not found:
            raise DataSetError(f"{data} has no {self.folder}. Put the data set of {self.title} there.")
        return found[0]


def balanced_draw(labels: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """A mask (N,) of ``rate`` percent of the windows, as many of each label; at least one, at most all of a label."""
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    each = max(1, round(rate / 100 * len(labels) / len(classes)))
    chosen = np.zeros(len(labels), bool)
    for label in classes:
        chosen[random.permutation(np.flatnonzero(labels == label))[:each]] = True
    return chosen


def radhar_quarters(windows: Windows) -> np.ndarray:
    """(N,) 1 to 4, in turn for the recordings of each activity in the order of their names."""
    quarters = np.zeros(len(windows), int)
    for label in np.unique(windows.labels):
        ours = windows.labels == label
        quarters[ours] = np.unique(windows.recordings[ours], return_inverse=True)[1] % 4 + 1
    return quarters


def _utd(name: str, title: str, spec: ModelSpec, rates: tuple[int, ...] = (5, 10, 20, 40)) -> Protocol:
    return Protocol(
        name,
        title,
        spec,
        folder="utd-mhad",
        read=utd.trials,
        train=(1, 2, 3, 4, 5, 6),
        test=(7, 8),
        rates=rates,
        pretrain_steps=1000,
        steps=700,
        published=lambda folder: utd.published_split(folder).labelled,
    )


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _utd("utd-a", "UTD-MHAD, IMU and skeleton", utd.utd_a_spec()),
        _utd("utd-b", "UTD-MHAD, IMU and depth", utd.utd_b_spec()),
        _utd("utd-b-radar", "UTD-MHAD, IMU, depth and synthesised radar", utd.utd_b_spec(radar=True)),
        _utd("utd-c", "UTD-MHAD, IMU, skeleton and depth", utd.utd_c_spec(), rates=(5,)),
        Protocol(
            "usc",
            "USC-HAD, accelerometer and gyroscope",
            usc.usc_spec(),
            folder="usc-had",
            read=usc.windows,
            train=tuple(range(1, 11)),
            test=(11, 12, 13, 14),
            rates=(1, 5, 10),
            pretrain_steps=1500,
            steps=700,
        ),
        Protocol(
            "radhar",
            "RadHAR, radar",
            radhar.radhar_spec(),
            folder="radhar*",
            read=radhar.windows,
            train=(1, 2, 3),
            test=(4,),
            rates=(5, 100),
            pretrain_steps=600,
            steps=700,
            people=radhar_quarters,
            unit="recordings of the quarters",
        ),
    )
}
