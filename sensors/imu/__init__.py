"""Inertial measurement units on a serial port: WitMotion 0x55 and Xsens MTData2."""
