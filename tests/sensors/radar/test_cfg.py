"""Configurations as people's editors save them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from cosmo_runtime.sensors.radar.cfg import read_cfg
from cosmo_runtime.sensors.sensor import SensorError

COMMANDS = ["sensorStop", "", "frameCfg 0 2 80 0 50 1 0", "sensorStart", ""]


def saved(folder: Path, comment: str, encoding: str, mark: bytes = b"", end: str = "\n") -> Path:
    path = folder / "mine.cfg"
    text = end.join(["sensorStop", f"% {comment}", "frameCfg 0 2 80 0 50 1 0", "sensorStart", ""])
    path.write_bytes(mark + text.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("gbk", b""),
        ("shift_jis", b""),
    ],
)
def test_every_encoding_of_a_comment_is_read(tmp_path: Path, encoding: str, mark: bytes, end: str) -> None:
    assert read_cfg(saved(tmp_path, "距離 50 ms 一区", encoding, mark, end)) == COMMANDS


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16"])
def test_letters_of_western_europe_are_read(tmp_path: Path, encoding: str) -> None:
    assert read_cfg(saved(tmp_path, "Türöffner, 5 m\xb2, \xbd", encoding)) == COMMANDS


@pytest.mark.parametrize("comment", ["咠叇卆", "a\u2028frameCfg 9", "a\x0bb\x0cc\x1cd", "a\x85b"])
def test_no_character_of_a_comment_begins_a_line(tmp_path: Path, comment: str) -> None:
    encoding = "gbk" if comment == "咠叇卆" else "utf-8"  # its bytes hold 0x85, a line's end in Latin-1
    assert read_cfg(saved(tmp_path, comment, encoding)) == COMMANDS


def test_spaces_of_every_kind_and_comments_behind_commands_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.cfg"
    path.write_text("\tframeCfg\xa00 \t 2  % twenty a second, é\n  % sensorStop\n", encoding="utf-8")
    assert read_cfg(path) == ["frameCfg 0 2", "", ""]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("frameCfg 0 \u2212 2", r"mine\.cfg, line 2: .*the character '\u2212', which a radar cannot read"),
        ("frameCfg \uff11", r"line 2: .*'\uff11'"),
        ("sensor\x07Start", r"line 2: .*'\\x07'"),
        ("frameCfg " + "0 " * 200, r"line 2: `frameCfg .*has 408 characters; a radar reads 250 at most"),
    ],
)
def test_a_command_that_no_radar_could_read_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mine.cfg"
    path.write_text(f"flushCfg\n{line}\n", encoding="utf-8")
    with pytest.raises(SensorError, match=message):
        read_cfg(path)


def test_what_is_no_configuration_is_named(tmp_path: Path) -> None:
    big = tmp_path / "big.cfg"
    big.write_bytes(b"\n" * (2 << 20))
    with pytest.raises(SensorError, match=r"big\.cfg has more than"):
        read_cfg(big)
    with pytest.raises(SensorError, match="cannot read the chirp configuration"):
        read_cfg(tmp_path)
    with pytest.raises(SensorError, match="cannot read the chirp configuration"):
        read_cfg(tmp_path / "a\0b")
    with pytest.raises(SensorError, match=r"nowhere\.cfg: No such file or directory$"):
        read_cfg(tmp_path / "nowhere.cfg")
