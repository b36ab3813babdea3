"""From events to windows, each with the recognizer that answers it, while one recognizer follows another."""

from __future__ import annotations

from typing import List, Optional, Tuple

from runtime.aligner import Aligner, Window, same_windows
from runtime.recognizer import Recognizer
from sensors.events import Event


class Relay:
    """An aligner and the recognizer of its windows, of which the recognizer may change between two windows.

    A successor that asks for the same windows answers from the next one on. For one that asks for others (another
    length, hop or rate) a second aligner takes in the same events beside the first, until its first window is full;
    there it takes over. So every window that ends before is answered by the old one, every window from there on by the
    new one, and none lacks samples.

    Attributes:
        aligner: at work.
        recognizer: at work.
    """

    def __init__(self, aligner: Aligner, recognizer: Recognizer) -> None:
        self.aligner = aligner
        self.recognizer = recognizer
        self._next: Optional[Tuple[Aligner, Recognizer]] = None

    def hand_over(self, successor: Recognizer) -> None:
        """Lets another recognizer take over, the sooner the better; it replaces a successor that still waits."""
        if same_windows(successor.spec, self.aligner.spec):
            self.recognizer = successor
            self._next = None
        else:
            self._next = self.aligner.anew(successor.spec), successor

    def feed(self, event: Event) -> List[Tuple[Window, Recognizer]]:
        """Takes one event in and returns the windows that it closed, oldest first, with what is to answer them."""
        due = [(window, self.recognizer) for window in self.aligner.feed(event)]
        if self._next:
            aligner, successor = self._next
            full = aligner.feed(event)
            if full:
                due = [(window, by) for window, by in due if window.end_ns < full[0].end_ns]
                due += [(window, successor) for window in full]
                self.aligner, self.recognizer, self._next = aligner, successor, None
        return due
