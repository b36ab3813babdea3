"""USB serial ports as pyserial lists them."""

from __future__ import annotations

from serial.tools.list_ports_common import ListPortInfo


def port(device: str, vid: int, pid: int, serial_number: str | None, location: str = "1-1") -> ListPortInfo:
    made = ListPortInfo(device)
    made.vid, made.pid, made.serial_number, made.location = vid, pid, serial_number, location
    made.product = "a product"
    return made


BUILT_IN = ListPortInfo("/dev/ttyS0")
CH340 = port("/dev/ttyUSB0", 0x1A86, 0x7523, None)
FTDI = port("/dev/ttyUSB1", 0x0403, 0x6001, "A50285BI")
ARDUINO = port("/dev/ttyACM0", 0x2341, 0x0043, "7573")
XDS110 = [
    port("/dev/ttyACM2", 0x0451, 0xBEF3, "R0041038", "1-2.4:1.3"),
    port("/dev/ttyACM1", 0x0451, 0xBEF3, "R0041038", "1-2.4:1.0"),
]
CP2105 = [
    port("/dev/ttyUSB3", 0x10C4, 0xEA70, "00E24282", "3-11:1.0"),
    port("/dev/ttyUSB4", 0x10C4, 0xEA70, "00E24282", "3-11:1.1"),
]
