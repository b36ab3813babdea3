"""The paper's comparison: its methods, the settings that vary, and the jobs that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Callable, Mapping, NamedTuple, Sequence

from cosmo_runtime.training.baselines.attnsense import attnsense
from cosmo_runtime.training.baselines.cmc import cmc, cmc_spread
from cosmo_runtime.training.baselines.cpc import cpc
from cosmo_runtime.training.baselines.deepsense import deepsense
from cosmo_runtime.training.baselines.dtw import dtw
from cosmo_runtime.training.baselines.limu_bert import limu_bert
from cosmo_runtime.training.baselines.limu_bert_x import limu_bert_x
from cosmo_runtime.training.baselines.mcn import mcn
from cosmo_runtime.training.baselines.milliego import milliego
from cosmo_runtime.training.baselines.minirocket import minirocket
from cosmo_runtime.training.baselines.random_forest import random_forest
from cosmo_runtime.training.baselines.reference import reference
from cosmo_runtime.training.baselines.selfhar import selfhar
from cosmo_runtime.training.baselines.single_modal import single_modal
from cosmo_runtime.training.baselines.tuple_infonce import tuple_contrast
from cosmo_runtime.training.benchmark.experiments import Experiment, Method, ModalityDistance, several_sensors
from cosmo_runtime.training.benchmark.protocol import Protocol
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.cosmo.class_means import class_means
from cosmo_runtime.training.cosmo.method import Cosmo
from cosmo_runtime.training.methods import OneStage


class Study(NamedTuple):
    """How one setting changes a method.

    Attributes:
        figure: the figure that shows it.
        setting: the setting's name.
        label: the method's label.
        methods: the name of a method for each value of the setting.
    """

    figure: str
    setting: str
    label: str
    methods: Mapping[str, str]


def _only(*names: str) -> Callable[[Sequence[str]], bool]:
    return lambda sensors: list(sensors) == list(names)


_COSMO = Method("Cosmo", Cosmo(), revision=2, applies=several_sensors, followed=2 * Cosmo.turn)
_CMC = Method("CMC", cmc, revision=2, applies=several_sensors)
_OF_AN_IMU = Method(
    "LIMU-BERT: IMU", limu_bert, applies=lambda sensors: bool({"imu", "accelerometer"} & {*sensors}), alone=True
)

ROWS: Mapping[str, Method] = {
    # On USC-HAD, 17,000 windows are too many to warp each to each, and activities are not as frequent as their labels.
    "cosmo-warped": replace(
        _COSMO,
        title="Cosmo + balanced spreading + warping",
        learner=Cosmo(spread=True, warped=True, balance="all"),
        applies=lambda sensors: "skeleton" in sensors,
    ),
    "cosmo-person": replace(
        _COSMO,
        title="Cosmo + spreading balanced by person + warping",
        learner=Cosmo(spread=True, warped=True, apart=True, balance="person"),
        applies=lambda sensors: "imu" in sensors,
    ),
    "cosmo-spread": replace(_COSMO, title="Cosmo + label spreading", learner=Cosmo(spread=True)),
    "cosmo": _COSMO,
    # the paper fuses similar sensors by a sum
    "cosmo-sum": replace(
        _COSMO,
        title="Cosmo, sensors summed",
        learner=Cosmo(fusion="sum"),
        applies=_only("accelerometer", "gyroscope"),
    ),
    # only for the two sensors that the authors published encoders for
    "cosmo-reference": replace(
        _COSMO,
        title="Cosmo, the authors' network",
        learner=reference,
        revision=1,
        applies=_only("imu", "skeleton"),
    ),
    **{
        f"single-{sensor}": Method(
            f"SingleModal: {sensor}",
            OneStage(single_modal(sensor)),
            revision=2,
            applies=lambda sensors, own=sensor: own in sensors,  # type: ignore[misc]
            alone=True,
        )
        for sensor in ("imu", "accelerometer", "gyroscope", "skeleton", "depth", "radar")
    },
    "deepsense": Method("DeepSense", OneStage(deepsense)),
    "attnsense": Method("AttnSense", OneStage(attnsense)),
    "milliego": Method("milliEgo's fusion", OneStage(milliego), applies=several_sensors),
    "cmc": _CMC,
    "tuple-infonce": Method("TupleInfoNCE", tuple_contrast, applies=several_sensors),
    "mcn": Method("Multimodal Clustering Network", mcn, applies=several_sensors),
    "cpc": Method("CPC", cpc, revision=2),
    "limu-bert": _OF_AN_IMU,
    "limu-bert-x": replace(_OF_AN_IMU, title="LIMU-BERT-X, frozen: IMU", learner=OneStage(limu_bert_x(frozen=True))),
    "limu-bert-x-tuned": replace(
        _OF_AN_IMU, title="LIMU-BERT-X, tuned: IMU", learner=OneStage(limu_bert_x(frozen=False))
    ),
    "selfhar": replace(_OF_AN_IMU, title="SelfHAR: IMU", learner=OneStage(selfhar)),
    "dtw": Method("DTW nearest neighbour", OneStage(dtw), is_random=False),
    "minirocket": Method("MiniRocket + ridge", OneStage(minirocket), revision=2),
    "forest": Method("Random forest, hand-made features", OneStage(random_forest)),
}
"""The rows of the tables, in order."""

PARTS: Mapping[str, Method] = {
    "cosmo-means-no-stage-1": replace(
        _COSMO, title="Nearest class mean, random encoders", learner=class_means(pretrained=False), followed=0
    ),
    "cosmo-means": replace(_COSMO, title="Nearest class mean, after stage 1", learner=class_means(), followed=0),
    "cosmo-no-stage-1": replace(_COSMO, title="Cosmo without stage 1", learner=Cosmo(pretrained=False)),
    "cosmo": _COSMO,
    "cosmo-mined": replace(_COSMO, title="Cosmo + mined neighbours", learner=Cosmo(mined=True)),
    "cosmo-spread": ROWS["cosmo-spread"],
    "cosmo-balanced": replace(_COSMO, title="Cosmo + balanced spreading", learner=Cosmo(spread=True, balance="all")),
    "cosmo-unbalanced": replace(
        _COSMO, title="Cosmo + label spreading + warping", learner=Cosmo(spread=True, warped=True)
    ),
    "cosmo-warped": ROWS["cosmo-warped"],
    "cosmo-apart": replace(
        _COSMO,
        title="Cosmo + balanced spreading + warping, each sensor by itself",
        learner=Cosmo(spread=True, warped=True, apart=True, balance="all"),
    ),
    "cosmo-together": replace(
        _COSMO,
        title="Cosmo + spreading balanced by person + warping, sensors together",
        learner=Cosmo(spread=True, warped=True, balance="person"),
    ),
    "cosmo-person": ROWS["cosmo-person"],
    "cosmo-mined-spread": replace(
        _COSMO, title="Cosmo + mined neighbours + label spreading", learner=Cosmo(mined=True, spread=True)
    ),
    "cmc": _CMC,
    "cmc-spread": replace(_CMC, title="CMC + label spreading", learner=cmc_spread),
}
"""What each part of Cosmo adds, and what label spreading adds to its strongest rival."""

STUDIED = ("utd-a", 5)
"""The protocol and the label rate of the parts and the studies."""

_RANGES = {f"{low:g} to {1 - low:g}": (low, 1 - low) for low in (0.0, 0.1, 0.2, 0.3, 0.4)}
_WITH_SETTINGS: Mapping[str, Mapping[str, Experiment]] = {
    "turn": {str(turn): replace(_COSMO, learner=Cosmo(turn=turn)) for turn in (1, 2, 5, 10, 25)},
    "batch": {str(batch): replace(_COSMO, pretrain_batch=batch) for batch in (16, 32, 64, 128, 256)},
    "range": {text: replace(_COSMO, learner=Cosmo(weights_range=within)) for text, within in _RANGES.items()},
    "distance": {text: ModalityDistance("Distance between modalities", within) for text, within in _RANGES.items()},
    **{
        f"unlabelled-{row}": {str(share): replace(ROWS[row], unlabelled=share / 100) for share in (0, 25, 50, 75, 100)}
        for row in ("cosmo-spread", "cosmo", "cmc")
    },
}


def _name(study: str, value: str) -> str:
    """The name of a method with another setting. If a row of the tables has this setting, the row's name."""
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

METHODS: Mapping[str, Experiment] = {
    **{_name(study, value): method for study, methods in _WITH_SETTINGS.items() for value, method in methods.items()},
    **PARTS,
    **ROWS,
}
"""All experiments by name."""


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
        """Whether one of the patterns matches the name, or its beginning up to a colon."""
        parts = self.name.split(":")
        beginnings = [":".join(parts[:length]) for length in range(1, len(parts) + 1)]
        return any(fnmatchcase(beginning, pattern) for beginning in beginnings for pattern in patterns)


def rows_of(protocol: Protocol) -> list[str]:
    """The rows of a protocol's table."""
    return [row for row in ROWS if ROWS[row].applies(protocol.spec.sensors) and row in (protocol.rows or ROWS)]


def table_jobs(seeds: int, held_out: Sequence[int] = ()) -> list[Job]:
    """Jobs for every row of every protocol's table. All rows get one result before any gets a second."""
    jobs = []
    for seed, protocol in product(range(seeds), PROTOCOLS.values()):
        same_labels = protocol.published and not held_out
        for rate, row in product(protocol.rates, rows_of(protocol)):
            if seed == 0 or ROWS[row].is_random or not same_labels:
                jobs.append(Job(protocol.name, rate, row, seed))
    return jobs


def study_jobs(seeds: int) -> list[Job]:
    """Jobs for the parts and the studies of Cosmo that are not rows of the tables."""
    methods = [name for name in METHODS if name not in ROWS]
    return [Job(*STUDIED, method, seed) for seed, method in product(range(seeds), methods)]
