from __future__ import annotations

import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, Iterator, List, Optional, Union

import numpy as np
import pytest

from models.bundle import Bundle
from models.spec import ModelSpec
from runtime import live
from runtime.aligner import Aligner, Window
from runtime.config import Config
from runtime.engine import OnnxRuntimeEngine
from runtime.live import LiveSource, connect_all
from runtime.loop import Outcome, Sink, recognise
from runtime.recognizer import Recognizer
from sensors.emulation.rig import EmulatedRig
from sensors.events import Event, Sample, StateChange, Tick, Truth
from sensors.sensor import Sensor, SensorEnded, SensorError, SensorInfo, SensorLost, SensorNotFound


class _Scripted(Sensor):
    """A sensor that brings 100 samples a second until it is told otherwise."""

    def __init__(self, name: str, rate_hz: float = 100) -> None:
        self.info = SensorInfo(name, f"scripted {name}", rate_hz)
        self.connects: Deque[Optional[Exception]] = deque()  # what the next calls of connect raise, if anything
        self.trouble: Union[Exception, str, None] = None  # what read raises, or "silent"
        self.connected = False
        self.connect_times: List[float] = []

    def connect(self) -> None:
        self.connect_times.append(time.monotonic())
        error = self.connects.popleft() if self.connects else None
        if error:
            raise error
        self.connected = True

    def read(self, timeout_s: float) -> List[Sample]:
        assert self.connected
        if isinstance(self.trouble, Exception):
            raise self.trouble
        if self.trouble == "silent":
            time.sleep(timeout_s)
            return []
        time.sleep(0.01)
        now_ns = time.monotonic_ns()
        self.info.counts["samples"] += 1
        return [Sample(self.info.name, now_ns - 1000, now_ns, np.zeros(9, np.float32))]

    def disconnect(self) -> None:
        self.connected = False


class _Listener:
    """Reads a source in a thread of its own, as the recognition loop does, and lets tests wait for an event."""

    def __init__(self, source: LiveSource) -> None:
        self.events: List[Event] = []
        self._thread = threading.Thread(target=lambda: self.events.extend(source.events()), daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()

    def wait_for(self, found: Callable[[List[Event]], bool], timeout_s: float = 10) -> List[Event]:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            events = list(self.events)
            if found(events):
                return events
            time.sleep(0.01)
        raise AssertionError(f"did not come; the last events: {self.events[-5:]}")


def _states(events: List[Event], name: str) -> List[str]:
    return [event.state for event in events if isinstance(event, StateChange) and event.sensor == name]


def _samples(events: List[Event], name: str) -> List[Sample]:
    return [event for event in events if isinstance(event, Sample) and event.sensor == name]


@pytest.fixture
def sensors() -> Dict[str, _Scripted]:
    sensors = {"imu": _Scripted("imu"), "radar": _Scripted("radar")}
    assert connect_all(list(sensors.values())) == {}
    return sensors


@pytest.fixture
def listener(sensors: Dict[str, _Scripted]) -> Iterator[_Listener]:
    with LiveSource(list(sensors.values())) as source:
        listener = _Listener(source)
        yield listener
    listener.join()


def test_events_come_in_order_each_sensors_state_first_and_ticks_between(listener: _Listener) -> None:
    events = listener.wait_for(lambda events: all(len(_samples(events, name)) > 20 for name in ("imu", "radar")))
    for name in "imu", "radar":
        mine = [event for event in events if getattr(event, "sensor", None) == name]
        assert isinstance(mine[0], StateChange)
        assert mine[0].state == "ok"
        assert mine[0].at_ns == _samples(events, name)[0].arrival_ns
        stamps = [sample.stamp_ns for sample in _samples(events, name)]
        assert stamps == sorted(set(stamps))
        assert _states(events, name) == ["ok"]
    ticks = [event.now_ns for event in events if isinstance(event, Tick)]
    assert len(ticks) > 5
    assert ticks == sorted(ticks)


def test_ticks_come_though_no_sample_does(sensors: Dict[str, _Scripted]) -> None:
    for sensor in sensors.values():
        sensor.trouble = "silent"
    with LiveSource(list(sensors.values())) as source:
        listener = _Listener(source)
        listener.wait_for(lambda events: sum(isinstance(event, Tick) for event in events) > 5)


def test_a_lost_sensor_is_told_and_connected_again_while_the_others_go_on(
    sensors: Dict[str, _Scripted], listener: _Listener
) -> None:
    listener.wait_for(lambda events: bool(_samples(events, "imu")))
    gone = SensorNotFound("imu: no such device")
    sensors["imu"].connects.extend([gone, gone, gone])
    sensors["imu"].trouble = SensorLost("imu: unplugged")
    events = listener.wait_for(lambda events: "lost" in _states(events, "imu"))
    (lost,) = [event for event in events if isinstance(event, StateChange) and event.state == "lost"]
    assert lost.reason == "imu: unplugged"
    sensors["imu"].trouble = None
    events = listener.wait_for(lambda events: _states(events, "imu") == ["ok", "lost", "ok"])
    meanwhile = [sample for sample in _samples(events, "radar") if sample.arrival_ns > lost.at_ns]
    assert len(meanwhile) > 10
    assert _states(events, "radar") == ["ok"]
    tries = sensors["imu"].connect_times[1:]  # the first was before the run
    assert len(tries) == 4
    waits = np.diff(tries)
    assert (waits > [0.15, 0.35, 0.75]).all()  # each twice as long as the one before
    assert sensors["imu"].info.counts["reconnections"] == 1


def test_an_open_port_that_is_silent_is_lost_and_connected_again(
    sensors: Dict[str, _Scripted], listener: _Listener
) -> None:
    listener.wait_for(lambda events: bool(_samples(events, "imu")))
    sensors["imu"].trouble = "silent"
    events = listener.wait_for(lambda events: "lost" in _states(events, "imu"))
    lost = next(event for event in events if isinstance(event, StateChange) and event.state == "lost")
    assert "scripted imu: silent for" in lost.reason
    assert lost.at_ns - _samples(events, "imu")[-1].arrival_ns > 0.5e9
    sensors["imu"].trouble = None
    listener.wait_for(
        lambda events: _states(events, "imu")[-1] == "ok" and _samples(events, "imu")[-1].arrival_ns > lost.at_ns
    )


def test_a_sensor_that_stays_silent_is_told_lost_once(sensors: Dict[str, _Scripted], listener: _Listener) -> None:
    listener.wait_for(lambda events: bool(_samples(events, "imu")))
    sensors["imu"].trouble = "silent"
    listener.wait_for(lambda _: len(sensors["imu"].connect_times) > 2)
    assert _states(list(listener.events), "imu") == ["ok", "lost"]


def test_a_slow_sensor_is_given_three_of_its_periods() -> None:
    slow = _Scripted("radar", rate_hz=2)
    slow.connect()
    slow.trouble = "silent"
    with LiveSource([slow]) as source:
        listener = _Listener(source)
        began_ns = time.monotonic_ns()
        events = listener.wait_for(lambda events: "lost" in _states(events, "radar"))
    lost = next(event for event in events if isinstance(event, StateChange))
    assert lost.at_ns - began_ns > 1.4e9


def test_what_the_loop_is_too_late_for_is_counted(
    sensors: Dict[str, _Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_QUEUE_LENGTH", 5)
    imu = sensors["imu"]
    with LiveSource([imu]):  # nobody takes events out
        while imu.info.counts["samples"] < 20:
            time.sleep(0.01)
    assert imu.info.counts["queue_overruns"] == imu.info.counts["samples"] - 4  # and one place went to its state


def test_while_events_wait_ticks_tell_when_they_came() -> None:
    source = LiveSource([])
    stamps = [10**9 + number * 10**7 for number in range(100)]
    for stamp_ns in stamps:
        source.put(Truth(stamp_ns + 10**12, "walk"))  # may be told long before
        source.put(Sample("imu", stamp_ns - 1000, stamp_ns, np.zeros(9, np.float32)))
    began_ns = time.monotonic_ns()
    *ticks, last = [event.now_ns for event in source.events() if isinstance(event, Tick)]
    assert ticks == stamps[:-1:2]  # one in 20 ms
    assert began_ns <= last <= time.monotonic_ns()  # nothing waits any more


def test_a_loop_that_is_held_up_loses_no_window(sensors: Dict[str, _Scripted], spec: ModelSpec) -> None:
    aligner = Aligner(spec, {"imu": 100})
    windows: List[Window] = []
    held_up = False
    with LiveSource([sensors["imu"]]) as source:
        for event in source.events():
            windows += aligner.feed(event)
            if windows and not held_up:
                time.sleep(2)
                held_up = True
            if len(windows) == 6:
                source.stop()
    assert {after.end_ns - before.end_ns for before, after in zip(windows, windows[1:])} == {spec.hop_ns}
    assert not any(window.late for window in windows)


def test_others_events_take_their_place_in_the_order(sensors: Dict[str, _Scripted]) -> None:
    source = LiveSource([])
    truths = [Truth(number, "walk") for number in range(3)]
    assert all(source.put(truth) for truth in truths)
    listener = _Listener(source)
    events = listener.wait_for(lambda events: sum(isinstance(event, Truth) for event in events) == 3)
    source.stop()
    listener.join()
    assert [event for event in events if isinstance(event, Truth)] == truths


def test_nothing_is_left_running_and_all_is_released_at_the_end(sensors: Dict[str, _Scripted]) -> None:
    before = set(threading.enumerate())
    sensors["radar"].trouble = SensorLost("radar: unplugged")
    sensors["radar"].connects.extend([SensorNotFound("radar: gone")] * 100)
    with LiveSource(list(sensors.values())) as source:
        listener = _Listener(source)
        listener.wait_for(lambda events: "lost" in _states(events, "radar"))
    listener.join()
    assert set(threading.enumerate()) <= before
    assert not any(sensor.connected for sensor in sensors.values())


def test_sensors_are_connected_side_by_side_and_every_error_is_told() -> None:
    class Slow(_Scripted):
        def connect(self) -> None:
            time.sleep(0.5)
            super().connect()

    sensors = [Slow(name) for name in ("imu", "depth", "radar")]
    sensors[1].connects.append(SensorNotFound("no camera"))
    sensors[2].connects.append(SensorError("no permission"))
    began = time.monotonic()
    errors = connect_all(sensors)
    assert time.monotonic() - began < 1.4
    assert {name: str(error) for name, error in errors.items()} == {"depth": "no camera", "radar": "no permission"}
    assert [sensor.connected for sensor in sensors] == [True, False, False]


def test_a_fault_of_a_driver_itself_is_told_when_connecting() -> None:
    broken = _Scripted("imu")
    broken.connects.append(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        connect_all([broken])


def test_a_fault_of_a_driver_in_a_run_is_logged_and_costs_only_its_sensor(
    sensors: Dict[str, _Scripted], listener: _Listener, caplog: pytest.LogCaptureFixture
) -> None:
    sensors["imu"].trouble = ZeroDivisionError("a bug")
    listener.wait_for(lambda events: _states(events, "imu")[-1:] == ["lost"])
    sensors["imu"].trouble = None
    events = listener.wait_for(lambda events: _states(events, "imu")[-1] == "ok")
    assert _states(events, "radar") == ["ok"]
    assert "scripted imu: its driver failed" in caplog.text
    assert "ZeroDivisionError: a bug" in caplog.text


def test_a_cable_that_is_pulled_and_plugged_in_again_costs_its_sensor_only_that_time(
    spec: ModelSpec, tiny_bundle: Bundle
) -> None:
    outcomes: List[Outcome] = []

    class Kept(Sink):
        def outcome(self, outcome: Outcome) -> None:
            outcomes.append(outcome)

    def wait_for(found: Callable[[], bool]) -> None:
        end = time.monotonic() + 15
        while not found():
            assert time.monotonic() < end, [outcome.sensors for outcome in outcomes]
            time.sleep(0.02)

    with EmulatedRig("person", ["imu", "radar"]) as rig:
        drivers = rig.sensors(Config())
        assert connect_all(drivers) == {}
        infos = {driver.info.name: driver.info for driver in drivers}
        aligner = Aligner(spec, {name: info.rate_hz for name, info in infos.items()})
        recognizer = Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx))
        with LiveSource(drivers) as source:
            arguments = (source.events(), aligner, recognizer, infos, [Kept()], True)
            loop = threading.Thread(target=recognise, args=arguments, daemon=True)
            loop.start()
            wait_for(lambda: bool(outcomes) and outcomes[-1].sensors == {"imu": "ok", "radar": "ok"})
            rig.unplug("imu")
            wait_for(lambda: outcomes[-1].sensors == {"imu": "lost", "radar": "ok"})
            rig.plug("imu")
            wait_for(lambda: outcomes[-1].sensors == {"imu": "ok", "radar": "ok"})
        loop.join(5)
        assert not loop.is_alive()
    ends = [outcome.window.end_ns for outcome in outcomes]
    assert set(np.diff(ends)) == {spec.hop_ns}  # no window is missing
    begun = next(number for number, outcome in enumerate(outcomes) if outcome.sensors["radar"] == "ok")
    assert all(outcome.sensors["radar"] == "ok" for outcome in outcomes[begun:])
    assert infos["imu"].counts["reconnections"] >= 1


def test_a_recorded_device_that_ends_is_not_connected_again_and_the_last_one_ends_the_run() -> None:
    short, shorter = _Scripted("depth"), _Scripted("imu")
    short.connected = shorter.connected = True
    short.trouble = shorter.trouble = SensorEnded("walk.bag: has ended")
    with LiveSource([short, shorter]) as source:
        events = list(source.events())
    changes = [event for event in events if isinstance(event, StateChange)]
    assert sorted((change.sensor, change.state) for change in changes) == [("depth", "lost"), ("imu", "lost")]
    assert short.connect_times == shorter.connect_times == []
    assert not short.connected
