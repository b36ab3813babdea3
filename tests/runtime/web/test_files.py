"""What holds for the page's own files, whoever changes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the page needs the extra [web]")

from cosmo_runtime.runtime.web import files

PAGE = Path(files.__file__).with_name("page")
ALL = sorted(PAGE.iterdir())


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_nothing_comes_from_another_host(path: Path) -> None:
    found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", path.read_text(encoding="utf-8"))
    assert [address for address in found if "www.w3.org/2000/svg" not in address] == []


def test_there_is_no_code_and_no_style_in_the_markup() -> None:
    markup = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|style=|javascript:", markup) == []


@pytest.mark.parametrize("path", [path for path in ALL if path.suffix == ".js"], ids=lambda path: path.name)
def test_every_module_that_is_imported_is_there(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert all((PAGE / name).is_file() for name in re.findall(r'from "\./([\w.]+)"', code))
    assert "eval(" not in code
    assert "innerHTML" not in code  # names come from anywhere
