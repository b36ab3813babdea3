"""Everything that ``--home`` adds to a run: episodes, their log, alarms, clips and MQTT."""

from __future__ import annotations

import argparse
import logging
import os
import re
import threading
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.runtime.alarms.board import AlarmBoard, News
from cosmo_runtime.runtime.alarms.clips import ClipRing
from cosmo_runtime.runtime.alarms.names import NameWatch, unknown_names
from cosmo_runtime.runtime.alarms.rules import RAISED
from cosmo_runtime.runtime.cli.common import UsageError, version
from cosmo_runtime.runtime.cli.options import DEFAULT_HOME
from cosmo_runtime.runtime.config import Config, ConfigError
from cosmo_runtime.runtime.episodes.clock import ClockWatch, slept_ns
from cosmo_runtime.runtime.episodes.entries import LogError, NoLog, entries, local
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.runtime.health.heartbeat import Heartbeat
from cosmo_runtime.runtime.health.vitals import Trouble, Vitals
from cosmo_runtime.runtime.mqtt.publisher import Publisher
from cosmo_runtime.runtime.mqtt.sink import MqttSink
from cosmo_runtime.runtime.mqtt.topics import Device, Topics
from cosmo_runtime.runtime.recognition.loop import Sink, Together
from cosmo_runtime.runtime.run import Run
from cosmo_runtime.runtime.sinks.episodes import Episodes
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.state import (
    clips_folder,
    deaf_to_acknowledgements,
    log_folder,
    state_folder,
    take_acknowledgements,
)
from cosmo_runtime.sensors.recording import Recording

_log = logging.getLogger(__name__)


class Home(NamedTuple):
    """The open parts of a home.

    Attributes:
        queue: the sinks, behind a queue because a disk or a network may block.
        clips: what waits for a clip; None without an alarm that asks for one.
        folder: the folder of the state.
        standing: names of the alarms that nobody has acknowledged.
        tell: receive the heartbeat.
        troubles: what is wrong now.
        changed: set when a trouble comes or goes that the heartbeat tells at once.
        unwritten: how many entries the log could not write, or not yet.
    """

    queue: QueuedSink
    clips: Optional[ClipRing]
    folder: Path
    standing: Callable[[], List[str]]
    tell: Optional[Callable[[str], None]]
    troubles: Callable[[], List[Trouble]]
    changed: threading.Event
    unwritten: Callable[[], int]

    def heartbeat(self, vitals: Vitals) -> Heartbeat:
        """Contexts to enter when the run begins."""
        return Heartbeat(self.folder, vitals, version(), self.standing, self.tell, wake=self.changed)


def refuse_silent_alarms(config: Config, bundle: Bundle) -> None:
    """Refuses alarms that this model can never raise.

    Raises:
        ConfigError: there is one.
    """
    silent = [
        trouble.words for trouble in unknown_names(config, bundle.path.name, bundle.spec.classes) if trouble.grave
    ]
    if silent:
        raise ConfigError("\n".join(silent))


def open_home(options: argparse.Namespace, config: Config, bundle: Bundle, run: Run, about: Mapping[str, str]) -> Home:
    """Opens the parts that ``--home`` and the configuration ask for. ``about`` is the metadata of clips.

    Raises:
        LogError: another run writes this home's log.
        UsageError: a replay must not write there.
    """
    if options.replay and options.home == DEFAULT_HOME:
        raise UsageError("with --replay, give --home a folder, or the replay would be mixed into this home's log")
    folder = state_folder() if options.home == DEFAULT_HOME else options.home

    zone = _unknown_zone()
    if zone:
        _log.warning("TZ=%s names no time zone of this machine, so all local times are UTC; correct it", zone)

    def local_time(at_ns: int) -> datetime:
        return local(at_ns + run.wall_offset_ns(at_ns))

    slept = (lambda: 0) if options.replay else slept_ns
    changed = threading.Event()
    log = EpisodeLog(log_folder(folder), run.wall_offset_ns, config.episodes.keep, slept, changed.set)
    last_alarms = log.last_alarms()
    ring = ClipRing(clips_folder(folder), run.infos, config.clips, local_time, about)

    mqtt: Optional[MqttSink] = None

    def keep(news: News) -> None:
        details: Dict[str, Any] = news._asdict()
        rule, at_ns = details.pop("rule"), details.pop("at_ns")
        if rule.clip and news.state == RAISED:
            details["clip"] = ring.request(rule.name, at_ns)
        waits = log.alarm(rule.name, at_ns, details)
        if waits and mqtt:
            mqtt.unlogged(waits)

    tell: List[Callable[[News], None]] = [keep]
    clock = ClockWatch(run.wall_offset_ns, slept)
    board = AlarmBoard(config.alarms, tell, local_time, clock, last_alarms, lambda: take_acknowledgements(folder))
    rule = config.episodes.rule()
    name_watch = NameWatch(config, bundle.path.name, bundle.spec.classes)
    sinks: List[Sink] = [Episodes(rule, [log, board]), name_watch]
    if config.mqtt and options.replay:
        _log.warning("a replay tells the broker of [mqtt] nothing, because what it shows is over")
    elif config.mqtt:
        topics = Topics(config.mqtt.device_id, config.mqtt.discovery)
        names = {*board.standing, *(alarm.name for alarm in config.alarms)}  # one may stand without its rule

        def hear(topic: str, _: str) -> None:
            for name in names:
                if topic == topics.acknowledge(name):
                    board.acknowledge(name)

        publisher = Publisher(config.mqtt, topics, log.folder, folder / "mqtt.json", hear, changed.set)
        name = config.mqtt.name or config.mqtt.device_id
        device = Device(name, version(), list(run.infos), config.alarms)
        mqtt = MqttSink(publisher, topics, device, last_alarms, lambda: rule.current, local_time)
        tell.append(mqtt.alarm)
        sinks.append(mqtt)

    def troubles() -> List[Trouble]:
        grave = [log.trouble, deaf_to_acknowledgements(folder), mqtt.trouble if mqtt else ""]
        return [*name_watch.troubles, *(Trouble(words, grave=True) for words in grave if words)]

    clips = ring if any(alarm.clip for alarm in config.alarms) else None
    if clips:
        sinks.append(clips)  # last: a clip is asked for when it holds what the alarm was raised for
    queue = QueuedSink(Together(sinks), "episodes", live=not options.replay)
    return Home(
        queue,
        clips,
        folder,
        lambda: list(board.standing),
        mqtt.health if mqtt else None,
        troubles,
        changed,
        lambda: log.unwritten,
    )


def refuse_time_again(recording: Recording, home: Path) -> None:
    """Refuses a replay into a log that has entries of the recording's time: what was done then would count twice.

    Raises:
        UsageError: it has some.
    """
    began_ns = recording.wall_ns(recording.start_ns)
    try:
        there = list(entries(log_folder(home), began_ns, began_ns + recording.end_ns - recording.start_ns))
    except NoLog:
        return
    except LogError as error:
        raise UsageError(f"--home {home}: {error}. Name another folder for this replay") from error
    if there:
        raise UsageError(
            f"--home {home}: already has episodes from the time of {recording.path}, and would list them twice; name "
            "another folder"
        )


def _unknown_zone() -> str:
    """The variable TZ, if the C library cannot follow it, and takes it for UTC without a word; else empty."""
    zone = os.environ.get("TZ", "").lstrip(":")
    is_rule = re.match(r"(<[^>]+>|[A-Za-z]{3,})[+-]?\d", zone)  # such as CET-1CEST
    is_file = Path(os.environ.get("TZDIR", "/usr/share/zoneinfo"), zone).is_file()
    return "" if zone in ("", "UTC") or is_rule or is_file else zone
