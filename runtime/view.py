"""The live view: what the person does, how far each sensor is trusted, and how each sensor fares."""

from __future__ import annotations

import math
import time
from collections import deque
from itertools import groupby
from typing import Callable, Deque, List, Mapping, Optional, Sequence

import numpy as np
from rich.align import Align
from rich.bar import Bar
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.spec import ModelSpec
from runtime.loop import Outcome, Sink
from runtime.prompt import Cue
from runtime.recognizer import UNCERTAIN
from sensors.events import Event, Sample, StateChange
from sensors.sensor import SensorInfo

_SPARKS = " ▁▂▃▄▅▆▇█"
_SPARK_LENGTH = 60
_RATE_SECONDS = 2.0
_WIDE, _HIGH = 100, 32  # columns and lines of a terminal that has room for the depth picture
_PICTURE_COLUMNS, _PICTURE_ROWS = 56, 16
_NARROW_ROWS = 6
_NEAR_M, _FAR_M = 0.5, 5.0
_DEPTH_COLOURS = np.array([[255, 245, 200], [255, 170, 60], [220, 60, 80], [110, 30, 130], [30, 20, 70], [8, 8, 20]])
_STATE_COLOURS = {"ok": "green", "lost": "red"}
_SHAPES = (  # of the letters: five rows of three pixels, a row an octal digit
    "00000 25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755 "
    "65555 25552 65644 25571 65655 34216 72222 55557 55552 55775 55255 55222 71247"
)
_LETTERS = dict(zip(" ABCDEFGHIJKLMNOPQRSTUVWXYZ", _SHAPES.split()))


class LiveView(Sink):
    """Draws on a terminal whenever no window is due.

    Args:
        spec: of the model; None when nothing is recognised, only recorded.
        infos: of the sensors in use.
        source: where the data comes from, in words.
        console: the terminal.
        cue: what a person who is led through activities is told at present; absent when nobody is.
    """

    def __init__(
        self,
        spec: Optional[ModelSpec],
        infos: Mapping[str, SensorInfo],
        source: str,
        console: Console,
        cue: Optional[Callable[[], Optional[Cue]]] = None,
    ) -> None:
        self._spec = spec
        self._cue = cue
        self._source = source
        self._traces = {name: _Trace(info) for name, info in infos.items()}
        self._outcome: Optional[Outcome] = None
        self._history: Deque[str] = deque(maxlen=12)
        self._frame: Optional[Sample] = None
        self._now_ns = 0
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def event(self, event: Event) -> None:
        """Notes a sample or a change of state."""
        if isinstance(event, Sample) and event.sensor in self._traces:
            self._now_ns = max(self._now_ns, event.arrival_ns)
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
        self._live.update(self.render(), refresh=True)

    def close(self) -> None:
        """Leaves the last picture on the terminal."""
        self._live.update(self.render(), refresh=True)
        self._live.stop()

    def render(self) -> RenderableType:
        """Returns the picture, laid out for the terminal's present size."""
        width, height = self._live.console.size
        parts: List[RenderableType] = [self._title()]
        if self._spec:
            parts.append(self._headline(width - 4))
        if self._cue:
            parts.append(_instruction(self._cue(), width - 4))
        if "depth" in self._traces and (self._spec is None or (width >= _WIDE and height >= _HIGH)):
            row = Table.grid(expand=True)
            row.add_column(ratio=1)
            row.add_column(width=_PICTURE_COLUMNS + 4)
            row.add_row(self._activities(self._spec, _PICTURE_ROWS, 1) if self._spec else "", self._picture())
            parts.append(row)
        elif self._spec:
            parts.append(self._activities(self._spec, _NARROW_ROWS, 2))
        parts.append(self._sensors())
        return Group(*parts)

    def _title(self) -> RenderableType:
        elapsed = int(time.monotonic() - self._began)
        title = Table.grid(expand=True, padding=(0, 1))
        title.add_column(no_wrap=True)
        title.add_column(justify="right", no_wrap=True)
        words = Text.assemble(" ", ("cosmo-runtime", "bold"), "  ", self._source)
        if self._outcome:
            words.append(f"  bundle {self._outcome.prediction.bundle}", style="dim")
        title.add_row(words, Text(f"{elapsed // 60:d}:{elapsed % 60:02d}  Ctrl-C ends ", style="dim"))
        return title

    def _headline(self, width: int) -> RenderableType:
        if self._outcome is None:
            return Panel(
                Text("\nwaiting for the first window …\n\n", style="dim", justify="center"), border_style="dim"
            )
        prediction = self._outcome.prediction
        colour = "yellow" if prediction.activity == UNCERTAIN else "green"
        words = Text(f"{prediction.confidence:.0%}", style=colour)
        if prediction.activity == UNCERTAIN:
            guess = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
            words.append(f"  perhaps {guess}", style="dim")
        if self._outcome.truth is not None:
            words.append(f"  truth: {self._outcome.truth}", style="dim")
        confidence = Table.grid(padding=(0, 1))
        confidence.add_row(_bar(prediction.confidence, colour, width // 5), words)
        before = list(self._history)[:-1]
        while before and len(" › ".join(before)) > width - 4:
            before.pop(0)
        name = Align.center(Text(_large(prediction.activity, width), style=f"bold {colour}", no_wrap=True))
        return Panel(
            Group(name, Align.center(confidence)),
            subtitle=Text(" › ".join(before), style="dim"),
            border_style=colour,
            height=6,
        )

    def _activities(self, spec: ModelSpec, rows: int, columns: int) -> RenderableType:
        """Probabilities in the order of the classes, or of the most probable ones where there are too many."""
        shares = self._outcome.prediction.probabilities if self._outcome else dict.fromkeys(spec.classes, 0.0)
        shown = list(shares)
        if len(shown) > rows * columns:
            shown = sorted(shares, key=shares.__getitem__, reverse=True)[: rows * columns]
        table = Table.grid(padding=(0, 1), expand=True)
        for _ in range(columns):
            table.add_column(no_wrap=True)
            table.add_column(ratio=1)
            table.add_column(width=4, justify="right")
        for row in range(rows):
            cells: List[RenderableType] = []
            for name in shown[row::rows]:
                style = "bold" if self._outcome and name == self._outcome.prediction.activity else "dim"
                cells += [Text(name, style), _bar(shares[name], "cyan"), Text(f"{shares[name]:.0%}", style)]
            table.add_row(*cells)
        return Panel(table, title="activities", border_style="dim")

    def _sensors(self) -> RenderableType:
        table = Table(box=None, padding=(0, 1), header_style="dim", expand=True)
        table.add_column("sensor", min_width=6)
        table.add_column("state", min_width=7)
        if self._spec:
            table.add_column("trust", width=15)
        table.add_column("rate", min_width=6, justify="right")
        table.add_column("lost", min_width=4, justify="right")
        table.add_column("signal", ratio=1)
        weights: Mapping[str, float] = self._outcome.prediction.weights if self._outcome else {}
        for name, trace in self._traces.items():
            state = self._outcome.sensors.get(name, trace.state) if self._outcome else trace.state
            state = "lost" if trace.state == "lost" else state
            weight = weights.get(name, 0.0)
            cells: List[RenderableType] = [name, Text(state, style=_STATE_COLOURS.get(state, "yellow"))]
            if self._spec:
                trust = Table.grid(padding=(0, 1))
                trust.add_row(_bar(weight, "magenta", 10), f"{weight:4.0%}")
                cells.append(trust)
            cells += [f"{trace.rate_hz(self._now_ns):.0f} Hz", str(trace.info.counts["lost_samples"])]
            table.add_row(*cells, trace)
        timing = None
        if self._outcome:
            prediction = self._outcome.prediction
            timing = f"[dim]latency {prediction.latency_ms:.1f} ms, of which engine {prediction.engine_ms:.1f} ms[/]"
        return Panel(table, title="sensors", subtitle=timing, border_style="dim")

    def _picture(self) -> RenderableType:
        """The depth image in half blocks: two rows of pixels a line, near is bright."""
        picture = Text(no_wrap=True, justify="center")
        if self._frame is not None:
            data = self._frame.data
            height, width = data.shape
            pixel_rows = 2 * _PICTURE_ROWS
            pixel_columns = min(_PICTURE_COLUMNS, pixel_rows * width // height)
            rows = np.arange(pixel_rows) * height // pixel_rows
            columns = np.arange(pixel_columns) * width // pixel_columns
            metres = data[np.ix_(rows, columns)] * self._traces["depth"].info.depth_scale_m
            colours = _colours(metres).tolist()
            for above, below in zip(colours[::2], colours[1::2]):
                for (top, bottom), run in groupby(zip(above, below)):
                    style = "rgb({},{},{}) on rgb({},{},{})".format(*top, *bottom)
                    picture.append("▀" * len(list(run)), style)
                picture.append("\n")
            picture.right_crop(1)
        return Panel(picture, title="depth", border_style="dim", height=_PICTURE_ROWS + 2)


def _instruction(cue: Optional[Cue], width: int) -> RenderableType:
    """What the person is to do, now or next, and for how long yet."""
    if cue is None:
        return Panel(Text("\n\n\n"), border_style="dim", height=6)
    colour = "green" if cue.doing else "yellow"
    left_s = math.ceil(cue.left_s)
    words = f"now, for {left_s} s more" if cue.doing else f"begins in {left_s} s"
    after = f"then {cue.after}" if cue.after else "the last one"
    return Panel(
        Group(
            Align.center(Text(_large(cue.activity, width), style=f"bold {colour}", no_wrap=True)),
            Align.center(Text(words, style=colour)),
        ),
        title=f"{cue.number} of {cue.total}",
        subtitle=Text(after, style="dim"),
        border_style=colour,
        height=6,
    )


class _Trace:
    """What the view remembers of one sensor: its state, its recent rate and its signal, drawn as a line."""

    def __init__(self, info: SensorInfo) -> None:
        self.info = info
        self.state = "waiting"
        self._arrivals: Deque[int] = deque(maxlen=1000)
        self._values: Deque[float] = deque(maxlen=_SPARK_LENGTH)
        self._pending: List[float] = []

    def add(self, sample: Sample) -> None:
        self.state = "ok"
        self._arrivals.append(sample.arrival_ns)
        self._pending.append(_signal(sample))
        if len(self._pending) >= self.info.rate_hz / 10:
            self._values.append(max(self._pending))
            self._pending.clear()

    def rate_hz(self, now_ns: int) -> float:
        since_ns = now_ns - round(_RATE_SECONDS * 1e9)
        return sum(arrival_ns > since_ns for arrival_ns in self._arrivals) / _RATE_SECONDS

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(_spark(list(self._values)[-options.max_width :]), style="cyan", no_wrap=True)


def _signal(sample: Sample) -> float:
    """One number that moves with the person: |acceleration|, number of moving points, mean depth; 0 without any."""
    if sample.sensor == "imu":
        size = float(np.linalg.norm(sample.data[:3]))
        return size if math.isfinite(size) else 0.0
    if sample.sensor == "radar":
        return float(len(sample.data))
    middle = sample.data[:: max(1, len(sample.data) // 16)]
    return float(np.mean(middle[middle > 0])) if middle.any() else 0.0


def _colours(metres: np.ndarray) -> np.ndarray:
    """Red, green and blue of each pixel: (height, width, 3) int, black where nothing was measured."""
    place = np.clip((metres - _NEAR_M) / (_FAR_M - _NEAR_M), 0, 1) * (len(_DEPTH_COLOURS) - 1)
    lower = np.minimum(place.astype(int), len(_DEPTH_COLOURS) - 2)
    part = (place - lower)[..., np.newaxis]
    colours = (_DEPTH_COLOURS[lower] * (1 - part) + _DEPTH_COLOURS[lower + 1] * part) // 16 * 16
    colours[metres == 0] = 0
    return colours.astype(int)


def _large(text: str, width: int) -> str:
    """The text three lines high, or in spaced capitals where that does not fit or has no letter for it."""
    text = text.upper()
    if not set(text) <= set(_LETTERS) or 4 * len(text) > width:
        spaced = "  ".join(" ".join(word) for word in text.split())
        return f"\n{spaced if len(spaced) <= width else text}\n"
    rows = [" ".join(f"{int(_LETTERS[letter][row]):03b}" for letter in text) for row in range(5)]
    rows = [row.replace("0", " ").replace("1", "█") for row in [*rows, "0" * len(rows[0])]]
    blocks = {"  ": " ", "█ ": "▀", " █": "▄", "██": "█"}
    lines = zip(rows[::2], rows[1::2])
    return "\n".join("".join(blocks[above + below] for above, below in zip(*line)) for line in lines)


def _spark(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    span = high - low or 1.0
    return "".join(_SPARKS[1 + int((value - low) / span * (len(_SPARKS) - 2))] for value in values)


def _bar(share: float, colour: str, width: Optional[int] = None) -> Bar:
    return Bar(1.0, 0.0, share, width=width, color=colour, bgcolor="grey11")
