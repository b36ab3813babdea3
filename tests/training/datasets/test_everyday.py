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
from cosmo_runtime.sensors.simulation.mocap.motion import MocapMotion, read_clips
from cosmo_runtime.sensors.simulation.setting import acted_setting, any_setting
from cosmo_runtime.sensors.simulation.utd import UtdMotion
from cosmo_runtime.training.datasets import everyday
from cosmo_runtime.training.datasets.everyday import CLASSES, everyday_spec
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import UNLABELLED, Windows
from tests.sensors.simulation.mocap.files import bvh, write


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


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of somebody who swings the right arm."""
    folder = tmp_path_factory.mktemp("clips")
    swing = [("RightArm", "Y", 40 * np.sin(2 * np.pi * np.arange(0, 2, 0.02)))]
    for name in ("dance_a", "getup_faceup", "jog", "stealthy_walk"):
        write(folder, f"{name}.bvh", bvh(100, 0.02, swing))
    return folder


def test_motion_capture_is_labelled_by_the_clip_at_the_middle(clips: Path, cache: Path) -> None:
    called = {"dance a": "none", "getup faceup": "get up", "jog": "run on the spot", "stealthy walk": "walk"}
    for seed, setting in ((4, any_setting(4)), (3, acted_setting(3))):
        windows = everyday.captured(clips, [seed], cache)
        motion = MocapMotion(clips, seed, setting=setting)
        middles_s = 1 + 0.5 * np.arange(len(windows))
        assert motion.duration_s - 1.5 < middles_s[-1] <= motion.duration_s - 1
        starts = motion.activities(1e9)
        for start, end_s in zip(starts, [*(after.start_s for after in starts[1:]), 1e9]):
            inside = (middles_s > start.start_s) & (middles_s < end_s)
            expected = called.get(start.activity)
            assert (windows.labels[inside] == (CLASSES.index(expected) if expected else UNLABELLED)).all()
        times_s = 0.5 * 4 + np.arange(1, 101) / 50  # those of the fifth window
        np.testing.assert_allclose(windows.features["imu"][4], motion.imu(times_s)[:, :6], rtol=1e-5, atol=1e-5)


def test_motion_capture_is_seen_in_another_setting_each_time(clips: Path, cache: Path) -> None:
    windows = everyday.captured(clips, [3, 4, 7], cache)
    counts = [int((windows.groups == group).sum()) for group in np.unique(windows.groups)]
    assert len(set(counts)) > 1  # at another pace
    cut_out = np.asarray(windows.where(windows.groups % 2 == 1).features["depth"])
    assert (cut_out == 0).mean() > 0.8
    seen_at = [np.median(depth[depth > 0]) for depth in (cut_out[:1], cut_out[-1:])]
    assert abs(seen_at[0] - seen_at[1]) > 0.05


def test_motion_capture_without_any_known_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "wander.bvh", bvh(100, 0.02))
    with pytest.raises(DataSetError, match="no clip is called walk"):
        everyday.captured(tmp_path, [4], tmp_path)


def test_deepmimics_clips_have_the_names_that_count(data_dir: Path) -> None:
    try:
        clips = read_clips(data_dir / "mocap" / "deepmimic" / "data" / "motions")
    except SensorError as error:
        pytest.skip(str(error))
    assert everyday.LIKE_CAPTURED.keys() < {clip.name for clip in clips}
    assert set(everyday.LIKE_CAPTURED.values()) < set(CLASSES)


@pytest.mark.slow
def test_people_who_act_are_cut_out_and_their_rests_have_no_label(cache: Path) -> None:
    windows = everyday.acted([3], 40.0, cache)
    assert len(windows) == 77
    assert 0.1 < (windows.labels == UNLABELLED).mean() < 0.4
    assert (windows.labels == CLASSES.index("none")).any()
    assert not (windows.labels == CLASSES.index("still")).any()
    assert ((np.asarray(windows.features["depth"]) == 0).mean(axis=(1, 2, 3)) > 0.8).all()
