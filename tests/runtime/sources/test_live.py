from __future__ import annotations

import os
import signal
import threading
import time
from typing import Callable, Dict, List

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sources import live
from cosmo_runtime.runtime.sources.live import LiveSource, connect_all, disconnect_all
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.emulation.rig import EmulatedRig
from cosmo_runtime.sensors.events import Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.sensor import Sensor, SensorEnded, SensorError, SensorInfo, SensorLost, SensorNotFound
from tests.runtime.sources.scripted import Listener, Scripted, samples_of, states


def test_events_come_in_order_each_sensors_state_first_and_ticks_between(listener: Listener) -> None:
    events = listener.wait_for(
        lambda events: (
            all(len(samples_of(events, name)) > 20 for name in ("imu", "radar"))
            and sum(isinstance(event, Tick) for event in events) > 5
        )
    )
    for name in "imu", "radar":
        mine = [event for event in events if getattr(event, "sensor", None) == name]
        assert isinstance(mine[0], StateChange)
        assert mine[0].state == "ok"
        assert mine[0].at_ns == samples_of(events, name)[0].arrival_ns
        stamps = [sample.stamp_ns for sample in samples_of(events, name)]
        assert stamps == sorted(set(stamps))
        assert states(events, name) == ["ok"]
    ticks = [event.now_ns for event in events if isinstance(event, Tick)]
    assert ticks == sorted(ticks)


def test_ticks_come_though_no_sample_does(sensors: Dict[str, Scripted]) -> None:
    for sensor in sensors.values():
        sensor.trouble = "silent"
    with LiveSource(list(sensors.values())) as source:
        listener = Listener(source)
        listener.wait_for(lambda events: sum(isinstance(event, Tick) for event in events) > 5)


def test_a_lost_sensor_is_told_and_connected_again_while_the_others_go_on(
    sensors: Dict[str, Scripted], listener: Listener
) -> None:
    listener.wait_for(lambda events: bool(samples_of(events, "imu")))
    gone = SensorNotFound("imu: no such device")
    sensors["imu"].connects.extend([gone, gone, gone])
    sensors["imu"].trouble = SensorLost("imu: unplugged")
    events = listener.wait_for(lambda events: "lost" in states(events, "imu"))
    (lost,) = [event for event in events if isinstance(event, StateChange) and event.state == "lost"]
    assert lost.reason == "imu: unplugged"
    sensors["imu"].trouble = None
    events = listener.wait_for(lambda events: states(events, "imu") == ["ok", "lost", "ok"])
    meanwhile = [sample for sample in samples_of(events, "radar") if sample.arrival_ns > lost.at_ns]
    assert len(meanwhile) > 10
    assert states(events, "radar") == ["ok"]
    tries = sensors["imu"].connect_times[1:]  # the first was before the run
    assert len(tries) == 4
    waits = np.diff(tries)
    assert (waits > [0.15, 0.35, 0.75]).all()  # each twice as long as the one before
    assert sensors["imu"].info.counts["reconnections"] == 1


def test_an_open_port_that_is_silent_is_lost_and_connected_again(
    sensors: Dict[str, Scripted], listener: Listener
) -> None:
    listener.wait_for(lambda events: bool(samples_of(events, "imu")))
    sensors["imu"].trouble = "silent"
    events = listener.wait_for(lambda events: "lost" in states(events, "imu"))
    lost = next(event for event in events if isinstance(event, StateChange) and event.state == "lost")
    assert "scripted imu: silent for" in lost.reason
    assert lost.at_ns - samples_of(events, "imu")[-1].arrival_ns > 0.5e9
    sensors["imu"].trouble = None
    listener.wait_for(
        lambda events: states(events, "imu")[-1] == "ok" and samples_of(events, "imu")[-1].arrival_ns > lost.at_ns
    )


def test_a_sensor_that_stays_silent_is_told_lost_once(sensors: Dict[str, Scripted], listener: Listener) -> None:
    listener.wait_for(lambda events: bool(samples_of(events, "imu")))
    sensors["imu"].trouble = "silent"
    listener.wait_for(lambda _: len(sensors["imu"].connect_times) > 2)
    assert states(list(listener.events), "imu") == ["ok", "lost"]


def test_a_slow_sensor_is_given_three_of_its_periods() -> None:
    slow = Scripted("radar", rate_hz=2)
    slow.connect()
    slow.trouble = "silent"
    with LiveSource([slow]) as source:
        listener = Listener(source)
        began_ns = time.monotonic_ns()
        events = listener.wait_for(lambda events: "lost" in states(events, "radar"))
    lost = next(event for event in events if isinstance(event, StateChange))
    assert lost.at_ns - began_ns > 1.4e9


def test_losses_and_reconnections_are_logged_once_each(
    sensors: Dict[str, Scripted], listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    listener.wait_for(lambda events: bool(samples_of(events, "imu")))
    sensors["imu"].trouble = SensorLost("imu: unplugged")
    listener.wait_for(lambda events: "lost" in states(events, "imu"))
    sensors["imu"].trouble = None
    listener.wait_for(lambda events: states(events, "imu") == ["ok", "lost", "ok"])
    messages = [record.message for record in caplog.records]
    assert messages == ["imu is lost: imu: unplugged", "imu is back"]


def test_after_a_stop_time_goes_on_only_when_the_consumer_has_taken_all_that_waited() -> None:
    class Stopped(Scripted):
        """Brings what waited in the kernel at once when the stop is over, as a serial port does."""

        goes_on = threading.Event()

        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.waited: List[Sample] = []

        def read(self, timeout_s: float) -> List[Sample]:
            self.goes_on.wait()
            if self.waited:
                return [self.waited.pop(0)]
            if timeout_s < 0.01:  # too short for the next sample
                time.sleep(timeout_s)
                return []
            return super().read(timeout_s)

    sensors = [Stopped("imu"), Stopped("radar")]
    connect_all(sensors)
    Stopped.goes_on.set()
    with LiveSource(sensors) as source:
        events = source.events()
        assert any(isinstance(next(events), Tick) for _ in range(100))
        Stopped.goes_on.clear()
        time.sleep(0.3)
        now_ns = time.monotonic_ns()
        for sensor in sensors:
            stamps_ns = range(now_ns - 250_000_000, now_ns, 10_000_000)
            sensor.waited = [Sample(sensor.info.name, stamp, now_ns, np.zeros(9, np.float32)) for stamp in stamps_ns]
        Stopped.goes_on.set()
        kinds = []
        while len(kinds) < 70 and kinds.count("waited") < 50:
            event = next(events)
            kinds.append("waited" if isinstance(event, Sample) and event.arrival_ns == now_ns else type(event).__name__)
            time.sleep(0.005)
    assert kinds.count("waited") == 50
    assert "Tick" not in kinds[kinds.index("waited") :]


def test_others_events_take_their_place_in_the_order(sensors: Dict[str, Scripted]) -> None:
    source = LiveSource([])
    truths = [Truth(number, "walk") for number in range(3)]
    assert all(source.put(truth) for truth in truths)
    listener = Listener(source)
    events = listener.wait_for(lambda events: sum(isinstance(event, Truth) for event in events) == 3)
    source.stop()
    listener.join()
    assert [event for event in events if isinstance(event, Truth)] == truths


def test_nothing_is_left_running_and_all_is_released_at_the_end(sensors: Dict[str, Scripted]) -> None:
    before = set(threading.enumerate())
    sensors["radar"].trouble = SensorLost("radar: unplugged")
    sensors["radar"].connects.extend([SensorNotFound("radar: gone")] * 100)
    with LiveSource(list(sensors.values())) as source:
        listener = Listener(source)
        listener.wait_for(lambda events: "lost" in states(events, "radar"))
    listener.join()
    assert set(threading.enumerate()) <= before
    assert not any(sensor.connected for sensor in sensors.values())


def test_sensors_are_connected_side_by_side_and_every_error_is_told() -> None:
    side_by_side = threading.Barrier(3)

    class Slow(Scripted):
        def connect(self) -> None:
            side_by_side.wait(60)  # each waits until all three connect
            super().connect()

    sensors = [Slow(name) for name in ("imu", "depth", "radar")]
    sensors[1].connects.append(SensorNotFound("no camera"))
    sensors[2].connects.append(SensorError("no permission"))
    errors = connect_all(sensors)
    assert {name: str(error) for name, error in errors.items()} == {"depth": "no camera", "radar": "no permission"}
    assert [sensor.connected for sensor in sensors] == [True, False, False]


def test_waiting_for_a_sensor_that_hangs_can_be_interrupted_and_its_release_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connects, hangs = threading.Event(), threading.Event()

    class Hanging(Scripted):
        def connect(self) -> None:
            connects.set()
            hangs.wait(100)

        disconnect = connect

    def interrupt() -> None:
        if connects.wait(60):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(live, "_RELEASE_S", 0.2)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupting = threading.Thread(target=interrupt)
    try:
        interrupting.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            connect_all([Hanging("imu")])
        disconnect_all([Hanging("imu")])
        assert time.monotonic() - began < 60
    finally:
        interrupting.join()  # a signal after the next line would end the tests without a word
        signal.signal(signal.SIGTERM, before)
        hangs.set()


def test_a_fault_of_a_driver_itself_is_told_when_connecting() -> None:
    broken = Scripted("imu")
    broken.connects.append(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        connect_all([broken])


def test_a_fault_of_a_driver_in_a_run_is_logged_and_costs_only_its_sensor(
    sensors: Dict[str, Scripted], listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    sensors["imu"].trouble = ZeroDivisionError("a bug")
    listener.wait_for(lambda events: states(events, "imu")[-1:] == ["lost"])
    sensors["imu"].trouble = None
    events = listener.wait_for(lambda events: states(events, "imu")[-1] == "ok")
    assert states(events, "radar") == ["ok"]
    assert "scripted imu: its driver failed" in caplog.text
    assert "ZeroDivisionError: a bug" in caplog.text


def test_a_cable_that_is_pulled_and_plugged_in_again_costs_its_sensor_only_that_time(
    spec: ModelSpec, tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: List[Outcome] = []
    unanswered: List[int] = []

    class Kept(Sink):
        def outcome(self, outcome: Outcome) -> None:
            outcomes.append(outcome)

        def empty(self, windows: int) -> None:
            if outcomes:
                unanswered.append(windows)

        def outdated(self, window: Window) -> None:
            self.empty(1)

    def wait_for(found: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not found():
            assert time.monotonic() < end, [outcome.sensors for outcome in outcomes]
            time.sleep(0.02)

    with EmulatedRig("person", ["imu", "radar"]) as rig:
        drivers = rig.sensors()
        assert connect_all(drivers) == {}
        infos = {driver.info.name: driver.info for driver in drivers}
        aligner = Aligner(spec, infos)
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
        loop.join(60)
        assert not loop.is_alive()
    assert infos["imu"].counts["reconnections"] >= 1
    ends = [outcome.window.end_ns for outcome in outcomes]
    missing = (ends[-1] - ends[0]) // spec.hop_ns + 1 - len(ends)
    assert missing <= sum(unanswered)  # each of them is told
    if "silent" in caplog.text or unanswered:  # nobody pulled those: the rig got no processor for half a second
        return
    begun = next(number for number, outcome in enumerate(outcomes) if outcome.sensors["radar"] == "ok")
    assert all(outcome.sensors["radar"] == "ok" for outcome in outcomes[begun:])


def test_a_recorded_device_that_ends_is_not_connected_again_and_the_last_one_ends_the_run() -> None:
    short, shorter = Scripted("depth"), Scripted("imu")
    short.connected = shorter.connected = True
    short.trouble = shorter.trouble = SensorEnded("walk.bag: has ended")
    with LiveSource([short, shorter]) as source:
        events = list(source.events())
    changes = [event for event in events if isinstance(event, StateChange)]
    assert sorted((change.sensor, change.state) for change in changes) == [("depth", "lost"), ("imu", "lost")]
    assert short.connect_times == shorter.connect_times == []
    assert not short.connected


def test_a_sensor_that_is_missing_at_the_start_is_lost_until_it_comes() -> None:
    class Late(Sensor):
        def __init__(self) -> None:
            self.info = SensorInfo("imu", "a late IMU", 100)
            self.tries = 0

        def connect(self) -> None:
            self.tries += 1
            if self.tries < 3:
                raise SensorNotFound("not there")

        def read(self, timeout_s: float) -> List[Sample]:
            time.sleep(0.01)
            now_ns = time.monotonic_ns()
            return [Sample("imu", now_ns, now_ns, np.zeros(9, np.float32))]

        def disconnect(self) -> None:
            pass

    late = Late()
    with LiveSource([late], missing={"imu": "not there"}) as source:
        changes = []
        for event in source.events():
            if isinstance(event, StateChange):
                changes.append((event.state, event.reason))
            if len(changes) == 2:
                source.stop()
    assert changes == [("lost", "not there"), ("ok", "")]
    assert late.tries == 3
    assert late.info.counts["reconnections"] == 0
