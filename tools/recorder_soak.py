"""Shows whether a recorder's memory stays flat: writes a simulated stream to segments as fast as possible.

    python tools/recorder_soak.py FOLDER --days 7 --keep 200MB --minutes 90 --json FILE.json

A minute of a simulated person is repeated until the days or the minutes are over. Rates, messages, segments of ten
minutes and ``--keep`` are those of a live run, and so are the devices' bytes and the predictions. Frames are small,
because memory would grow with the number of messages, and full frames would only take time. The stream waits while the
writer's queue is long, so nothing is dropped. Every minute a line shows the simulated time and this process's memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import psutil

from cosmo_runtime.runtime.retention.keeping import Keeper, parse_keep
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import SegmentedWriter
from cosmo_runtime.sensors.recording.segments import segments_of
from cosmo_runtime.sensors.simulation.offline import events, infos_of
from cosmo_runtime.sensors.simulation.person import HALF_CAMERA, SimulatedPerson

_LOOP_NS = 60 * 10**9
_HOP_NS = 5 * 10**8
_MOST_WAITING = 1800  # of the 2000 that a writer's queue holds
_FRAME_STEP = 4  # every fourth pixel of a frame
_RAW = {"imu": bytes(44), "radar": bytes(512)}  # about as many bytes as the devices send for a sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="new; the segments go there")
    parser.add_argument("--days", type=float, default=7, help="of simulated time, most")
    parser.add_argument("--minutes", type=float, default=90, help="of real time, most")
    parser.add_argument("--keep", type=parse_keep, default="200MB", help="as of a run")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either signal still prints the figures so far
    figures = soak(options.folder, options.keep, options.days, options.minutes)
    print(json.dumps({key: value for key, value in figures.items() if key != "course"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def soak(folder: Path, keep: Any, days: float, minutes: float, every_s: float = 60.0) -> Dict[str, Any]:
    """Records until the days or the minutes are over, or until it is interrupted."""
    infos = infos_of(SimulatedPerson(0, HALF_CAMERA))
    minute = list(_minute())
    tidy, about = Keeper(folder, keep), {"source": "emulated: person"}
    writer = SegmentedWriter(folder, infos, about, when_turned=tidy, segment_bytes=keep.segment_bytes)
    sink = RecordingSink(writer)
    process = psutil.Process()
    began_s, began_cpu_s, told_s = time.monotonic(), time.process_time(), -every_s
    course: List[Dict[str, float]] = []
    simulated_s, messages = 0.0, 0
    try:
        for event in _stream(minute, list(infos)):
            messages += 1
            if isinstance(event, Tick):
                simulated_s = event.now_ns / 1e9
                _predict(writer, event.now_ns)
                sink.idle()
                while writer.queued > _MOST_WAITING:
                    time.sleep(0.002)
                real_s = time.monotonic() - began_s
                over = simulated_s > days * 86400 or real_s > minutes * 60 or bool(writer.failure)
                if real_s - told_s >= every_s or over:
                    told_s = real_s
                    course.append(_look(process, folder, real_s, simulated_s))
                    print(
                        "{real_s:8.0f} s  {simulated_h:8.2f} h  {rss_mb:7.1f} MB  {segments} segments".format(
                            **course[-1]
                        )
                    )
                if over:
                    break
            else:
                sink.event(event)
    except KeyboardInterrupt:
        pass
    finally:
        sink.close()
    return {
        "simulated_days": round(simulated_s / 86400, 3),
        "speed": round(simulated_s / (time.monotonic() - began_s), 1),
        "speed_on_a_free_core": round(simulated_s / (time.process_time() - began_cpu_s), 1),
        "events": messages,
        "dropped": writer.dropped,
        "failure": str(writer.failure) if writer.failure else None,
        "segments_written": int(writer.file.name[:6]),
        **_growth(course),
        "course": course,
    }


def _minute() -> Iterator[Event]:
    """A minute of a person, with small frames and the devices' bytes, as described above."""
    for event in events(SimulatedPerson(0, HALF_CAMERA), _LOOP_NS / 1e9, DepthConfig(decimation=1)):
        if isinstance(event, Truth):
            yield event
        elif isinstance(event, Sample) and event.stamp_ns < _LOOP_NS:
            data = event.data
            if event.sensor == "depth":
                data = np.ascontiguousarray(data[::_FRAME_STEP, ::_FRAME_STEP])
            yield dataclasses.replace(event, data=data, raw=_RAW.get(event.sensor, b""))


def _stream(minute: List[Event], sensors: List[str]) -> Iterator[Event]:
    """The minute again and again, each time with new stamps, and a tick at each hop."""
    for sensor in sensors:
        yield StateChange(sensor, 0, "ok")
    offset_ns = tick_ns = 0
    while True:
        for event in minute:
            if isinstance(event, Truth):
                yield Truth(event.stamp_ns + offset_ns, event.activity)
            elif isinstance(event, Sample):
                at_ns = event.arrival_ns + offset_ns
                while at_ns >= tick_ns:
                    yield Tick(tick_ns)
                    tick_ns += _HOP_NS
                yield dataclasses.replace(event, stamp_ns=event.stamp_ns + offset_ns, arrival_ns=at_ns)
        offset_ns += _LOOP_NS


def _predict(writer: SegmentedWriter, at_ns: int) -> None:
    """Writes what a run adds at each hop."""
    writer.write_json("/windows", at_ns, {"end_ns": at_ns, "features": "0" * 32, "late": False})
    writer.write_text("/predictions", at_ns, "walk 0.91", "soak")
    writer.write_numbers("/predictions/probabilities", at_ns, {"walk": 0.91, "none": 0.09})
    writer.write_json("/predictions/details", at_ns, {"activity": "walk", "confidence": 0.91})


def _look(process: psutil.Process, folder: Path, real_s: float, simulated_s: float) -> Dict[str, float]:
    return {
        "real_s": round(real_s, 1),
        "simulated_h": round(simulated_s / 3600, 3),
        "rss_mb": round(process.memory_info().rss / 1e6, 2),
        "segments": len(segments_of(folder)),
    }


def _growth(course: List[Dict[str, float]]) -> Dict[str, Optional[float]]:
    """Memory after the first tenth and at the end, and the slope of a straight line fitted from one to the other."""
    settled = course[len(course) // 10 :]
    if len(settled) < 3:
        return {"rss_mb_settled": None, "rss_mb_end": None, "growth_mb_a_simulated_day": None}
    days = np.array([look["simulated_h"] for look in settled]) / 24
    rss_mb = np.array([look["rss_mb"] for look in settled])
    return {
        "rss_mb_settled": settled[0]["rss_mb"],
        "rss_mb_end": settled[-1]["rss_mb"],
        "rss_mb_most": float(rss_mb.max()),
        "growth_mb_a_simulated_day": round(float(np.polyfit(days, rss_mb, 1)[0]), 3),
    }


if __name__ == "__main__":
    main()
