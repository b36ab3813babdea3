"""``docs/jetson.md``: each of its steps works when it is pasted into a fresh login."""

from __future__ import annotations

import re
import shlex
import subprocess
from argparse import ArgumentParser
from pathlib import Path
from typing import Callable, Dict, List

import pytest

from cosmo_runtime.runtime.cli import build, bundle, default, doctor, finetune, purge, record

_PAGE = (Path(__file__).parents[1] / "docs" / "jetson.md").read_text(encoding="utf-8")
_STEPS: List[str] = re.findall(r"```sh\n(.*?)```", _PAGE, re.S)
_PARSERS: Dict[str, Callable[[], ArgumentParser]] = {
    "record": record.parser,
    "doctor": doctor.parser,
    "bundle": bundle.parser,
    "build": build.parser,
    "finetune": finetune.parser,
    "purge": purge.parser,
}


@pytest.mark.parametrize("step", _STEPS)
def test_a_step_that_needs_the_environment_or_the_folder_goes_there_first(step: str) -> None:
    assert subprocess.run(["bash", "-n"], input=step.encode()).returncode == 0
    own = re.search(r"^(cosmo-runtime|python|pip) ", step, re.M)
    if own and "venv /opt/cosmo" not in step:
        assert step.startswith("cd ~/cosmo-runtime && source /opt/cosmo/bin/activate\n")
    if re.search(r"\b(docs|sensors|tools|requirements)/", step):
        assert "cd ~/cosmo-runtime" in step[: re.search(r"\b(docs|sensors|tools|requirements)/", step).start()]  # type: ignore[union-attr]


def test_every_command_of_the_steps_is_one_that_there_is() -> None:
    commands = [line for step in _STEPS for line in re.findall(r"^cosmo-runtime (.*)$", step, re.M)]
    assert len(commands) > 8
    for command in commands:
        words = shlex.split(re.sub(r'"\$\(.*\)"', "NAME", command), comments=True)
        parser = _PARSERS.get(words[0])
        (parser() if parser else default.parser()).parse_args(words[1:] if parser else words)
