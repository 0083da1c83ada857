"""The show: a small storefront's year, from checkout to the nine cards, in a database of its own."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.history import Refresh
from flows.steps import STEPS, Run, Step, run_refresh
from ingest import Checkout, Visit, track, visit
from ingest.storage.connections import Connection, connect
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings
from regulars.demo.database import DATABASE, new_database
from regulars.demo.panels import read, shop_panel
from regulars.demo.sample_data import SampleData
from regulars.demo.storefront import Span, open_shops, place_orders, settle

_START, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def play(settings: Settings, data: SampleData, *, console: Console, database: str = DATABASE) -> None:
    """Sends the sample data through ingest in two halves, each with a refresh, and prints what readers see.

    Raises DatabaseError where `database` can't be created, and what a refresh raises.
    """
    began = datetime.now(UTC)
    console.print(f"[bold]A year of {len(data.shops)} made-up shops[/], in the database {database}.\n")
    with new_database(settings, database) as own, connect(own.database_url or "") as connection:
        migrate(connection)
        # Losing a demo's last moments is harmless, and waiting for the disk at each checkout would make it slow.
        connection.execute("set synchronous_commit = off")
        open_shops(connection, data)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            first = _play_half(own, connection, data, progress, (_START, data.middle))
            second = _play_half(own, connection, data, progress, (data.middle, _END))
        console.print(_events_table(first, second), "")
        for shop in data.shops:
            console.print(shop_panel(shop, *read(connection, shop), width=min(console.width, 96)))
    console.print(
        f"As of {second.refresh.as_of:%Y-%m-%d %H:%M:%S} UTC. Refreshed in {_seconds(first):.1f} s and "
        f"{_seconds(second):.1f} s; {(datetime.now(UTC) - began).total_seconds():.0f} s in all.\n",
        style="dim",
    )


@dataclass(frozen=True, slots=True)
class Half:
    """The events of half a year, and the refresh that followed."""

    orders: int
    visits: int
    outcomes: Counter[str]
    refresh: Refresh


def _play_half(own: Settings, connection: Connection, data: SampleData, progress: Progress, during: Span) -> Half:
    """Everything that happens in that time, and then a refresh."""
    since, until = during
    visits = [v for s in data.shops for v in s.visits if v.accessed_at and since <= v.accessed_at < until]
    orders = place_orders(connection, data, during)
    # As a checkout does it: one by one, in the order of time; the retries come at the end.
    calls: list[Visit | Checkout] = [*visits, *(o.checkout for o in orders if o.calls > 0)]
    calls.sort(key=lambda call: (call.accessed_at or until, isinstance(call, Checkout)))
    calls += [o.checkout for o in orders if o.calls > 1]
    outcomes: Counter[str] = Counter()
    for call in progress.track(calls, description="visits and checkouts"):
        if isinstance(call, Visit):
            visit(connection, call)
        else:
            outcomes[track(connection, call).outcome] += 1
    for shop in data.shops:
        settle(connection, shop, during)
    task = progress.add_task("refresh", total=len(STEPS))

    def perform(step: Step, run: Run) -> object:
        progress.update(task, advance=1, description=f"refresh: {step.__name__.replace('_', ' ')}")
        return step(run)

    return Half(len(orders), len(visits), outcomes, run_refresh(own, perform=perform))


def _events_table(*halves: Half) -> RenderableType:
    table = Table("Events", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("first half", "second half"):
        table.add_column(heading, justify="right")
    rows: tuple[tuple[str, Callable[[Half], int | None]], ...] = (
        ("orders that the storefront wrote", lambda half: half.orders),
        ("visits to the shops' links", lambda half: half.visits),
        ("checkouts from a new phone number", lambda half: half.outcomes["new_customer"]),
        ("checkouts tracked twice, counted once", lambda half: half.outcomes["replayed"]),
        ("orders that checkout missed, matched by the refresh", lambda half: half.refresh.matched),
        ("changes that the refresh had to work on", lambda half: half.refresh.changes),
    )
    for title, count in rows:
        table.add_row(title, *(f"{count(half) or 0:,}" for half in halves))
    return table


def _seconds(half: Half) -> float:
    refresh = half.refresh
    return ((refresh.finished_at or refresh.started_at) - refresh.started_at).total_seconds()
