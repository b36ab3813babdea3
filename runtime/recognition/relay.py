"""Cuts events into windows, each with its recognizer, while one recognizer replaces another."""

from __future__ import annotations

from typing import List, Optional, Tuple

from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.windows.aligner import Aligner, Window, same_windows
from cosmo_runtime.sensors.events import Event


class Relay:
    """An aligner and the recognizer of its windows. The recognizer may be replaced between two windows.

    A successor with the same windows takes over at the next window. For a successor with other windows (another length,
    hop or rate), a second aligner gets the same events until its first window is full. Then it takes over. The old
    recognizer answers each window that ends earlier, the new one each later window, and no window lacks samples.

    Attributes:
        aligner: the current one.
        recognizer: the current one.
    """

    def __init__(self, aligner: Aligner, recognizer: Recognizer) -> None:
        self.aligner = aligner
        self.recognizer = recognizer
        self._next: Optional[Tuple[Aligner, Recognizer]] = None

    def hand_over(self, successor: Recognizer) -> None:
        """Lets another recognizer take over as soon as possible. It replaces a successor that is still waiting."""
        if same_windows(successor.spec, self.aligner.spec):
            successor.take_over(self.recognizer)
            self.recognizer = successor
            self._next = None
        else:
            self._next = self.aligner.with_spec(successor.spec), successor

    def feed(self, event: Event) -> List[Tuple[Window, Recognizer]]:
        """Adds one event. Returns the windows that it closed, oldest first, each with its recognizer."""
        windows = [(window, self.recognizer) for window in self.aligner.feed(event)]
        if self._next:
            aligner, successor = self._next
            new_windows = aligner.feed(event)
            if new_windows:
                first_ns = new_windows[0].end_ns
                windows = [(window, recognizer) for window, recognizer in windows if window.end_ns < first_ns]
                windows += [(window, successor) for window in new_windows]
                successor.take_over(self.recognizer)
                self.aligner, self.recognizer, self._next = aligner, successor, None
        return windows
