from __future__ import annotations

from pathlib import Path

import pytest

from cosmo_runtime.places import cache_folder, data_folder


def test_data_are_where_the_desktop_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert data_folder() == Path("/data/cosmo-runtime")
    for not_set in ("", "relative/is/ignored"):
        monkeypatch.setenv("XDG_DATA_HOME", not_set)
        assert data_folder() == Path.home() / ".local/share/cosmo-runtime"


def test_the_cache_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/cosmo-runtime")
