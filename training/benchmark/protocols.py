"""The protocols: the training and test data of the paper's comparison, and of protocols that others publish on."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training.benchmark.protocol import Elsewhere, Fold, Own, Protocol
from cosmo_runtime.training.benchmark.splits import (
    a_fifth_of_the_trials,
    one_person,
    radhar_parts,
    radhar_quarters,
    repeats,
)
from cosmo_runtime.training.datasets import cuhk_x, radhar, usc, utd


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


def _cuhk_x(name: str, title: str, fold: Fold, *elsewhere: Elsewhere) -> Protocol:
    return Protocol(
        name,
        title,
        cuhk_x.cuhk_x_spec(),
        folder="cuhk*",
        read=cuhk_x.trials,
        train=tuple(range(1, 31)),
        test=(),
        rates=(5, 100),
        pretrain_steps=1500,
        steps=700,
        unit="users",
        elsewhere=elsewhere,
        fold=fold,
    )


_PERSONAL = ("cosmo-spread", "cosmo", "cmc", "deepsense", "attnsense")
"""The systems of the paper's figure about labels of the test people, and Cosmo with label spreading."""

_USC = Protocol(
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
)

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _utd("utd-a", "UTD-MHAD, IMU and skeleton", utd.utd_a_spec()),
        _utd("utd-b", "UTD-MHAD, IMU and depth", utd.utd_b_spec()),
        _utd("utd-b-radar", "UTD-MHAD, IMU, depth and synthesised radar", utd.utd_b_spec(radar=True)),
        _utd("utd-c", "UTD-MHAD, IMU, skeleton and depth", utd.utd_c_spec(), rates=(5,)),
        replace(
            _utd("utd-odd-even", "UTD-MHAD, IMU and skeleton, odd and even subjects", utd.utd_a_spec(), rates=(5, 100)),
            train=(1, 3, 5, 7),
            test=(2, 4, 6, 8),
            published=None,
            elsewhere=(
                Elsewhere("CMC-CMKM", 100, 97.67, "learned from 1, 3 and 5; 7 chose when to stop"),
                Elsewhere("SafeSense", 100, 96.28, "441,000 parameters; corruptions of its own", corrupted=85.13),
                Elsewhere("Fusion-GCN", 100, 94.42, "clean as published"),
                Elsewhere("Fusion-GCN, run by SafeSense's author", 100, 93.49, "SafeSense's corruptions", 44.4),
            ),
            corrupted=True,
        ),
        replace(
            _utd("utd-own", "UTD-MHAD, IMU and skeleton, labels of the test people", utd.utd_a_spec(), (0, 1, 2, 4)),
            own=Own(5, lambda windows: repeats(windows) > 2, ("repeats 1 and 2", "repeats 3 and 4")),
            rows=_PERSONAL,
        ),
        _USC,
        replace(
            _USC,
            name="usc-own",
            title="USC-HAD, accelerometer and gyroscope, labels of the test people",
            rates=(0, 1, 2, 4, 8),
            own=Own(1, lambda windows: repeats(windows) > 3, ("trials 1 to 3", "trials 4 and 5")),
            rows=_PERSONAL,
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
        Protocol(
            "radhar-official",
            "RadHAR, radar, the published split",
            radhar.radhar_spec(),
            folder="radhar*",
            read=radhar.windows,
            train=(1,),
            test=(2,),
            rates=(5, 100),
            pretrain_steps=600,
            steps=700,
            people=radhar_parts,
            unit="recordings of the published part (1: Train, 2: Test)",
            elsewhere=(Elsewhere("OG-PCL", 100, 91.75, "830,000 parameters"),),
        ),
        _cuhk_x(
            "cuhk-x-trial",
            "CUHK-X, IMU, depth and radar, across trials",
            Fold(
                a_fifth_of_the_trials, "Each seed tests on another fifth of each action's trials; five are all of them."
            ),
            Elsewhere("ResNet on depth", 100, 90.46, "its split is by picture, so that a trial is on both sides"),
            Elsewhere("PointNet on radar", 100, 46.63, "radar alone"),
            Elsewhere("network on five IMUs", 100, 45.52, "with magnetometers, only trials with all of them"),
        ),
        _cuhk_x(
            "cuhk-x-person",
            "CUHK-X, IMU, depth and radar, one person left out",
            Fold(one_person, "Each seed tests on another person; `--seeds 30` leaves out every one of the 30 once."),
            Elsewhere("network on five IMUs", 100, 37.0, "20 of the actions, best epoch, mean over 30 people"),
        ),
    )
}
