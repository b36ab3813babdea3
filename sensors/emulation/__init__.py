"""Emulated devices: motions, sensor physics, and devices that speak the real protocols."""
