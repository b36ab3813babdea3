"""The live view: the activity, the trust in each sensor, and each sensor's state."""

from cosmo_runtime.runtime.sinks.view.live_view import LiveView
from cosmo_runtime.runtime.sinks.view.traces import SIGNALS

__all__ = ["SIGNALS", "LiveView"]
