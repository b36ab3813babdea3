"""Devices: protocols, transports, device clocks, recordings and emulated devices."""
