"""The interface for those who follow episodes."""

from __future__ import annotations

from cosmo_runtime.runtime.episodes.rule import Episode


class Listener:
    """Follows episodes. Each listener overrides the methods that it needs."""

    def ended(self, episode: Episode) -> None:
        """Handles an episode that has ended."""

    def now(self, episode: Episode) -> None:
        """Handles the present episode, after every window. It ends where it was last seen."""

    def close(self) -> None:
        """Closes the listener."""
