"""The paper's comparison: which methods, what is varied, and the jobs that this makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Mapping, NamedTuple, Sequence, Union

from training.baselines.attnsense import attnsense
from training.baselines.cmc import cmc, cmc_spread
from training.baselines.cpc import cpc
from training.baselines.deepsense import deepsense
from training.baselines.dtw import dtw
from training.baselines.minirocket import minirocket
from training.baselines.single_modal import single_modal
from training.cosmo import Cosmo
from training.methods import Budget, Fit
from training.protocols import PROTOCOLS


@dataclass(frozen=True)
class Method:
    """A learner, with what it is given.

    Attributes:
        title: for readers.
        fit: the learner.
        is_random: whether another seed gives another result from the same labels.
        unlabelled: the share of the windows without a label that it gets.
        pretrain_batch: windows of a minibatch without labels.
        revision: of the learner; raised when it changes, so that its results and its stage 1 are made anew.
    """

    title: str
    fit: Fit
    is_random: bool = True
    unlabelled: float = 1.0
    pretrain_batch: int = Budget.pretrain_batch
    revision: int = 1


@dataclass(frozen=True)
class ModalityDistance:
    """How far apart stage 1 puts what two modalities show of one window, measured in its own shared space.

    Attributes:
        title: for readers.
        weights_range: of stage 1's random weightings.
        revision: as for a method.
    """

    title: str
    weights_range: tuple[float, float]
    revision: int = 1


class Study(NamedTuple):
    """What one setting does to a method.

    Attributes:
        figure: that shows it.
        setting: what it is.
        label: the method's.
        methods: by the setting's value, the name of a method.
    """

    figure: str
    setting: str
    label: str
    methods: Mapping[str, str]


ROWS: Mapping[str, Method] = {
    "cosmo-spread": Method("Cosmo + label spreading", Cosmo(spread=True), revision=2),
    "cosmo": Method("Cosmo", Cosmo(), revision=2),
    "cosmo-sum": Method("Cosmo, sensors summed", Cosmo(fusion="sum"), revision=2),
    "cosmo-reference": Method("Cosmo, the authors' network", Cosmo(encoders="reference")),
    **{
        f"single-{sensor}": Method(f"SingleModal: {sensor}", single_modal(sensor), revision=2)
        for sensor in ("imu", "accelerometer", "gyroscope", "skeleton", "depth", "radar")
    },
    "deepsense": Method("DeepSense", deepsense),
    "attnsense": Method("AttnSense", attnsense),
    "cmc": Method("CMC", cmc, revision=2),
    "cpc": Method("CPC", cpc, revision=2),
    "dtw": Method("DTW nearest neighbour", dtw, is_random=False),
    "minirocket": Method("MiniRocket + ridge", minirocket, revision=2),
}
"""Of the tables, in their order."""

PARTS: Mapping[str, Method] = {
    "cosmo-no-stage-1": Method("Cosmo without stage 1", Cosmo(pretrained=False), revision=2),
    "cosmo": ROWS["cosmo"],
    "cosmo-mined": Method("Cosmo + mined neighbours", Cosmo(mined=True), revision=2),
    "cosmo-spread": ROWS["cosmo-spread"],
    "cosmo-mined-spread": Method(
        "Cosmo + mined neighbours + label spreading", Cosmo(mined=True, spread=True), revision=2
    ),
    "cmc": ROWS["cmc"],
    "cmc-spread": Method("CMC + label spreading", cmc_spread, revision=2),
}
"""What each part of Cosmo adds, and what label spreading gives to its strongest rival."""

STUDIED = ("utd-a", 5)
"""The protocol and the label rate of parts and studies."""

_COSMO = ROWS["cosmo"]
_RANGES = {f"{low:g} to {1 - low:g}": (low, 1 - low) for low in (0.0, 0.1, 0.2, 0.3, 0.4)}
_WITH_SETTINGS: Mapping[str, Mapping[str, Union[Method, ModalityDistance]]] = {
    "turn": {str(turn): replace(_COSMO, fit=Cosmo(turn=turn)) for turn in (1, 2, 5, 10, 25)},
    "batch": {str(batch): replace(_COSMO, pretrain_batch=batch) for batch in (16, 32, 64, 128, 256)},
    "range": {text: replace(_COSMO, fit=Cosmo(weights_range=within)) for text, within in _RANGES.items()},
    "distance": {text: ModalityDistance("Distance between modalities", within) for text, within in _RANGES.items()},
    **{
        f"unlabelled-{row}": {str(share): replace(ROWS[row], unlabelled=share / 100) for share in (0, 25, 50, 75, 100)}
        for row in ("cosmo-spread", "cosmo", "cmc")
    },
}


def _name(study: str, value: str) -> str:
    """Of a method with another setting; where it is a row of the tables after all, it is run there."""
    method = _WITH_SETTINGS[study][value]
    return next((row for row in ROWS if ROWS[row] == method), f"{study}={value.replace(' to ', '-')}")


def _study(name: str, figure: str, setting: str, label: str) -> Study:
    return Study(figure, setting, label, {value: _name(name, value) for value in _WITH_SETTINGS[name]})


STUDIES: Mapping[str, Study] = {
    "turn": _study("turn", "settings", "T_iter, epochs of a turn of stage 2", "Cosmo"),
    "batch": _study("batch", "settings", "windows of a minibatch of stage 1", "Cosmo"),
    "range": _study("range", "settings", "range of the fusion weights of stage 1", "Cosmo"),
    "distance": _study("distance", "distance", "range of the fusion weights of stage 1", "Cosmo"),
    **{
        name: _study(name, "unlabelled", "% of the unlabelled windows used", ROWS[name[len("unlabelled-") :]].title)
        for name in _WITH_SETTINGS
        if name.startswith("unlabelled-")
    },
}

METHODS: Mapping[str, Union[Method, ModalityDistance]] = {
    **{_name(study, value): method for study, methods in _WITH_SETTINGS.items() for value, method in methods.items()},
    **PARTS,
    **ROWS,
}
"""All of them by name."""


@dataclass(frozen=True)
class Job:
    """One method, trained and tested once."""

    protocol: str
    rate: int
    method: str
    seed: int

    @property
    def name(self) -> str:
        """``protocol:rate:method:seed``, for filters and messages."""
        return f"{self.protocol}:{self.rate}:{self.method}:{self.seed}"

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether the name, or its beginning up to a colon, matches one of the patterns."""
        parts = self.name.split(":")
        beginnings = [":".join(parts[:length]) for length in range(1, len(parts) + 1)]
        return any(fnmatchcase(beginning, pattern) for beginning in beginnings for pattern in patterns)


def table_jobs(seeds: int, held_out: Sequence[int] = ()) -> list[Job]:
    """Every row of every protocol's table; all have one result before any has two."""
    jobs = []
    for seed, protocol in product(range(seeds), PROTOCOLS.values()):
        same_labels = protocol.published and not held_out
        for rate, row in product(protocol.rates, ROWS):
            if applies(row, protocol.spec.sensors) and (seed == 0 or ROWS[row].is_random or not same_labels):
                jobs.append(Job(protocol.name, rate, row, seed))
    return jobs


def study_jobs(seeds: int) -> list[Job]:
    """Parts and studies of Cosmo, but for those that are rows of the tables."""
    methods = [name for name in METHODS if name not in ROWS]
    return [Job(*STUDIED, method, seed) for seed, method in product(range(seeds), methods)]


def applies(row: str, sensors: Sequence[str]) -> bool:
    """Whether a row of the tables can learn from these sensors."""
    if row.startswith("single-"):
        return row[len("single-") :] in sensors
    if row == "cosmo-sum":
        return list(sensors) == ["accelerometer", "gyroscope"]  # sensors that are alike, which the paper sums
    if row == "cosmo-reference":
        return list(sensors) == ["imu", "skeleton"]  # what its authors published encoders for
    return len(sensors) > 1 or not row.startswith(("cosmo", "cmc"))  # one modality leaves nothing to fuse
