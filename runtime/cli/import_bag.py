"""``cosmo-runtime import``: makes a recording of a ROS bag."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Tuple

from cosmo_runtime.kinds import SENSOR_NAME
from cosmo_runtime.runtime.cli.common import DONE, UsageError, say
from cosmo_runtime.runtime.cli.options import add_participant_metadata
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.rig import participant_metadata
from cosmo_runtime.runtime.cli.signals import end_like_ctrl_c
from cosmo_runtime.runtime.cli.values import new_recording
from cosmo_runtime.runtime.exchange.ros import import_bag, topics_of
from cosmo_runtime.runtime.labels.new_name import taken_by
from cosmo_runtime.runtime.retention.expiry import expires

_HELP = """\
The type of a topic says what the sensor is:
  sensor_msgs/Imu           an IMU: acceleration and angular rate
  sensor_msgs/Image         a depth camera: 16UC1 (millimetres) or 32FC1 (metres)
  sensor_msgs/PointCloud2   a radar: x, y, z, and velocity and snr (or intensity) where the cloud has them
Points are expected in the frame of REP 103 (x forward, y left, z up), or in a camera's frame if the frame's name
contains `optical`.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime import",
        description="Makes a recording from a ROS 1 bag, or from the folder of a ROS 2 bag (SQLite or MCAP).\n"
        "Without --map, it lists the topics that can be imported.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("bag", type=Path, metavar="BAG|FOLDER")
    command.add_argument(
        "--map",
        type=_sensor_of_topic,
        nargs="+",
        default=[],
        metavar="SENSOR=TOPIC",
        help="imu=/imu/data depth=/camera/depth/image_raw …: the sensor's name, and the topic",
    )
    command.add_argument(
        "--out", type=new_recording, metavar="FILE.mcap", help="the new recording (default: the bag's name)"
    )
    add_participant_metadata(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    end_like_ctrl_c()
    topics = dict(options.map)
    if not topics:
        raise UsageError(f"--map SENSOR=TOPIC is missing. {options.bag} has:\n{topics_of(options.bag)}")
    if len(topics) < len(options.map) or len(set(topics.values())) < len(topics):
        raise UsageError("--map: name each sensor and each topic once")
    bag = options.bag.resolve()
    path = options.out or bag.with_name(f"{bag.stem if bag.is_file() else bag.name}.mcap")
    if path.suffix != ".mcap":
        raise UsageError(f"--out {path}: name a file that ends in .mcap")
    taken = taken_by(path)
    if taken:
        raise UsageError(f"{taken} exists already: name another with --out")
    about = {"source": f"import of {bag.name}", **participant_metadata(options), **expires(options.expires)}
    done = import_bag(options.bag, topics, path, about)
    for name, what in done.items():
        if what.left_out:
            say(f"{name}: {what.left_out} messages are left out: their stamps do not follow those before")
        if what.stamped_late:
            say(f"{name}: its headers have another clock. Its samples have the time at which the bag got them")
        if what.lacks_speeds:
            say(
                f"{name}: its points have no speeds (a field such as `velocity`). To a model they stand still, and"
                " show no person"
            )
    say(f"{path}: samples: " + ", ".join(f"{name} {what.samples}" for name, what in done.items()))
    return DONE


def _sensor_of_topic(text: str) -> Tuple[str, str]:
    name, _, topic = text.partition("=")
    if not re.match(SENSOR_NAME, name) or not topic:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected SENSOR=TOPIC, such as imu=/imu/data (and the bag before --map)"
        )
    return name, topic
