"""MQTT messages for home automation."""
