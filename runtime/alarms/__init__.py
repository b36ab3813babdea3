"""Alarms: what raises them, who acknowledges them, and the clip around each."""
