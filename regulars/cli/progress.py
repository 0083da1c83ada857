"""What a refresh is at, in the terminal: a line for each step, and a live one for each model that runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.nodes import NodeEvent
from flows.reporting.text import seconds
from flows.steps import Run, Step

DOING = {
    "compare_models": "looking for models that changed",
    "prepare_relations": "checking tables and views",
    "match_customers": "matching orders to customers",
    "forecast_purchases": "fitting forecasts that are due",
    "claim_batch": "taking the changes",
    "build_marts": "building and testing the marts",
    "extract_rows": "writing the raw rows to files for Spark",
    "build_on_spark": "building and testing on Spark",
    "load_marts": "loading and testing what Spark computed",
    "judge_volume": "comparing the last days with the weeks before",
    "publish": "comparing the marts with the raw sales and publishing",
    "settle_relations": "dropping what no model makes any more",
    "audit_shops": "auditing, where a week has passed",
}

# Where nobody watches, the shorter ones would only fill a log.
_WORTH_A_LINE = 1.0
_BAR = 24


@dataclass(slots=True)
class Progress:
    """Shows a refresh while it runs. It is a context manager; `perform` and `watch` are for `run_refresh`.

    In a terminal, each step leaves a line, and below these stand the models and data tests that run, with their
    seconds. Elsewhere there is a plain line for each step, and for each model that took a second or more.
    """

    console: Console
    steps: Sequence[Step]
    _step: Step | None = None
    _step_began: float = 0.0
    _running: dict[str, float] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _total: int = 0
    _live: Live | None = None

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._live = Live(
                console=self.console, get_renderable=self._now, refresh_per_second=8, transient=True
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def perform(self, step: Step, run: Run) -> object:
        """Runs a step, and leaves a line that says how long it took."""
        with self._shown(step):
            return step(run)

    def watch(self, event: NodeEvent) -> None:
        """Notes a model or data test that began or ended; threads may call it at once."""
        self._total = event.total
        if event.seconds is None:
            self._running[event.node_id] = time.monotonic()
            return
        self._running.pop(event.node_id, None)
        self._done.add(event.node_id)
        if event.has_failed or (self._live is None and event.seconds >= _WORTH_A_LINE):
            self.console.print(self._ended(event))

    @contextmanager
    def _shown(self, step: Step) -> Iterator[None]:
        self._step, self._step_began = step, time.monotonic()
        mark, style = "failed", "bold red"
        try:
            yield
            mark, style = "done", "green"
        finally:
            length = time.monotonic() - self._step_began
            self._step = None
            self._running.clear()
            self._done.clear()
            self._total = 0
            self.console.print(self._line(step, seconds(length), mark, style))

    def _line(self, step: Step, length: str, mark: str, style: str) -> RenderableType:
        """Number, what is done, and how long that took, in columns."""
        line = Table.grid(padding=(0, 1))
        line.add_column(justify="right", width=len(f"{len(self.steps)}/{len(self.steps)}"), style="dim")
        line.add_column(width=max(map(len, DOING.values())), no_wrap=True, overflow="ellipsis")
        line.add_column(justify="right", width=len("00 min 00 s"), no_wrap=True)
        line.add_column(style=style, no_wrap=True)
        line.add_row(f"{self.steps.index(step) + 1}/{len(self.steps)}", DOING[step.__name__], length, mark)
        return line

    def _ended(self, event: NodeEvent) -> Text:
        what = "failed after" if event.has_failed else "took"
        style = "red" if event.has_failed else ""
        return Text(f"    {event.name} {what} {seconds(event.seconds or 0)}", style, no_wrap=True, overflow="ellipsis")

    def _now(self) -> RenderableType:
        """The step that runs, how far its models are, and each that runs."""
        step = self._step
        if step is None:
            return Text("    starting", "dim")
        now = time.monotonic()
        lines = [self._line(step, seconds(now - self._step_began), "", "")]
        if self._total:
            bar = Table.grid(padding=(0, 1))
            bar.add_row(
                "   ",
                ProgressBar(self._total, len(self._done), width=_BAR),
                f"{len(self._done)} of {self._total} models and tests",
            )
            lines.append(bar)
            for node_id, began in sorted(self._running.copy().items(), key=lambda item: item[1]):
                kind, _, name, *_ = node_id.split(".")
                lines.append(Text(f"    {seconds(now - began):>11}  {name}", no_wrap=True, overflow="ellipsis",
                    style="dim" if kind == "test" else ""))  # fmt: skip
        return Group(*lines)
