from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Dict

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("depth", "emulation", "train", "energy", "web", "mqtt", "metrics", "export", "ros")  # those for its Python
LINES = sum((PROJECT["optional-dependencies"][name] for name in EXTRAS), PROJECT["dependencies"])
ASKED = {requirement.name: requirement for requirement in map(Requirement, LINES)}


def pinned(name: str) -> Dict[str, Version]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pins = [Requirement(line.partition("#")[0]) for line in lines if re.match(r"\w", line)]
    return {re.sub("_", "-", pin.name).lower(): Version(next(iter(pin.specifier)).version) for pin in pins}


@pytest.mark.parametrize("name", ASKED)
def test_the_oldest_versions_are_those_that_the_project_allows(name: str) -> None:
    (bound,) = ASKED[name].specifier
    assert bound.operator == ">="
    oldest, lowest = pinned("oldest.txt")[name], Version(bound.version)
    assert oldest.release[: len(lowest.release)] == lowest.release


def test_the_oldest_versions_are_of_libraries_that_are_asked_for() -> None:
    assert pinned("oldest.txt").keys() == ASKED.keys()


@pytest.mark.parametrize("name", ASKED)
def test_a_tx2_has_a_version_that_the_project_allows(name: str) -> None:
    assert ASKED[name].specifier.contains(pinned("tx2.txt")[name])
