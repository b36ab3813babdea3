"""A protocol: a data set, a split, label rates and a budget. It gives each learner its task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.benchmark.splits import balanced_draw, draw_in_turns
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.methods import Budget
from cosmo_runtime.training.windows import UNLABELLED, Windows


class Task(NamedTuple):
    """What a learner gets.

    Attributes:
        training: windows to learn from, some of them labelled.
        test: other windows to test on, all labelled.
        budget: how long to learn.
        corrupted: whether corrupted windows are tested as well.
    """

    training: Windows
    test: Windows
    budget: Budget
    corrupted: bool = False


class Elsewhere(NamedTuple):
    """An accuracy that somebody else published on the same split.

    Attributes:
        system: the system's name.
        rate: percentage of the training windows that had a label.
        accuracy: in percent.
        note: differences from our setting.
        corrupted: the mean under their own corruptions, if they have any.
    """

    system: str
    rate: int
    accuracy: float
    note: str
    corrupted: Optional[float] = None


class Fold(NamedTuple):
    """A split that differs for each seed.

    Attributes:
        tested: the windows and a seed -> (N,) bool: the test windows. All others are training windows.
        words: the split in words, for readers.
    """

    tested: Callable[[Windows, int], np.ndarray]
    words: str


class Own(NamedTuple):
    """Measures what labels from the test people themselves bring.

    Attributes:
        others: percentage of the other people's windows that have a label.
        tested: (N,) bool: the test people's test windows, which are from other recordings. Their other windows are
            training windows, and ``rate`` of them have a label for each activity.
        parts: the training and the test part, for readers.
    """

    others: int
    tested: Callable[[Windows], np.ndarray]
    parts: tuple[str, str]


@dataclass(frozen=True)
class Protocol:
    """One data set, split by people, in which few of the training windows have a label.

    Attributes:
        name: a short name for commands and files.
        title: the title for readers.
        spec: the spec of the windows.
        folder: the data set's folder in the folder of all data sets; a glob, whose first match counts.
        read: reads all windows, all labelled, from this folder; a second folder caches them.
        train, test: training and test people, by the numbers that ``people`` gives.
        rates: percentages of the training windows that have a label, or what ``own`` makes of them.
        pretrain_steps, steps: about how many minibatches each method learns from without and with labels, at any label
            rate.
        people: (N,) int: the person of each window.
        unit: what these numbers count, for readers.
        published: for each label rate, the labelled recordings, if the data set's folder lists them.
        elsewhere: what others published on this split, to show beside our figures.
        corrupted: whether methods are also tested on the suite of corruptions.
        fold: what each seed tests on, instead of ``test``.
        own: what is learned from the test people themselves; nothing by default.
        rows: names of the compared methods; if empty, all that can learn from these sensors.
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
    elsewhere: tuple[Elsewhere, ...] = ()
    corrupted: bool = False
    fold: Optional[Fold] = None
    own: Optional[Own] = None
    rows: tuple[str, ...] = ()

    def column(self, rate: int) -> str:
        """The meaning of a label rate, for a table's header."""
        return f"{rate} of their own" if self.own else f"{rate} % labelled"

    def windows(self, data: Path, cache: Path) -> Windows:
        """All windows of the data set.

        Args:
            data: the folder of all data sets.
            cache: the folder of decoded windows.

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
            data: the folder of all data sets.
            cache: the folder of decoded windows.
            rate: percentage of the training windows with a label. The published labels are used if there are any;
                otherwise labels are drawn, as many for each activity.
            seed: the seed of the draws.
            held_out: people out of ``train`` who replace ``test``, for choices that must not see ``test``. The
                published labels are of all training people, so labels are drawn in this case too.
            unlabelled: the share of the unlabelled windows to use, drawn at random.
            pretrain_batch: unlabelled windows in a minibatch; the number of windows seen stays the same.

        Raises:
            DataSetError: the data set is missing or broken.
        """
        windows = self.windows(data, cache)
        people = self.people(windows)
        test = self.fold.tested(windows, seed) if self.fold else np.isin(people, self.test)
        others = np.isin(people, self.train) & ~test
        if held_out:
            test = np.isin(people, held_out)
            others &= ~test
        own, chosen = np.zeros((2, len(windows)), bool)
        if self.own:
            own = test & ~self.own.tested(windows)
            test &= ~own
            chosen[own] = draw_in_turns(windows.labels[own], people[own], rate, seed)
        for part, purpose in ((others, "learn from"), (test, "test on")):
            if not part.any():
                folder = self._folder(data)
                raise DataSetError(f"{folder} holds nothing to {purpose} ({self.title}). Fetch all of the data set.")
        chosen |= self._labelled(data, windows, others, self.own.others if self.own else rate, seed, bool(held_out))
        learned = others | own
        if unlabelled < 1:
            learned[learned] = chosen[learned] | (np.random.default_rng(seed).random(learned.sum()) < unlabelled)
        training = windows.where(learned).labelled_only_where(chosen[learned])
        return Task(training, windows.where(test), self.budget(training, pretrain_batch), self.corrupted)

    def _labelled(
        self, data: Path, windows: Windows, learned: np.ndarray, rate: int, seed: int, drawn: bool
    ) -> np.ndarray:
        """Which of the training windows have a label, as a mask (N,)."""
        if not self.published or drawn:
            chosen = np.zeros(len(windows), bool)
            chosen[learned] = balanced_draw(windows.labels[learned], rate, seed)
            return chosen
        folder = self._folder(data)
        chosen = learned & np.isin(windows.recordings, self.published(folder).get(rate, ()))
        if not chosen.any():
            raise DataSetError(f"{folder}: no training trial is listed as labelled at {rate} %. Fetch the list again.")
        return chosen

    def budget(self, training: Windows, pretrain_batch: int = Budget.pretrain_batch) -> Budget:
        """The epochs that make about ``pretrain_steps`` and ``steps`` minibatches of the budget's sizes."""
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
