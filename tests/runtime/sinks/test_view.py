from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import pytest
from rich.console import Console

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.labels.prompt import Cue
from cosmo_runtime.runtime.recognition.loop import Outcome
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.sinks.view import LiveView
from cosmo_runtime.runtime.sinks.view.lettering import large
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Sample, StateChange, Tick
from cosmo_runtime.sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]

_S = 10**9


class _Screen:
    """A live view on a terminal of a given size, and what it shows."""

    def __init__(self, width: int, height: int, spec: Optional[ModelSpec], infos: Dict[str, SensorInfo]) -> None:
        self.file = io.StringIO()
        terminal = Console(file=self.file, force_terminal=True, width=width, height=height, color_system="truecolor")
        self.view = LiveView(spec, infos, "a test", terminal)
        self._width, self._height = width, height

    def text(self) -> str:
        """The picture without colours; as wide and high as the terminal allows."""
        console = Console(width=self._width, height=self._height, file=io.StringIO())
        lines = console.render_lines(self.view.render(), console.options.update(height=None), pad=False)
        shown = ["".join(segment.text for segment in line) for line in lines]
        assert len(shown) < self._height
        assert max(map(len, shown)) <= self._width
        return "\n".join(shown)


MakeScreen = Callable[..., _Screen]


@pytest.fixture
def screen(infos: Dict[str, SensorInfo]) -> Iterator[MakeScreen]:
    """Makes a screen, closed at the end of the test."""
    screens: List[_Screen] = []

    def make(
        width: int, height: int, spec: Optional[ModelSpec] = None, names: Sequence[str] = ("imu", "depth", "radar")
    ) -> _Screen:
        screens.append(_Screen(width, height, spec, {name: infos[name] for name in names}))
        return screens[-1]

    yield make
    for made in screens:
        made.view.close()


def _outcome(spec: ModelSpec, activity: str, confidence: float = 0.83, truth: Optional[str] = None) -> Outcome:
    rest = (1 - confidence) / (len(spec.classes) - 1)
    likeliest = activity if activity in spec.classes else spec.classes[1]
    prediction = Prediction(
        bundle="person",
        window_end_ns=2 * _S,
        activity=activity,
        confidence=confidence,
        probabilities={name: confidence if name == likeliest else rest for name in spec.classes},
        weights={"imu": 0.61, "depth": 0.39, "radar": 0.0},
        present={"imu": True, "depth": True, "radar": False},
        engine_ms=1.5,
        latency_ms=4.25,
    )
    window = Window(2 * _S, {}, prediction.present, 2 * _S)
    return Outcome(prediction, window, {"imu": "ok", "depth": "ok", "radar": "absent"}, 0, truth, False, 500_000_000)


def _many(spec: ModelSpec, count: int) -> ModelSpec:
    return spec.model_copy(update={"classes": tuple(f"activity number {number}" for number in range(count))})


@pytest.mark.parametrize("size", [(40, 24), (80, 18), (80, 24), (100, 40), (120, 36), (200, 60)])
@pytest.mark.parametrize("names", [("imu",), ("depth",), ("imu", "depth", "radar")])
def test_every_size_has_room_for_what_matters(
    spec: ModelSpec, screen: MakeScreen, samples: Samples, size: Tuple[int, int], names: Sequence[str]
) -> None:
    shown = screen(*size, _many(spec, 27), names)
    assert "waiting for the first window" in shown.text()
    for name in names:
        for sample in samples(name, 0, 4):
            shown.view.event(sample)
    shown.view.outcome(_outcome(_many(spec, 27), "activity number 7", truth="activity number 3"))
    text = shown.text()
    assert size[0] < 60 or "a test  bundle person" in text.splitlines()[0]
    assert "83%" in text
    assert size[0] < 60 or "truth: activity number 3" in text
    assert "latency 4.2 ms, of which engine 1.5" in text
    assert all(re.search(rf"\b{name}\b +ok", text) for name in names if name != "radar")


def test_the_activity_is_written_large_where_it_fits() -> None:
    assert large("hit", 40) == "█ █ ▀█▀ ▀█▀\n█▀█  █   █ \n▀ ▀ ▀▀▀  ▀ "
    assert large("sit down", 20) == "\nS I T  D O W N\n"
    assert large("sit down", 10) == "\nSIT DOWN\n"
    assert large("№ 5", 80) == "\n№  5\n"
    assert large("Ходьба", 80) == "\nХ О Д Ь Б А\n"


@pytest.mark.parametrize("name", ["راه\u200cرفتن", "चलना", "👩\u200d🦽 roll", "e\u0301"])
def test_signs_that_belong_together_stay_together(name: str) -> None:
    assert large(name, 80) == f"\n{name.upper()}\n"


def test_a_doubtful_answer_names_the_likeliest_activity(spec: ModelSpec, screen: MakeScreen) -> None:
    shown = screen(80, 24, spec)
    shown.view.outcome(_outcome(spec, "uncertain", confidence=0.44))
    assert re.search(r"44% +perhaps wave", shown.text())


def test_activities_stand_in_the_order_of_the_model_or_the_most_probable_ones_where_there_are_too_many(
    spec: ModelSpec, screen: MakeScreen
) -> None:
    few = screen(120, 36, spec)
    few.view.outcome(_outcome(spec, "wave"))
    places = [few.text().index(f"{name} ") for name in spec.classes]
    assert places == sorted(places)
    many = screen(80, 24, _many(spec, 40))
    many.view.outcome(_outcome(_many(spec, 40), "activity number 39"))
    assert "activity number 39" in many.text()
    assert "activity number 30" not in many.text()


def test_what_was_done_before_stays_in_sight_the_latest_last(spec: ModelSpec, screen: MakeScreen) -> None:
    shown = screen(80, 24, spec)
    for activity in "walk", "wave", "wave", "walk", "none":
        shown.view.outcome(_outcome(spec, activity))
    assert "walk › wave › walk" in shown.text()
    for number in range(30):
        shown.view.outcome(_outcome(_many(spec, 30), f"activity number {number}"))
    assert "number 27 › activity number 28 ─" in shown.text()


def test_trust_state_rate_and_losses_stand_beside_each_sensor(
    spec: ModelSpec, screen: MakeScreen, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    shown = screen(120, 36, spec)
    for name in "imu", "radar", "depth":
        for sample in samples(name, 0, 4):
            shown.view.event(sample)
    shown.view.event(Tick(3 * _S))
    shown.view.outcome(_outcome(spec, "wave"))
    infos["imu"].counts["lost_samples"] = 12
    shown.view.event(StateChange("depth", 4 * _S, "lost", "unplugged"))
    shown.view.event(StateChange("sonar", 4 * _S, "ok"))
    text = shown.text()
    assert re.search(r"imu +ok +\D* 61% +100 Hz +12 +[▁▂▃▄▅▆▇█]{20,}", text)
    assert re.search(r"depth +lost +\D* 39% +1[456] Hz +0", text)
    assert re.search(r"radar +absent +0% +20 Hz +0", text)


def test_a_sensor_out_of_step_is_named_as_long_as_it_is(spec: ModelSpec, screen: MakeScreen) -> None:
    shown = screen(120, 36, spec)
    shown.view.out_of_step({"depth": 180.0})
    assert "out of step: depth +180 ms" in shown.text()
    shown.view.out_of_step({})
    assert "out of step" not in shown.text()
    shown.view.corrected({"depth": 180.0})
    assert "put in step: depth -180 ms" in shown.text()


def test_a_sensor_that_falls_silent_is_seen_to_slow_down(spec: ModelSpec, screen: MakeScreen, samples: Samples) -> None:
    shown = screen(120, 36, spec)
    for sample in [*samples("radar", 0, 3), *samples("imu", 0, 6)]:
        shown.view.event(sample)
    assert re.search(r"radar .* 0 Hz", shown.text())
    assert re.search(r"imu .* 100 Hz", shown.text())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_imu_that_sends_no_acceleration_is_drawn_flat(screen: MakeScreen, samples: Samples, value: float) -> None:
    shown = screen(80, 40, names=["imu"])
    for sample in samples("imu", 0, 2):
        sample.data[:3] = value
        shown.view.event(sample)
    assert re.search(r"imu +ok +100 Hz +0 +▁{20}", shown.text())


@pytest.mark.parametrize("shape, columns", [((135, 240), 56), ((240, 320), 42), ((8, 12), 48)])
def test_the_depth_image_keeps_its_proportions_and_near_is_bright(
    screen: MakeScreen, shape: Tuple[int, int], columns: int
) -> None:
    shown = screen(120, 36, None, ["depth"])
    image = np.full(shape, 4500, np.uint16)
    image[:, : shape[1] // 2] = 700
    shown.view.event(Sample("depth", _S, _S, image))
    assert f" {'▀' * columns} " in shown.text()
    assert shown.text().count("▀" * columns) == 16
    shown.view.idle()
    colours = [tuple(map(int, found)) for found in re.findall(r"38;2;(\d+);(\d+);(\d+);48", shown.file.getvalue())]
    left, right = colours[:2]
    assert sum(left) > 500
    assert sum(right) < 150


def test_a_picture_in_which_nothing_was_measured_is_black(screen: MakeScreen) -> None:
    shown = screen(120, 36, None, ["depth"])
    shown.view.event(Sample("depth", _S, _S, np.zeros((8, 12), np.uint16)))
    shown.view.idle()
    assert set(re.findall(r"38;2;(\d+;\d+;\d+);48", shown.file.getvalue())) == {"0;0;0"}


def test_recording_shows_the_sensors_and_no_recognition(screen: MakeScreen, samples: Samples) -> None:
    shown = screen(80, 40)
    for sample in samples("imu", 0, 2):
        shown.view.event(sample)
    text = shown.text()
    assert "trust" not in text
    assert "waiting for the first window" not in text
    assert re.search(r"imu +ok +100 Hz", text)


@pytest.mark.parametrize("prompted", [False, True])
@pytest.mark.parametrize("size, picture", [((80, 24), True), ((40, 24), True), ((80, 16), False), ((200, 60), True)])
def test_a_recording_shows_every_sensor_and_as_much_of_the_picture_as_there_is_room_for(
    screen: MakeScreen, samples: Samples, size: Tuple[int, int], picture: bool, prompted: bool
) -> None:
    shown = screen(*size)
    if prompted:
        shown.view._cue = lambda: Cue("wave", False, 2.4, 1, 6, "walk")
    for name in "imu", "depth", "radar":
        for sample in samples(name, 0, 2):
            shown.view.event(sample)
    text = shown.text()
    assert all(re.search(rf"\b{name}\b +ok +\d+ Hz +0\b", text) for name in ("imu", "depth", "radar"))
    assert ("begins in 3 s" in text) == prompted
    if size[1] > 16 or not prompted:
        assert ("▀▀▀▀" in text.replace(" ", "")) == (picture or not prompted)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), UnicodeEncodeError("latin-1", "▀", 0, 1, "no")])
def test_a_view_that_cannot_draw_says_so_once_and_ends_no_run(
    infos: Dict[str, SensorInfo], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class _Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise error

    stdout = sys.stdout
    view = LiveView(None, infos, "a test", Console(file=_Broken(), force_terminal=True, width=80, height=24))
    for _ in range(3):
        view.idle()
    view.close()
    assert [record.message[:44] for record in caplog.records] == [
        "the live view ended, the run goes on: " + repr(error)[:6]
    ]
    assert sys.stdout is stdout


def test_brackets_in_a_name_are_shown_as_they_are(
    infos: Dict[str, SensorInfo], spec: ModelSpec, screen: MakeScreen
) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, height=40)
    view = LiveView(spec, infos, "emulated: utd:/data[1]/[bold]", terminal)
    view.idle()
    view.close()
    assert "utd:/data[1]/[bold]" in terminal.file.getvalue()  # type: ignore[attr-defined]


def test_a_person_who_is_prompted_sees_what_to_do_now_and_next(infos: Dict[str, SensorInfo]) -> None:
    cue: Optional[Cue] = Cue("wave", False, 2.4, 1, 6, "walk")
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=80, height=24)
    view = LiveView(None, {"imu": infos["imu"]}, "a test", terminal, lambda: cue)
    screen = Console(width=80, height=24, file=io.StringIO())

    def shown() -> str:
        return "\n".join("".join(s.text for s in line) for line in screen.render_lines(view.render()))

    assert "1 of 6" in shown()
    assert "begins in 3 s" in shown()
    assert "then walk" in shown()
    assert large("wave", 76).splitlines()[1].strip() in shown()
    cue = Cue("wave", True, 2.0, 6, 6, None)
    assert "now, for 2 s more" in shown()
    assert "the last one" in shown()
    cue = None
    assert "begins" not in shown()
    view.close()


def test_a_sensor_that_sleeps_is_shown_as_asleep(screen: MakeScreen, spec: ModelSpec, samples: Samples) -> None:
    shown = screen(100, 40, spec)
    shown.view.event(StateChange("depth", 0, "ok"))
    for sample in samples("depth", 0, 2):
        shown.view.event(sample)
    outcome = _outcome(spec, "walk")
    shown.view.outcome(replace(outcome, sensors={**outcome.sensors, "depth": "asleep"}))
    assert re.search(r"depth +asleep .* 1[456] Hz", shown.text())
