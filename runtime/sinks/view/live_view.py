"""The layout of the live view, on terminals of every size."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from contextlib import suppress
from typing import Callable, Deque, Iterator, List, Mapping, Optional

from rich.align import Align
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.names import NOBODY, UNCERTAIN
from cosmo_runtime.runtime.labels.prompt import Cue
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.sinks.view.depth_picture import depth_picture
from cosmo_runtime.runtime.sinks.view.lettering import large
from cosmo_runtime.runtime.sinks.view.traces import Trace
from cosmo_runtime.sensors.events import Event, Sample, StateChange
from cosmo_runtime.sensors.sensor import SensorInfo

_log = logging.getLogger(__name__)

_WIDE, _NARROW = 100, 60  # columns: activities beside the picture from _WIDE on; no bars below _NARROW
_PICTURE_COLUMNS, _PICTURE_ROWS = 56, 16  # at most
_LEAST_ROWS = 4  # of a picture that can show a person
_ACTIVITY_ROWS = 6  # if there is no picture
_HEADLINE_ROWS = 6
_STATE_COLOURS = {"ok": "green", "asleep": "blue", "lost": "red"}


class LiveView(Sink):
    """Draws on a terminal while no window is waiting.

    An error in drawing never ends a run. It is logged once, and the view stops drawing.

    Args:
        spec: the spec of the model; None when the run only records.
        infos: the sensors in use.
        source: describes where the data comes from.
        console: the terminal.
        cue: returns the present instruction of a prompt; None without a prompt.
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
        self._traces = {name: Trace(info) for name, info in infos.items()}
        self._outcome: Optional[Outcome] = None
        self._history: Deque[str] = deque(maxlen=12)
        self._behind_ms: Mapping[str, float] = {}
        self._corrected_ms: Mapping[str, float] = {}
        self._frame: Optional[Sample] = None
        # the first of several cameras is shown
        self._camera = next((name for name, info in infos.items() if info.kind == "depth"), None)
        self._now_ns = 0
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._broken = False

    def event(self, event: Event) -> None:
        """Notes a sample or a change of state."""
        if isinstance(event, Sample) and event.sensor in self._traces:
            self._now_ns = max(self._now_ns, event.arrival_ns)
            self._traces[event.sensor].add(event)
            if event.sensor == self._camera:
                self._frame = event
        elif isinstance(event, StateChange) and event.sensor in self._traces:
            self._traces[event.sensor].state = event.state

    def outcome(self, outcome: Outcome) -> None:
        """Notes a prediction."""
        self._outcome = outcome
        activity = outcome.prediction.activity
        if not self._history or self._history[-1] != activity:
            self._history.append(activity)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Notes which sensors are out of step."""
        self._behind_ms = behind_ms

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Notes what is taken off the sensors' times."""
        self._corrected_ms = taken_off_ms

    def idle(self) -> None:
        """Draws."""
        if self._broken:
            return
        try:
            self._live.start()  # the first time
            self._live.update(self.render(), refresh=True)
        except Exception as error:  # the run matters more than its view
            self._broken = True
            with suppress(Exception):
                self._live.stop()
            _log.warning("the live view ended, the run goes on: %r", error)

    def close(self) -> None:
        """Leaves the last picture on the terminal."""
        self.idle()
        if not self._broken:
            self._live.stop()

    def render(self) -> RenderableType:
        """Returns the picture, laid out for the terminal's present size."""
        width, height = self._live.console.size
        above: List[RenderableType] = [self._title()]
        if self._spec:
            above.append(self._headline(width - 4))
        if self._cue:
            above.append(_instruction(self._cue(), width - 4))
        sensors_rows = len(self._traces) + 3
        rows = height - 1 - (1 + _HEADLINE_ROWS * (len(above) - 1)) - sensors_rows
        return Group(*above, *self._between(width, rows), self._sensors(width))

    def _between(self, width: int, rows: int) -> Iterator[RenderableType]:
        """Yields what fits between headline and sensors: activities, the depth picture, or both."""
        picture_rows = min(rows - 2, _PICTURE_ROWS) if self._camera else 0
        if self._spec and width >= _WIDE and picture_rows == _PICTURE_ROWS:
            both = Table.grid(expand=True)
            both.add_column(ratio=1)
            both.add_column(width=_PICTURE_COLUMNS + 4)
            both.add_row(self._activities(self._spec, picture_rows, 1), self._picture(_PICTURE_COLUMNS, picture_rows))
            yield both
        elif self._spec and rows > 2:
            yield self._activities(self._spec, min(rows - 2, _ACTIVITY_ROWS), 1 if width < _NARROW else 2)
        elif not self._spec and picture_rows >= _LEAST_ROWS:
            columns = min(width - 4, _PICTURE_COLUMNS)
            yield Align.right(self._picture(columns, picture_rows), width=columns + 4)

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
        colour = {UNCERTAIN: "yellow", NOBODY: "blue"}.get(prediction.activity, "green")
        words = Text(f"{prediction.confidence:.0%}", style=colour)
        if prediction.reason:
            words = Text(prediction.reason, style=colour)
        elif prediction.activity == UNCERTAIN:
            guess = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
            words.append(f"  perhaps {guess}", style="dim")
        if prediction.novelty is not None:
            words.append(f"  novelty {prediction.novelty:.1f}", style="dim")
        if self._outcome.truth is not None:
            words.append(f"  truth: {self._outcome.truth}", style="dim")
        confidence = Table.grid(padding=(0, 1))
        bar = [] if prediction.reason else [_bar(prediction.confidence, colour, width // 5)]
        confidence.add_row(*bar, words)
        before = list(self._history)[:-1]
        while before and len(" › ".join(before)) > width - 4:
            before.pop(0)
        name = Align.center(Text(large(prediction.activity, width), style=f"bold {colour}", no_wrap=True))
        return Panel(
            Group(name, Align.center(confidence)),
            subtitle=Text(" › ".join(before), style="dim"),
            border_style=colour,
            height=_HEADLINE_ROWS,
        )

    def _activities(self, spec: ModelSpec, rows: int, columns: int) -> RenderableType:
        """Shows the probabilities in the order of the classes. If not all fit, the most probable ones are shown."""
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

    def _sensors(self, width: int) -> RenderableType:
        narrow = width < _NARROW
        table = Table(box=None, padding=(0, 1), pad_edge=not narrow, header_style="dim", expand=True)
        table.add_column("sensor", min_width=6, no_wrap=True)
        table.add_column("state", min_width=7, no_wrap=True)
        if self._spec:
            table.add_column("trust", width=5 if narrow else 15, no_wrap=True)
        table.add_column("rate", min_width=6, justify="right", no_wrap=True)
        table.add_column("lost", min_width=4, justify="right", no_wrap=True)
        if not narrow:
            table.add_column("signal", ratio=1)
        weights: Mapping[str, float] = self._outcome.prediction.weights if self._outcome else {}
        for name, trace in self._traces.items():
            state = self._outcome.sensors.get(name, trace.state) if self._outcome else trace.state
            state = "lost" if trace.state == "lost" else state
            weight = weights.get(name, 0.0)
            cells: List[RenderableType] = [name, Text(state, style=_STATE_COLOURS.get(state, "yellow"))]
            if self._spec:
                trust = Table.grid(padding=(0, 1))
                bar = [] if narrow else [_bar(weight, "magenta", 10)]
                trust.add_row(*bar, f"{weight:4.0%}")
                cells.append(trust)
            cells += [f"{trace.rate_hz(self._now_ns):.0f} Hz", str(trace.info.counts["lost_samples"])]
            table.add_row(*cells, *([] if narrow else [trace]))
        title = "sensors"
        if self._behind_ms:
            title += f", out of step: [yellow]{_by_sensor(self._behind_ms)}[/]"
        elif self._corrected_ms:
            title += f", put in step: {_by_sensor({name: -ms for name, ms in self._corrected_ms.items()})}"
        timing = None
        if self._outcome:
            prediction = self._outcome.prediction
            timing = f"[dim]latency {prediction.latency_ms:.1f} ms, of which engine {prediction.engine_ms:.1f} ms[/]"
        return Panel(table, title=title, subtitle=timing, border_style="dim")

    def _picture(self, most_columns: int, rows: int) -> RenderableType:
        picture = Text()
        if self._frame is not None:
            scale_m = self._traces[self._frame.sensor].info.depth_scale_m
            picture = depth_picture(self._frame.data, scale_m, most_columns, rows)
        return Panel(picture, title=self._camera, border_style="dim", height=rows + 2)


def _instruction(cue: Optional[Cue], width: int) -> RenderableType:
    """Tells the person what to do now or next, and for how long."""
    if cue is None:
        return Panel(Text("\n\n\n"), border_style="dim", height=_HEADLINE_ROWS)
    colour = "green" if cue.doing else "yellow"
    left_s = math.ceil(cue.left_s)
    words = f"now, for {left_s} s more" if cue.doing else f"begins in {left_s} s"
    words = "pause: p goes on" if cue.paused else words
    after = f"then {cue.after}" if cue.after else "the last one"
    return Panel(
        Group(
            Align.center(Text(large(cue.activity, width), style=f"bold {colour}", no_wrap=True)),
            Align.center(Text(words, style=colour)),
        ),
        title=f"{cue.number} of {cue.total}",
        subtitle=Text(after, style="dim"),
        border_style=colour,
        height=_HEADLINE_ROWS,
    )


def _by_sensor(ms: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:+.0f} ms" for name, value in ms.items())


def _bar(share: float, colour: str, width: Optional[int] = None) -> Bar:
    return Bar(1.0, 0.0, share, width=width, color=colour, bgcolor="grey11")
