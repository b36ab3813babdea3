"""CUHK-X's loader on a miniature in the published layout, because the data set itself is given on application only."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Iterable

import numpy as np
import pytest

pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.benchmark.protocols import PROTOCOLS
from cosmo_runtime.training.datasets import cuhk_x
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.windows import Windows

HEAD = [
    "时间", "设备名称", "加速度X(g)", "加速度Y(g)", "加速度Z(g)", "角速度X(°/s)", "角速度Y(°/s)", "角速度Z(°/s)",
    "磁场X(uT)", "电量(%)",
]  # fmt: skip
RADAR_HEAD = ["timestamp", "frame", "DetObj#", "x", "y", "z", "v", "snr", "noise"]
ACTIONS = {7: "7_Eat_food", 36: "36_Walk"}
USERS, TRIALS = (1, 9, 24), ("1-1-1", "2-1-1")


def write_table(file: Path, head: Iterable[str], rows: Iterable[Iterable[object]], encoding: str = "utf-8") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding=encoding) as opened:
        csv.writer(opened).writerows([list(head), *map(list, rows)])


def imu_rows(device: str, x_g: np.ndarray) -> list:
    """Ten a second; later ones first, as files have them in no order."""
    rows = [[f"2025-06-10 10:43:{36 + i // 10}.{i % 10}00", f"{device}(DC:E1:B0:1F:67:6E)", x, 0, 1, 180, 0, 0, 44, 80]
            for i, x in enumerate(x_g)]  # fmt: skip
    return rows[::-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two actions, three users, two trials; the walker's picture turns from red to blue."""
    root = tmp_path_factory.mktemp("data") / "cuhk-x" / "HAR" / "data"
    for number, action in ACTIONS.items():
        for user in USERS:
            for trial in TRIALS:
                place = Path(action) / f"user{user}" / trial
                ramp = np.arange(20) / 10 * (1 if number == 36 else 0)
                write_table(root / "IMU" / place / "up(LA+RA+C).csv", HEAD,
                            [*imu_rows("WTLA", ramp + 5), *imu_rows("WTRA", ramp)])  # fmt: skip
                write_table(root / "IMU" / place / "down(LL+RL).csv", HEAD, imu_rows("WTLL", ramp))
                pictures = root / "Depth_Color" / place
                pictures.mkdir(parents=True)
                for i in range(10):
                    colour = (255, 0, 0) if i < 5 or number == 7 else (0, 0, 255)
                    image = Image.new("RGB", (320, 240))
                    image.paste(colour, (0, 0, 160, 240))  # the right half measured nothing
                    image.save(pictures / f"Depth_2025-06-10_10-43-36.{i}00_{154 + i:08d}_Color.png")
                points = [[f"T{i}", frame, i, 0.5, 2 + number / 100, 1, 0.25, 10 * i, 3]
                          for frame in range(40, 60) if frame != 49 for i in range(2)]  # fmt: skip
                write_table(root / "Radar" / place / "radar_output_T2025-06-10_10-43-36.157.csv", RADAR_HEAD, points)
    return root.parent.parent


@pytest.fixture(scope="module")
def everything(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Windows:
    return cuhk_x.trials(folder, cuhk_x.cuhk_x_spec(), tmp_path_factory.mktemp("cache"))


def test_every_trial_is_a_window_of_its_action_and_user(everything: Windows) -> None:
    assert len(everything) == len(ACTIONS) * len(USERS) * len(TRIALS)
    assert set(everything.labels) == {7, 36} and [cuhk_x.CLASSES[7], cuhk_x.CLASSES[36]] == ["eat food", "walk"]
    assert set(everything.groups) == set(USERS)
    assert "a36_u24_2-1-1" in everything.recordings
    assert everything.presence.all() and len(cuhk_x.CLASSES) == len(set(cuhk_x.CLASSES)) == 40


def test_an_imu_is_in_order_of_time_and_in_si_units(everything: Windows) -> None:
    (walk,) = everything.features["imu"][everything.recordings == "a36_u1_1-1-1"]
    at = ((np.arange(40) + 0.5) * 20 / 40 - 0.5).clip(0, 19)
    np.testing.assert_allclose(walk[:, 0], 9.80665 * at / 10, rtol=1e-5)
    np.testing.assert_allclose(walk[0, 1:], [0, 9.80665, np.pi, 0, 0], rtol=1e-5)


def test_colours_are_an_order_and_black_is_nothing(everything: Windows) -> None:
    (walk,) = everything.features["depth"][everything.recordings == "a36_u1_1-1-1"]
    assert (walk[:10, :, :20] == 1).all() and (walk[10:, :, :20] == 5).all() and (walk[:, :, 20:] == 0).all()


def test_radar_points_stand_in_their_frames_the_strongest_first(everything: Windows) -> None:
    (walk,) = everything.features["radar"][everything.recordings == "a36_u1_1-1-1"]
    np.testing.assert_allclose(walk[0, 0], [0.5, 2.36, 1, 0.25, 10], rtol=1e-6)
    assert (walk[:, 2:] == 0).all()
    np.testing.assert_array_equal((walk != 0).any((1, 2)), np.arange(20) != 9)  # the frame that the file leaves out


def copied(folder: Path, to: Path) -> Path:
    """One trial of the miniature, without the two folders above its modalities."""
    for file in folder.glob("HAR/data/*/36_Walk/user9/1-1-1/*"):
        target = to / "cuhk" / file.relative_to(folder / "HAR" / "data")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return to / "cuhk"


def test_files_in_another_encoding_and_by_other_names_are_read_as_well(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path)
    imu = other / "IMU" / "36_Walk" / "user9" / "1-1-1"
    text = (imu / "up(LA+RA+C).csv").read_text(encoding="utf-8")
    (imu / "up(LA+RA+C).csv").unlink()
    (imu / "上(RA+LA+C).csv").write_bytes((text + "2025-06-10 10:43:40,WTRA(x),1").encode("gbk"))  # and cut off
    spec = cuhk_x.cuhk_x_spec()
    plain, renamed = cuhk_x.trials(folder, spec, tmp_path / "a"), cuhk_x.trials(other, spec, tmp_path / "b")
    (expected,) = plain.features["imu"][plain.recordings == "a36_u9_1-1-1"]
    np.testing.assert_array_equal(renamed.features["imu"][0], expected)


def test_what_a_trial_lacks_is_absent(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path)
    (radar,) = other.glob("Radar/*/*/*/*.csv")
    write_table(radar, RADAR_HEAD, [])  # as half of them are published
    legs = ModelSpec(
        modalities=(
            ModalitySpec(sensor="radar", rate_hz=5, shape=(32, 5)),
            ModalitySpec(sensor="left-leg", kind="imu", rate_hz=10, shape=(6,)),
            ModalitySpec(sensor="chest", kind="imu", rate_hz=10, shape=(6,)),
        ),
        window_s=4,
        hop_s=4,
        classes=cuhk_x.CLASSES,
        quality=(0.4, 0.3, 0.3),
    )
    windows = cuhk_x.trials(other, legs, tmp_path / "cache")
    assert windows.presence.tolist() == [[False, True, False]]
    assert not windows.features["radar"].any() and windows.features["left-leg"].any()


def test_broken_files_and_folders_are_named(folder: Path, tmp_path: Path) -> None:
    spec = cuhk_x.cuhk_x_spec()
    with pytest.raises(DataSetError, match="nowhere has no HAR/data/IMU"):
        cuhk_x.trials(tmp_path / "nowhere", spec, tmp_path / "cache")
    other = copied(folder, tmp_path)
    (radar,) = other.glob("Radar/*/*/*/*.csv")
    write_table(radar, ["frame", "x", "y", "z"], [[1, 0, 0, 0]])
    with pytest.raises(DataSetError, match=r"radar_output.*no column v, snr; it has frame, x, y, z"):
        cuhk_x.trials(other, spec, tmp_path / "cache")
    write_table(radar, RADAR_HEAD, [["a"] * len(RADAR_HEAD)])
    with pytest.raises(DataSetError, match="no row holds numbers in frame, x, y, z, v, snr"):
        cuhk_x.trials(other, spec, tmp_path / "cache")
    write_table(radar, RADAR_HEAD, [])
    picture = min(other.glob("Depth_Color/*/*/*/*.png"))
    picture.write_bytes(picture.read_bytes()[:100])
    with pytest.raises(DataSetError, match="no whole picture"):
        cuhk_x.trials(other, spec, tmp_path / "cache")


def test_the_papers_protocols_split_the_miniature(folder: Path, tmp_path: Path) -> None:
    person, trial = PROTOCOLS["cuhk-x-person"], PROTOCOLS["cuhk-x-trial"]
    left_out = [set(person.task(folder.parent, tmp_path, 100, seed).test.groups) for seed in range(3)]
    assert left_out == [{1}, {9}, {24}]
    tested = [person_or_trial for seed in range(5) for person_or_trial in
              trial.task(folder.parent, tmp_path, 100, seed).test.recordings]  # fmt: skip
    assert len(tested) == len(set(tested)) == 12
