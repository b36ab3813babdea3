"""Estimates the delays between the sensors' times, from motion that all sensors see."""
