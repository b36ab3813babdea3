from __future__ import annotations

from typing import FrozenSet, List, Mapping, Sequence

import numpy as np
import pytest

from cosmo_runtime.names import NOBODY, UNCERTAIN
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.selection.policy import Selection
from cosmo_runtime.runtime.selection.settings import SelectionConfig
from cosmo_runtime.runtime.windows.aligner import Window
from tests.runtime.selection.test_jump import imu

KINDS = {"wrist": "imu", "door": "depth", "wall": "depth", "radar": "radar"}
CAMERAS, ALL = frozenset({"door", "wall"}), frozenset({"door", "wall", "radar"})
HOP_NS = 500_000_000
SETTINGS = SelectionConfig(sure=0.8, doubt=0.9, depth_after_s=0.5, radar_after_s=2, awake_every_s=5)
QUIET, FALLING = (0.1, 0.1, 0.1, 0.1), (0.1, 0.1, 0.1, 6.0)


class Home:
    """Windows one after another, and what slept in each."""

    def __init__(self, watched: Sequence[str] = (), kinds: Mapping[str, str] = KINDS) -> None:
        self.selection = Selection(kinds, SETTINGS, watched)
        self.kinds = kinds
        self.end_ns = 10**12
        self.slept: List[FrozenSet[str]] = []

    def answer(
        self,
        activity: str = "sit",
        confidence: float = 0.95,
        motion: Sequence[float] = QUIET,
        without: Sequence[str] = (),
        unworn: Sequence[str] = (),
        **others: float,
    ) -> FrozenSet[str]:
        self.end_ns += HOP_NS
        present = {name: name not in without for name in self.kinds}
        arrays = {name: imu(*motion) for name, kind in self.kinds.items() if kind == "imu" and present[name]}
        asleep = self.selection.asleep(Window(self.end_ns, arrays, present, self.end_ns))
        self.selection.learn(
            Prediction(
                bundle="b",
                window_end_ns=self.end_ns,
                activity=activity,
                confidence=confidence,
                probabilities={activity: confidence, **others},
                weights={},
                present=present,
                engine_ms=0,
                latency_ms=0,
                unworn=frozenset(unworn),
                asleep=asleep,
            )
        )
        self.slept.append(asleep)
        return asleep

    def settle(self, windows: int = 7, **answer: object) -> FrozenSet[str]:
        for _ in range(windows):
            asleep = self.answer(**answer)  # type: ignore[arg-type]
        return asleep


def test_cameras_sleep_after_half_a_second_of_sure_answers_and_radars_after_two():
    home = Home()
    home.settle()
    assert home.slept == [frozenset(), CAMERAS, CAMERAS, CAMERAS, ALL, ALL, ALL]


def test_an_answer_that_is_not_sure_wakes_all_for_the_next_window():
    home = Home()
    assert home.settle() == ALL
    home.answer(confidence=0.7)
    assert home.answer() == frozenset()


def test_uncertain_is_never_sure():
    home = Home()
    assert home.settle(activity=UNCERTAIN, confidence=0.99) == frozenset()


def test_another_activity_wakes_the_radar():
    home = Home()
    assert home.settle() == ALL
    home.answer("walk")
    assert home.answer("walk") == CAMERAS


def test_a_jump_wakes_the_radar_in_this_very_window():
    home = Home()
    assert home.settle() == ALL
    assert home.answer(motion=FALLING) == CAMERAS


def test_a_jump_wakes_the_cameras_of_a_rig_without_a_radar():
    home = Home(kinds={"wrist": "imu", "door": "depth"})
    assert home.settle() == {"door"}
    assert home.answer(motion=FALLING) == frozenset()


@pytest.mark.parametrize("watched", [(), ("lie",)])
def test_nothing_sleeps_while_a_watched_activity_is_likely(watched):
    home = Home(watched)
    assert home.settle(Fall=0.05) == frozenset()
    assert (home.settle(lie=0.05) == frozenset()) == bool(watched)


def test_a_fall_that_is_certain_keeps_all_awake():
    home = Home()
    assert home.settle(activity="fall", confidence=1.0) == frozenset()


def test_the_radar_watches_where_no_imu_does():
    home = Home()
    assert home.settle(unworn=["wrist"]) == CAMERAS
    assert home.settle(without=["wrist"]) == CAMERAS


def test_a_camera_alone_never_sleeps():
    home = Home()
    assert home.settle(without=["wrist", "radar"]) == frozenset()
    assert home.settle(without=["radar"], unworn=["wrist"]) == frozenset()


def test_an_absent_sensor_is_not_asleep():
    home = Home()
    assert home.settle(without=["door"]) == {"wall", "radar"}


def test_cameras_sleep_while_nobody_is_there():
    home = Home()
    assert home.settle(activity=NOBODY, confidence=0.3, unworn=["wrist"]) == CAMERAS


def test_every_sensor_is_awake_once_in_a_while():
    home = Home()
    home.settle(60)
    for name in ALL:
        awake = [number for number, asleep in enumerate(home.slept) if name not in asleep and number > 5]
        assert len(awake) >= 5
        assert max(np.diff(awake)) * HOP_NS <= SETTINGS.awake_every_s * 1e9


def test_a_gap_wakes_all():
    home = Home()
    assert home.settle() == ALL
    home.end_ns += 2 * 10**9
    assert home.answer() == frozenset()


def test_the_same_windows_and_answers_give_the_same_choice():
    one, other = Home(), Home()
    random = np.random.default_rng(3)
    answers = [
        {"confidence": float(random.uniform(0.6, 1)), "motion": tuple(random.uniform(0, 4, 4))} for _ in range(200)
    ]
    for answer in answers:
        one.answer(**answer)
    for answer in answers:
        other.answer(**answer)
    assert one.slept == other.slept
    assert 20 < sum(map(bool, one.slept)) < 180
