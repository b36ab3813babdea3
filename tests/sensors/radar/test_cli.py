"""The command line, against firmware that misbehaves in the ways real ones do."""

from __future__ import annotations

import select
import threading
import time
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest

from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.radar import cli
from cosmo_runtime.sensors.sensor import SensorError, SensorLost
from cosmo_runtime.sensors.serial_port import SerialPort

DONE = "Done\n"


class Firmware:
    """Echoes each line and answers it by a script; commands that are not in it are ``Done``."""

    def __init__(self, link: Path) -> None:
        self.port = PtyPort(link, 115200)
        self.heard: list[str] = []
        self.answers: Dict[str, str] = {}
        self.prompt = "mmwDemo:/>"
        self.prompt_after: Dict[str, bool] = {}  # False: that command is answered without a prompt
        self.hangs_at = ""
        self.think_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        line = ""
        while not self._stop.is_set():
            for character in self.port.read(0.02).decode("latin-1"):
                if character != "\n":
                    line += character
                    continue
                self.heard.append(line)
                if line and line == self.hangs_at:
                    line = ""
                    continue
                time.sleep(self.think_s)
                answer = self.answers.get(line, DONE if line else "")
                prompt = self.prompt if self.prompt_after.get(line, True) else ""
                self.port.write(f"{line}\n\r{answer}\r{prompt}".encode("latin-1"))
                line = ""

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.port.unplug()


@pytest.fixture()
def firmware(tmp_path: Path) -> Iterator[Firmware]:
    firmware = Firmware(tmp_path / "cli")
    yield firmware
    firmware.close()


@pytest.fixture()
def port(firmware: Firmware) -> Iterator[SerialPort]:
    port = SerialPort(str(firmware.port.link), 115200, "radar CLI")
    yield port
    port.close()


def test_commands_go_one_by_one_without_comments(firmware: Firmware, port: SerialPort) -> None:
    cli.configure(port, ["% a comment", "sensorStop", "", "  flushCfg  ", "frameCfg 0 1 16 0 50 1 0", "sensorStart"])
    assert firmware.heard == ["", "sensorStop", "flushCfg", "frameCfg 0 1 16 0 50 1 0", "sensorStart"]


@pytest.mark.parametrize(
    "answer",
    [
        "Ignored: Sensor is already stopped\nDone\n",
        "Skipped\n",
        "Debug: Init Calibration Status = 0x1ffe\nDone\n",
        "Done\n\n",
    ],
)
def test_notes_are_no_errors(firmware: Firmware, port: SerialPort, answer: str) -> None:
    firmware.answers["sensorStart"] = answer
    cli.configure(port, ["sensorStart", "version"])
    assert firmware.heard[-1] == "version"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Error -1\n", "Error -1"),
        ("Error: Invalid usage of the CLI command\nError -1\n", "Error: Invalid usage of the CLI command / Error -1"),
        ("'profileCfg' is not recognized as a CLI command\n", "'profileCfg' is not recognized as a CLI command"),
    ],
)
def test_a_refusal_stops_there_and_quotes_line_command_and_firmware(
    firmware: Firmware, port: SerialPort, answer: str, words: str
) -> None:
    firmware.answers["profileCfg 0 77"] = answer
    with pytest.raises(SensorError) as caught:
        cli.configure(port, ["% mine", "flushCfg", "profileCfg 0 77", "sensorStart"], "mine.cfg")
    assert "mine.cfg, line 3: `profileCfg 0 77`" in str(caught.value)
    assert words in str(caught.value)
    assert str(firmware.port.link) in str(caught.value)
    assert firmware.heard[-1] == "profileCfg 0 77"


def test_other_labs_have_other_prompts(firmware: Firmware, port: SerialPort) -> None:
    firmware.prompt = "VitalSignsDemo:/>"
    cli.configure(port, ["flushCfg"])


def test_what_a_modem_manager_typed_does_not_become_part_of_a_command(firmware: Firmware, port: SerialPort) -> None:
    typed = "AT+GCAP\rATI"
    firmware.answers[typed] = f"'{typed}' is not recognized as a CLI command\n"
    port.write(typed.encode())
    cli.configure(port, ["flushCfg"])
    assert firmware.heard == [typed, "flushCfg"]


def test_whole_lines_that_others_typed_shift_no_answer_to_another_command(firmware: Firmware, port: SerialPort) -> None:
    firmware.think_s = 0.01
    firmware.answers["flushCfg"] = "Error -1\n"
    port.write(b"AT\nAT\nAT\n")
    with pytest.raises(SensorError, match=r"line 1: `flushCfg`"):
        cli.configure(port, ["flushCfg", "sensorStart"])


def test_what_the_firmware_says_unasked_is_no_answer(firmware: Firmware, port: SerialPort) -> None:
    firmware.port.write(b"Error: something overheated\n\rmmwDemo:/>")
    select.select([port._serial], [], [], 60)
    cli.stop(port)
    assert firmware.heard == ["sensorStop"]


def test_no_answer_names_what_to_check(firmware: Firmware, port: SerialPort) -> None:
    firmware.close()
    link = firmware.port.link
    silent = PtyPort(link, 115200)
    port = SerialPort(str(link), 115200, "radar CLI")
    with pytest.raises(cli.NoAnswer, match=r"heard nothing.*swapped.*cli_baud.*firmware.*reset button"):
        cli.configure(port, ["flushCfg"])
    port.close()
    silent.unplug()


def test_bytes_that_are_no_prompt_are_told_from_silence(firmware: Firmware, port: SerialPort) -> None:
    firmware.prompt = "\xff\xfe\x80"
    with pytest.raises(cli.NoAnswer, match=r"heard \d+ bytes of something else"):
        cli.configure(port, ["flushCfg"])


def test_a_firmware_that_hangs_midway_asks_for_its_reset_button(
    firmware: Firmware, port: SerialPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_ANSWER_S", 1.0)
    firmware.hangs_at = "frameCfg 0"
    with pytest.raises(SensorError, match=r"mine\.cfg, line 2: `frameCfg 0`: no answer.*reset button"):
        cli.configure(port, ["flushCfg", "frameCfg 0", "sensorStart"], "mine.cfg")


EXCEPTION = """\
Exception occurred in ThreadType_Task.
Task handle: 0x8004a18.
R0 = 0x08007d38  R8  = 0xffffffff
ti.sysbios.family.arm.v7r.vim.Hwi: line 942: E_dataAbort: pc = 0x0000a3c4.
xdc.runtime.Error.raise: terminating execution
"""


@pytest.mark.parametrize("prompts", [False, True])
def test_a_firmware_that_stops_with_an_exception_is_quoted(
    firmware: Firmware, port: SerialPort, monkeypatch: pytest.MonkeyPatch, prompts: bool
) -> None:
    monkeypatch.setattr(cli, "_ANSWER_S", 1.0)
    firmware.answers["sensorStart"] = EXCEPTION
    firmware.prompt_after["sensorStart"] = prompts
    with pytest.raises(SensorError) as caught:
        cli.configure(port, ["flushCfg", "sensorStart"], "mine.cfg")
    said = str(caught.value)
    assert "mine.cfg, line 2: `sensorStart`: the radar's firmware crashed" in said
    assert "Exception occurred in ThreadType_Task" in said
    assert "reset button" in said
    assert "\n" not in said


def test_words_without_a_prompt_are_quoted(
    firmware: Firmware, port: SerialPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_ANSWER_S", 1.0)
    firmware.answers["sensorStart"] = "Calibrating \x1b[31m" + "." * 5000
    firmware.prompt_after["sensorStart"] = False
    with pytest.raises(SensorError, match=r"only 'Calibrating \\x1b\[31m\.+ \.\.\.' within") as caught:
        cli.configure(port, ["sensorStart"])
    assert len(str(caught.value)) < 1000


def test_the_answer_to_the_start_and_what_is_said_later_can_be_asked_for(firmware: Firmware, port: SerialPort) -> None:
    firmware.answers["sensorStart"] = "Debug: calibrated\nDone\n"
    assert cli.configure(port, ["flushCfg", "sensorStart"]) == "'Debug: calibrated / Done'"
    assert cli.unsolicited(port) == ""
    firmware.port.write(b"MSS assertion in file dss.c\n\rmmwDemo:/>")
    time.sleep(0.1)
    assert cli.unsolicited(port) == "'MSS assertion in file dss.c'"


def test_prompts_without_end_are_an_error_and_no_wait_without_end(
    firmware: Firmware, port: SerialPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_QUIET_S", 0.5)  # on a busy machine the thread below may pause for longer than 30 ms
    stop = threading.Event()

    def chatter() -> None:
        while not stop.wait(0.005):
            firmware.port.write(b"\n\rmmwDemo:/>")

    thread = threading.Thread(target=chatter)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(SensorError, match=r"text comes without end.*ModemManager.*reset button") as caught:
            cli.configure(port, ["flushCfg"])
    finally:
        stop.set()
        thread.join()
    assert not isinstance(caught.value, cli.NoAnswer)
    assert time.monotonic() - began < 30


def test_all_commands_together_have_a_deadline(
    firmware: Firmware, port: SerialPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_CONFIGURE_S", 0.5)
    firmware.think_s = 0.1
    with pytest.raises(SensorError, match=r"mine\.cfg, line \d+: `flushCfg`: not reached within"):
        cli.configure(port, ["flushCfg"] * 100, "mine.cfg")
    assert len(firmware.heard) < 10


@pytest.mark.parametrize("act", [cli.greet, cli.stop, lambda port: cli.configure(port, ["flushCfg"])])
def test_an_unplugged_board_is_lost(firmware: Firmware, port: SerialPort, act: Callable[[SerialPort], None]) -> None:
    firmware.port.unplug()
    with pytest.raises(SensorLost):
        act(port)
