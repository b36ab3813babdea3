"""Well-formed recordings that say wrong things."""

from __future__ import annotations

import dataclasses
import json
import random
import struct
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from mcap.records import Message

from tests.sensors.recording.rewriting import rewrite

YEAR_2500_NS = 16_725_225_600 * 10**9


def spoil(topics: Dict[str, List[bytes]], seed: int, share: float) -> Callable[[str, Message], Optional[Message]]:
    """Puts into some messages what another topic has, a part of what was there, other numbers or nothing."""
    rng = random.Random(seed)

    def change(topic: str, message: Message) -> Optional[Message]:
        if rng.random() > share:
            return message
        kind = rng.randrange(7)
        if kind == 0:
            other = rng.choice(sorted(topics))
            return dataclasses.replace(message, data=rng.choice(topics[other]))
        if kind == 1:
            return dataclasses.replace(message, data=message.data[: rng.randrange(len(message.data) + 1)])
        if kind == 2:
            time_ns = rng.choice([0, YEAR_2500_NS, 2**64 - 1, message.log_time + rng.randrange(-(10**11), 10**11)])
            return dataclasses.replace(message, **{rng.choice(["log_time", "publish_time"]): time_ns})
        if kind == 3:
            return None
        if kind == 4:
            return dataclasses.replace(message, data=message.data * rng.choice([2, 1000]))
        if kind == 5:
            return dataclasses.replace(message, data=_other_json(message.data, rng))
        data = bytearray(message.data)
        if len(data) >= 8:
            struct.pack_into("<Q", data, rng.randrange(len(data) - 7), rng.choice([0, 2**31, 2**63, 2**64 - 1]))
        return dataclasses.replace(message, data=bytes(data))

    return change


def _other_json(data: bytes, rng: random.Random) -> bytes:
    values: List[Any] = [None, True, -1, 1e308, 10**400, "x" * 5000, [], {}, [[[]]], "\x1b[2J", "\ud800"]
    try:
        content = json.loads(data)
        content[rng.choice([*content, "other"])] = rng.choice(values)
    except (ValueError, TypeError, RecursionError):
        content = rng.choice(values)
    return json.dumps(content).encode()


def messages_of(path: Path) -> Dict[str, List[bytes]]:
    """The bytes of each message of a recording, by topic."""
    topics: Dict[str, List[bytes]] = {}

    def look(topic: str, message: Message) -> Message:
        topics.setdefault(topic, []).append(message.data)
        return message

    rewrite(path, Path("/dev/null"), look)
    return topics
