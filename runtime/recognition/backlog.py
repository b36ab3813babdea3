"""Decides which windows of a live run are too late to be answered."""

from __future__ import annotations

import logging
import time

OUTDATED_S = 5.0
"""A window older than this plus the lateness budget is not answered."""

_CURRENT_S = 1.0
_REPORT_AGAIN_S = 10.0

_log = logging.getLogger(__name__)


class Backlog:
    """Drops windows of a run that has fallen behind.

    Once a window is too old, all waiting windows except the newest are dropped, so that the run catches up. Dropping
    only the windows above the limit would leave the run just below it for ever. On a machine that never catches up, one
    window is answered every five seconds, however old it is.

    Args:
        lateness_ns: how long after its end a window may close in a run that keeps up.

    Attributes:
        behind: whether the latest window was too old.
    """

    def __init__(self, lateness_ns: int) -> None:
        self.behind = False
        self._outdated_ns = lateness_ns + round(OUTDATED_S * 1e9)
        self._current_ns = lateness_ns + round(_CURRENT_S * 1e9)
        self._dropping_since = 0.0
        self._unreported = 0
        self._reported_at = -_REPORT_AGAIN_S

    def drops(self, end_ns: int) -> bool:
        """Whether to drop a window that ended at this time."""
        now = time.monotonic()
        age_ns = now * 1e9 - end_ns
        was_behind, self.behind = self.behind, age_ns > (self._current_ns if self.behind else self._outdated_ns)
        if self.behind:
            if not was_behind:
                self._dropping_since = now
            if now - self._dropping_since < OUTDATED_S:
                self._unreported += 1
                return True
            self._dropping_since = now
        self._report(now)
        return False

    def _report(self, now: float) -> None:
        if self._unreported and now - self._reported_at > _REPORT_AGAIN_S:
            _log.warning(
                "this machine cannot keep up: %d windows were dropped, because the oldest was more than %g s old when"
                " its turn came; the newest is answered",
                self._unreported,
                OUTDATED_S,
            )
            self._unreported, self._reported_at = 0, now
