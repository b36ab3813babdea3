"""Windows of everyday activities, of a few seconds of people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.sensors.events import Truth
from cosmo_runtime.sensors.sensor import SensorError
from cosmo_runtime.sensors.simulation.inertial import GRAVITY
from cosmo_runtime.sensors.simulation.utd import UtdMotion
from cosmo_runtime.training.datasets import everyday
from cosmo_runtime.training.datasets.everyday import CLASSES, everyday_spec
from cosmo_runtime.training.windows import UNLABELLED, Windows


@pytest.fixture(scope="module")
def people(cache: Path) -> Windows:
    return everyday.simulated([1, 2], 8.0, cache)


@pytest.fixture(scope="module")
def rooms(cache: Path) -> Windows:
    return everyday.empty_rooms([5], cache)


def test_simulated_people_are_seen_at_the_times_of_the_windows_grid(people: Windows) -> None:
    spec = everyday_spec()
    assert len(people) == 2 * 13  # the first of 2 s, then one every 0.5 s
    for m in spec.modalities:
        assert people.features[m.sensor].shape[1:] == (spec.steps(m), *m.shape)
        hop = round(spec.hop_s * m.rate_hz)
        np.testing.assert_array_equal(people.features[m.sensor][0, hop:], people.features[m.sensor][1, :-hop])
    force = np.linalg.norm(people.features["imu"][..., :3], axis=-1)
    assert 0.7 * GRAVITY < np.median(force) < 1.3 * GRAVITY


def test_who_has_sat_long_is_still_and_brief_activities_have_no_label() -> None:
    truths = TruthLine()
    for start_s, name in ((0, "sit down"), (5, "stand still"), (5.5, "wave"), (9, "wave")):
        truths.add(Truth(round(start_s * 1e9), name))

    def activity(middle_s: float) -> object:
        return everyday._activity(truths, round((middle_s - 1) * 1e9), round((middle_s + 1) * 1e9))

    assert [activity(at) for at in (1.5, 3.5, 5.2, 7.0)] == ["sit down", "still", None, "wave"]


def test_nobody_is_none(rooms: Windows) -> None:
    assert CLASSES[rooms.labels[0]] == "none"
    depth, imu = rooms.features["depth"][0], rooms.features["imu"][0]
    assert (depth > 0).mean() > 0.9
    assert np.median(np.ptp(np.asarray(depth, float), axis=0)) < 0.1
    assert np.linalg.norm(imu[:, :3].mean(axis=0)) == pytest.approx(GRAVITY, abs=0.4)
    assert np.abs(imu[:, 3:]).max() < 0.1


def test_people_without_a_background_come_into_rooms(rooms: Windows) -> None:
    bare = np.zeros_like(rooms.features["depth"])
    bare[:, :, 10:20, 20:25] = 1.5
    person = replace(rooms, features={**rooms.features, "depth": bare})
    seen = everyday.in_rooms(person, rooms, seed=0, share=1.0).features["depth"]
    room = rooms.features["depth"]
    expected = np.where((bare > 0) & ((room == 0) | (bare < room)), bare, room)
    mirrored = np.where((bare > 0) & ((room[..., ::-1] == 0) | (bare < room[..., ::-1])), bare, room[..., ::-1])
    assert (seen == expected).all() or (seen == mirrored).all()
    np.testing.assert_array_equal(everyday.in_rooms(rooms, rooms, 0, 1.0).features["depth"], room)  # it has one


def test_simulated_signals_become_as_strong_as_real_ones(people: Windows) -> None:
    wave = replace(people, labels=np.full(len(people), CLASSES.index("wave")))
    real = replace(wave, features={**wave.features, "imu": wave.features["imu"] * 1.5})
    found = everyday.calibrated(wave, real).features["imu"]
    for half in (slice(0, 3), slice(3, 6)):
        had, wanted = (np.linalg.norm(imu[..., half], axis=-1) for imu in (found, real.features["imu"]))
        assert np.quantile(had, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(wanted, [0.1, 0.5, 0.9]), rel=0.02)


def test_the_thighs_sensor_counts_as_absent(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Few(UtdMotion):
        def __init__(self, path: Path, subjects: list) -> None:
            super().__init__(path, subjects, actions=(21, 22), repeats=(1,))

    monkeypatch.setattr(everyday, "UtdMotion", Few)
    monkeypatch.setattr("cosmo_runtime.training.datasets.motion.UtdMotion", Few)
    monkeypatch.setattr(
        "cosmo_runtime.training.datasets.motion.in_parallel", lambda make, items, _: list(map(make, items))
    )
    folder = data_dir / "utd-mhad"
    try:
        worn = everyday.real_people(folder, [1], tmp_path)
        wrongly = everyday.misplaced(folder, [1], tmp_path)
    except SensorError as error:
        pytest.skip(str(error))
    named = dict(zip(worn.recordings, worn.labels))
    assert named == {"pickup throw": CLASSES.index("none"), "jog": CLASSES.index("run on the spot"), "none": UNLABELLED}
    assert not worn.presence[worn.recordings == "jog", 0].any()
    assert worn.presence[worn.recordings == "pickup throw", 0].mean() > 0.8
    assert worn.presence[:, 1:].all()
    assert (wrongly.presence == [True, False, False]).all()
    assert len(wrongly) == (~worn.presence[:, 0]).sum()
    assert {CLASSES[label] for label in wrongly.labels} == {"none"}


@pytest.mark.slow
def test_people_who_act_are_cut_out_and_their_rests_have_no_label(cache: Path) -> None:
    windows = everyday.acted([3], 40.0, cache)
    assert len(windows) == 77
    assert 0.1 < (windows.labels == UNLABELLED).mean() < 0.4
    assert (windows.labels == CLASSES.index("none")).any()
    assert not (windows.labels == CLASSES.index("still")).any()
    assert ((np.asarray(windows.features["depth"]) == 0).mean(axis=(1, 2, 3)) > 0.8).all()
