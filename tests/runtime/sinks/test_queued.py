from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Callable, Dict, Iterator, List, Tuple

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import EndOfRun, Outcome, Sink, pass_on, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks import queued
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.sinks.summary import Summary
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Event, Sample, Tick
from cosmo_runtime.sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]


class _Noting(Sink):
    """Notes what it takes, in order; waits before each call while ``open`` is not set."""

    def __init__(self) -> None:
        self.taken: List[Tuple[str, object]] = []
        self.open = threading.Event()
        self.open.set()

    def event(self, event: Event) -> None:
        self._take("event", event)

    def empty(self, windows: int) -> None:
        self._take("empty", windows)

    def silence(self, silence: Silence) -> None:
        self._take("silence", silence)

    def missed(self, counts: Dict[str, int]) -> None:  # type: ignore[override]
        self._take("missed", dict(counts))

    def close(self) -> None:
        self._take("close", None)

    def _take(self, method: str, argument: object) -> None:
        self.open.wait()
        self.taken.append((method, argument))


def _sample(number: int, size: int = 9) -> Sample:
    return Sample("imu", number, number, np.zeros(size, np.float32))


def _silence(number: int) -> Silence:
    return Silence(number, {}, "a test")


def _settled(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def live(spec: ModelSpec, tiny_bundle: Bundle, infos: Dict[str, SensorInfo], samples: Samples) -> Callable[..., None]:
    """Recognises an IMU that sends its samples now, for some seconds."""

    def events(seconds: float) -> Iterator[Event]:
        shift_ns = time.monotonic_ns()
        for sample in samples("imu", 0, seconds, delay_s=0):
            while time.monotonic_ns() < sample.stamp_ns + shift_ns:
                time.sleep(0.001)
                yield Tick(time.monotonic_ns())
            at_ns = sample.stamp_ns + shift_ns  # it has waited since then where the loop comes late
            yield Sample("imu", at_ns, at_ns, sample.data)

    def run(seconds: float, *sinks: Sink) -> None:
        aligner = Aligner(spec, {"imu": infos["imu"]})
        recognizer = Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx))
        try:
            recognise(events(seconds), aligner, recognizer, {"imu": infos["imu"]}, sinks, True)
        finally:
            for sink in sinks:
                sink.close()

    return run


class _Latencies(Sink):
    def __init__(self) -> None:
        self.ms: List[float] = []

    def outcome(self, outcome: Outcome) -> None:
        self.ms.append(outcome.prediction.latency_ms)


class _Sleeper(Sink):
    def __init__(self) -> None:
        self.outcomes = 0

    def outcome(self, outcome: Outcome) -> None:
        time.sleep(2)
        self.outcomes += 1


@pytest.mark.slow
def test_a_sink_that_sleeps_two_seconds_delays_no_prediction(
    live: Callable[..., None], infos: Dict[str, SensorInfo], caplog: pytest.LogCaptureFixture
) -> None:
    alone, beside, behind = _Latencies(), _Latencies(), _Latencies()
    live(4.6, alone)
    queue = QueuedSink(_Sleeper(), "a slow one", live=True, most_outcomes=2)
    summary = Summary(infos, [queue])
    live(4.6, summary, queue, beside)
    live(4.6, _Sleeper(), behind)
    print(f"latency in ms: alone {max(alone.ms):.1f}, queued {max(beside.ms):.1f}, not queued {max(behind.ms):.1f}")
    assert len(beside.ms) >= len(alone.ms) - 1 >= 5
    assert max(behind.ms) > 1000  # what the queue is for
    assert np.median(beside.ms) < np.median(behind.ms) / 10
    assert max(beside.ms) < max(behind.ms) / 2
    assert queue.dropped["outcome"] >= 3
    assert caplog.text.count("a slow one is too slow") == 1
    words = f"a slow one: too slow, {queue.dropped['outcome']} predictions dropped"
    assert queue.trouble == words
    assert summary.windows == len(beside.ms)
    assert summary.as_dict()["sinks"] == {"a slow one": {"dropped": dict(queue.dropped), "errors": 0}}


def test_a_sink_that_raises_is_said_once_counted_and_called_again(
    live: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    class Raises(Sink):
        calls = 0

        def outcome(self, outcome: Outcome) -> None:
            self.calls += 1
            raise RuntimeError("no broker")

        def close(self) -> None:
            raise ConnectionError("nor now")

    sink, others = Raises(), _Latencies()
    queue = QueuedSink(sink, "broker", live=True)
    live(2.2, queue, others)
    assert sink.calls == len(others.ms) >= 2
    assert queue.errors == sink.calls + 1
    assert caplog.text.count("broker failed") == 1
    assert "RuntimeError('no broker')" in caplog.text
    assert queue.trouble == f"broker: {queue.errors} errors"


def test_calls_come_in_order_and_all_before_the_end() -> None:
    sink = _Noting()
    sink.open.clear()
    queue = QueuedSink(sink, "a test", live=True)
    calls: List[Tuple[str, object]] = []
    for number in range(40):
        calls += [("event", _sample(number)), ("silence", _silence(number)), ("empty", number)]
    for method, argument in calls[:-60]:
        getattr(queue, method)(argument)
    sink.open.set()
    for method, argument in calls[-60:]:
        getattr(queue, method)(argument)
    queue.close()
    assert sink.taken == [*calls, ("close", None)]
    assert (queue.dropped, queue.trouble, queue.abandoned) == (Counter(), None, False)


def test_frames_do_not_push_out_predictions_and_what_is_missed_is_told_in_its_place() -> None:
    sink = _Noting()
    sink.open.clear()
    queue = QueuedSink(sink, "a test", live=True, most_outcomes=3)
    size = queued._MOST_BYTES // 40  # bytes, of four-byte numbers: ten fit
    for number in range(30):
        queue.event(_sample(number, size))
    for number in range(3):
        queue.silence(_silence(number))
    queue.silence(_silence(3))
    queue.empty(7)
    sink.open.set()
    _settled(lambda: len(sink.taken) >= 14)
    queue.empty(1)
    queue.close()
    assert queue.dropped == {"event": 20, "silence": 1, "empty": 7}
    assert [method for method, _ in sink.taken] == (
        [*["event"] * 10, "missed", *["silence"] * 3, "missed", "empty", "close"]
    )
    assert [argument for method, argument in sink.taken if method == "missed"] == [
        {"event": 20},
        {"silence": 1, "empty": 7},
    ]
    assert queue.trouble == "a test: too slow, 20 events, 1 silences, 7 empty windows dropped"


def test_a_replay_waits_for_a_slow_sink_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "_MOST_EVENTS", 3)

    class Slow(_Noting):
        def _take(self, method: str, argument: object) -> None:
            time.sleep(0.002)
            super()._take(method, argument)

    sink = Slow()
    queue = QueuedSink(sink, "a file", live=False, most_outcomes=1)
    for number in range(50):
        queue.event(_sample(number))
        queue.silence(_silence(number))
    queue.close()
    assert len(sink.taken) == 101
    assert not queue.dropped


def test_a_live_run_ends_though_a_sink_is_stuck(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queued, "DRAIN_S", 0.2)
    sink = _Noting()
    sink.open.clear()
    queue = QueuedSink(sink, "a pipe", live=True)
    queue.silence(_silence(0))
    _settled(lambda: not queue._calls)
    for number in range(1, 4):
        queue.silence(_silence(number))
    began = time.monotonic()
    queue.close()
    assert 0.2 <= time.monotonic() - began < 30  # the sink never opens
    assert queue.abandoned
    assert queue.dropped == {"silence": 3}
    assert "a pipe is still busy 0.2 s after the end of the run" in caplog.text
    sink.open.set()


def test_a_sink_that_ends_the_run_does_so_at_the_next_call() -> None:
    class Reader(Sink):
        def empty(self, windows: int) -> None:
            raise EndOfRun("nobody reads")

    for live in True, False:
        queue = QueuedSink(Reader(), "a pipe", live=live)
        queue.empty(1)
        with pytest.raises(EndOfRun, match="nobody reads"):
            for _ in range(2000):
                time.sleep(0.005)
                queue.event(_sample(0))  # though the sink takes no events
        with pytest.raises(EndOfRun):
            queue.idle()
        queue.close()
        assert queue.errors == 0


def test_slow_work_does_not_take_all_the_time() -> None:
    class Slow(Sink):
        def __init__(self) -> None:
            self.spans_s: List[Tuple[float, float]] = []  # of its work

        def idle(self) -> None:
            began_s = time.monotonic()
            time.sleep(0.05)
            self.spans_s.append((began_s, time.monotonic()))

    slow = Slow()
    queue = QueuedSink(slow, "a picture", live=True)

    def ticks() -> Iterator[Event]:
        end_s = time.monotonic() + 60
        while len(slow.spans_s) < 4:
            assert time.monotonic() < end_s
            time.sleep(0.001)
            yield Tick(time.monotonic_ns())

    pass_on(ticks(), ["imu"], [queue])
    queue.close()
    for (began_s, ended_s), (next_s, _) in zip(slow.spans_s, slow.spans_s[1:]):
        assert ended_s - began_s < 0.35 * (next_s - began_s)


def test_what_a_sink_does_not_take_is_not_kept_for_it() -> None:
    sink = _Latencies()
    queue = QueuedSink(sink, "a test", live=True)
    for number in range(5000):
        queue.event(_sample(number))
        queue.outdated(Window(number, {}, {}, 0))
    queue.close()
    assert not queue.dropped
