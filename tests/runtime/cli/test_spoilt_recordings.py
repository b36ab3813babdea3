"""Commands that read recordings, given files that are well-formed and say wrong things: an answer or one sentence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable

import pytest

from cosmo_runtime.models.bundle import Bundle
from tests.sensors.recording.rewriting import rewrite
from tests.sensors.recording.spoiling import messages_of, spoil
from tests.sensors.recording.test_format_1 import OLD

Run = Callable[..., Any]


@pytest.mark.parametrize("share", [0.002, 0.02])
def test_replay_and_label_answer_or_refuse(cosmo: Run, tmp_path: Path, tiny_bundle: Bundle, share: float) -> None:
    topics = messages_of(OLD)
    for seed in range(12):
        path = tmp_path / f"{seed}.mcap"
        rewrite(OLD, path, spoil(topics, seed, share), use_chunking=seed % 2 == 0)
        replay = ("--sensors", "imu,depth,radar", "--replay", path, "--speed", "max", "--output", "-")
        for words in (replay, ("label", path)):
            began_s = time.monotonic()
            done = cosmo(*words, "--bundle", tiny_bundle.path)  # an exception would come through
            assert time.monotonic() - began_s < 60
            assert done.code in (0, 1), done.err
            if done.code:
                assert path.name in done.err or "windows equal" in done.err
