"""The live view: what the person does, how far each sensor is trusted, and how each sensor fares."""

from __future__ import annotations

import time
from collections import deque
from typing import Deque, List, Mapping, Optional, Sequence

import numpy as np
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.spec import ModelSpec
from runtime.loop import Outcome, Sink
from runtime.recognizer import UNCERTAIN
from sensors.events import Event, Sample, StateChange
from sensors.sensor import SensorInfo

_SPARKS = " ▁▂▃▄▅▆▇█"
_BARS = " ▏▎▍▌▋▊▉█"
_SPARK_LENGTH = 32
_RATE_SECONDS = 2.0
_PICTURE_COLUMNS = 56
_PICTURE_ROWS = 16
_NEAR_M, _FAR_M = 0.5, 5.0
_DEPTH_COLOURS = np.array([[255, 245, 200], [255, 170, 60], [220, 60, 80], [110, 30, 130], [30, 20, 70], [8, 8, 20]])


class LiveView(Sink):
    """Draws on a terminal, twice per hop, when no window is due.

    Args:
        spec: of the model; None when nothing is recognised, only recorded.
        infos: of the sensors in use.
        source: where the data comes from, in words.
        console: the terminal.
    """

    def __init__(
        self, spec: Optional[ModelSpec], infos: Mapping[str, SensorInfo], source: str, console: Console
    ) -> None:
        self._spec = spec
        self._source = source
        self._traces = {name: _Trace(info) for name, info in infos.items()}
        self._outcome: Optional[Outcome] = None
        self._history: Deque[str] = deque(maxlen=8)
        self._frame: Optional[Sample] = None
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def event(self, event: Event) -> None:
        """Notes a sample or a change of state."""
        if isinstance(event, Sample) and event.sensor in self._traces:
            self._traces[event.sensor].add(event)
            if event.sensor == "depth":
                self._frame = event
        elif isinstance(event, StateChange) and event.sensor in self._traces:
            self._traces[event.sensor].state = event.state

    def outcome(self, outcome: Outcome) -> None:
        """Notes a prediction."""
        self._outcome = outcome
        activity = outcome.prediction.activity
        if not self._history or self._history[-1] != activity:
            self._history.append(activity)

    def idle(self) -> None:
        """Draws."""
        self._live.update(self._render(), refresh=True)

    def close(self) -> None:
        """Leaves the last picture on the terminal."""
        self._live.update(self._render(), refresh=True)
        self._live.stop()

    def _render(self) -> RenderableType:
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1)
        grid.add_column(width=_PICTURE_COLUMNS + 4)
        left: List[RenderableType] = (
            [self._headline(), self._probabilities(self._spec), self._weights()] if self._spec else []
        )
        right: List[RenderableType] = [self._sensors()]
        if self._frame is not None:
            right.insert(0, Panel(self._picture(self._frame), title="depth", border_style="dim"))
        grid.add_row(Group(*left), Group(*right))
        elapsed = int(time.monotonic() - self._began)
        title = f"[bold]cosmo-runtime[/]  {self._source}  [dim]{elapsed // 60:d}:{elapsed % 60:02d}  Ctrl-C ends[/]"
        return Panel(grid, title=title, border_style="blue")

    def _headline(self) -> RenderableType:
        if self._outcome is None:
            return Panel(Align.center("\n[dim]waiting for the first window …[/]\n"), border_style="dim")
        prediction = self._outcome.prediction
        colour = "yellow" if prediction.activity == UNCERTAIN else "green"
        name = "  ".join(" ".join(word.upper()) for word in prediction.activity.split())
        lines = [
            Text(),
            Text(name, style=f"bold {colour}", justify="center"),
            Text(),
            Text(f"{_bar(prediction.confidence, 24)} {prediction.confidence:.0%}", style=colour, justify="center"),
        ]
        if self._outcome.truth is not None:
            lines.append(Text(f"truth: {self._outcome.truth}", style="dim", justify="center"))
        return Panel(Group(*lines), subtitle=f"[dim]{' › '.join(self._history)}[/]", border_style=colour)

    def _probabilities(self, spec: ModelSpec) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        shares = self._outcome.prediction.probabilities if self._outcome else dict.fromkeys(spec.classes, 0.0)
        shown = sorted(shares, key=shares.__getitem__, reverse=True)[:14] if len(shares) > 14 else list(shares)
        for name in shown:
            style = "bold" if self._outcome and name == self._outcome.prediction.activity else "dim"
            table.add_row(Text(name, style=style), Text(_bar(shares[name], 20), style="cyan"), f"{shares[name]:4.0%}")
        return Panel(table, title="activities", border_style="dim")

    def _weights(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        weights: Mapping[str, float] = self._outcome.prediction.weights if self._outcome else {}
        for name in self._traces:
            weight = weights.get(name, 0.0)
            table.add_row(name, Text(_bar(weight, 30), style="magenta"), f"{weight:4.0%}")
        if self._outcome:
            prediction = self._outcome.prediction
            timing = f"{prediction.latency_ms:.1f} ms, engine {prediction.engine_ms:.1f} ms"
            table.add_row("latency", Text(timing, style="dim"), "")
        return Panel(table, title="trust in each sensor", border_style="dim")

    def _sensors(self) -> RenderableType:
        table = Table(box=None, padding=(0, 1), header_style="dim")
        for heading in "sensor", "state", "rate", "lost":
            table.add_column(heading, justify="left" if heading in ("sensor", "state") else "right")
        table.add_column("signal", no_wrap=True)
        for name, trace in self._traces.items():
            state = self._outcome.sensors.get(name, trace.state) if self._outcome else trace.state
            state = "lost" if trace.state == "lost" else state
            colour = {"ok": "green", "lost": "red"}.get(state, "yellow")
            lost = trace.info.counts["lost_samples"]
            table.add_row(
                name,
                Text(state, style=colour),
                f"{trace.rate_hz():.0f} Hz",
                str(lost),
                Text(trace.spark(), style="cyan"),
            )
        return Panel(table, title="sensors", border_style="dim")

    def _picture(self, frame: Sample) -> Text:
        """The depth image in half blocks: two rows of pixels a line, near is bright."""
        height, width = frame.data.shape
        rows = np.arange(2 * _PICTURE_ROWS) * height // (2 * _PICTURE_ROWS)
        columns = np.arange(_PICTURE_COLUMNS) * width // _PICTURE_COLUMNS
        metres = frame.data[np.ix_(rows, columns)] * self._traces["depth"].info.depth_scale_m
        place = np.clip((metres - _NEAR_M) / (_FAR_M - _NEAR_M), 0, 1) * (len(_DEPTH_COLOURS) - 1)
        lower = np.minimum(place.astype(int), len(_DEPTH_COLOURS) - 2)
        part = (place - lower)[..., np.newaxis]
        colours = (_DEPTH_COLOURS[lower] * (1 - part) + _DEPTH_COLOURS[lower + 1] * part) // 16 * 16
        colours[metres == 0] = 0
        picture = Text(no_wrap=True)
        for top, bottom in zip(colours[::2].astype(int), colours[1::2].astype(int)):
            for above, below in zip(top, bottom):
                picture.append("▀", style="rgb({},{},{}) on rgb({},{},{})".format(*above, *below))
            picture.append("\n")
        picture.right_crop(1)
        return picture


class _Trace:
    """What the view remembers of one sensor: its state, its recent rate and a line of its signal."""

    def __init__(self, info: SensorInfo) -> None:
        self.info = info
        self.state = "waiting"
        self._stamps: Deque[int] = deque(maxlen=1000)
        self._values: Deque[float] = deque(maxlen=_SPARK_LENGTH)
        self._pending: List[float] = []

    def add(self, sample: Sample) -> None:
        self.state = "ok"
        self._stamps.append(sample.stamp_ns)
        self._pending.append(_signal(sample))
        if len(self._pending) >= self.info.rate_hz / 10:
            self._values.append(max(self._pending))
            self._pending.clear()

    def rate_hz(self) -> float:
        since = time.monotonic_ns() - round(_RATE_SECONDS * 1e9)
        return sum(stamp > since for stamp in self._stamps) / _RATE_SECONDS

    def spark(self) -> str:
        return _spark(self._values)


def _signal(sample: Sample) -> float:
    """One number that moves with the person: |acceleration|, number of moving points, near part of the image."""
    if sample.sensor == "imu":
        return float(np.linalg.norm(sample.data[:3]))
    if sample.sensor == "radar":
        return float(len(sample.data))
    middle = sample.data[:: max(1, len(sample.data) // 16)]
    return float(np.mean(middle[middle > 0])) if middle.any() else 0.0


def _spark(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    span = high - low or 1.0
    return "".join(_SPARKS[1 + int((value - low) / span * (len(_SPARKS) - 2))] for value in values)


def _bar(share: float, width: int) -> str:
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_BARS[part] if part else "")).ljust(width)
