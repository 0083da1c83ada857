"""The show: a small storefront's year, from checkout to the nine cards, in a database of its own."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flows.history import Refresh
from flows.steps import STEPS, Run, Step, run_refresh
from ingest import Checkout, Visit, track, visit
from ingest.storage.connections import Connection, connect, conninfo
from ingest.storage.errors import DatabaseError
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings
from regulars.demo.sample_data import Entry, Order, Shop, World

DATABASE = "regulars_demo"
_MARK = "Made by regulars demo, which drops it and makes it anew."
_ADDRESS = ("host", "port", "user", "dbname")
_LOCK = 0x4465_6D6F  # "Demo"
_START, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_Lasting = TypeVar("_Lasting", Order, Entry)
_Row = dict[str, Any]
_Span = tuple[datetime, datetime]

_CARDS = {
    "available_balance": ("Available balance", "{currency} {:,.2f}"),
    "total_profit": ("Total profit", "{currency} {:,.2f}"),
    "total_orders": ("Total orders", "{:,.0f}"),
    "pending_withdrawals": ("Pending withdrawals", "{:,.0f}"),
    "total_customers": ("Customers", "{:,.0f}"),
    "repeat_customers": ("Repeat customers", "{:,.0f}"),
    "repeat_percentage": ("Repeat rate", "{:.1f}%"),
    "average_ltv": ("Average lifetime value", "{currency} {:,.2f}"),
    "customer_revenue": ("Customer revenue", "{currency} {:,.2f}"),
}


def play(settings: Settings, world: World, *, console: Console, database: str = DATABASE) -> None:
    """Pushes the world through ingest in two halves, each with a refresh, and prints what readers see.

    Raises DatabaseError where `database` can't be had, and what a refresh raises.
    """
    began = datetime.now(UTC)
    console.print(f"[bold]A year of {len(world.shops)} made-up shops[/], in the database {database}.\n")
    with made_anew(settings, database) as own, connect(own.database_url or "") as connection:
        migrate(connection)
        # Nobody mourns a demo's last moments, and syncing each checkout to the disk would make it slow.
        connection.execute("set synchronous_commit = off")
        _open_shops(connection, world)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            first = _live(own, connection, world, progress, (_START, world.middle))
            second = _live(own, connection, world, progress, (world.middle, _END))
        console.print(_story(first, second), "")
        for shop in world.shops:
            console.print(shop_panel(shop, *read(connection, shop), width=min(console.width, 96)))
    console.print(
        f"As of {second.refresh.as_of:%Y-%m-%d %H:%M:%S} UTC. Refreshed in {_seconds(first):.1f} s and "
        f"{_seconds(second):.1f} s; {(datetime.now(UTC) - began).total_seconds():.0f} s in all.\n",
        style="dim",
    )


@contextmanager
def made_anew(settings: Settings, database: str) -> Iterator[Settings]:
    """Yields settings that name the new, empty database; until the end no other demo can drop it."""
    with connect(conninfo(settings, database=None if settings.database_url else "postgres")) as admin:
        if admin.info.dbname == database:
            raise DatabaseError(f"DATABASE_URL names {database}, which the demo drops: name another one.")
        if admin.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone() != (True,):
            raise DatabaseError("Another demo is running on this server: wait until it has ended.")
        found = admin.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = %s", [database]
        ).fetchone()
        if found is not None and found != (_MARK,):
            raise DatabaseError(
                f"This server has a database {database} that no demo made, so it stays as it is: rename it, "
                "or set DATABASE_URL to another server."
            )
        name = sql.Identifier(database)
        try:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            admin.execute(sql.SQL("create database {} template template0").format(name))
            admin.execute(sql.SQL("comment on database {} is {}").format(name, sql.Literal(_MARK)))
        except psycopg.errors.InsufficientPrivilege:
            raise DatabaseError(
                f"The role {admin.info.user} may not make the database {database}: give it CREATEDB, "
                "or unset DATABASE_URL to use the embedded server."
            ) from None
        # A home of its own: dbt parses its project anew whenever the database's name changes.
        own = {"database_url": conninfo(settings, database=database), "home": settings.home / "demo"}
        yield settings.model_copy(update=own)


@dataclass(frozen=True, slots=True)
class Half:
    """What went in during half of the year, and the refresh that followed."""

    orders: int
    visits: int
    outcomes: Counter[str]
    refresh: Refresh


def _open_shops(connection: Connection, world: World) -> None:
    shops = [(s.shop_id, s.owner_id, s.name, s.slug, s.country, s.time_zone, s.currency) for s in world.shops]
    links = [(s.shop_id, k.slug, k.label, k.valid_from, k.valid_to) for s in world.shops for k in s.links]
    _insert(connection, "user_shops", "id user_id shop_name shop_slug country timezone currency", shops)
    _insert(connection, "shop_slugs", "shop_id slug label valid_from valid_to", links)


def _live(own: Settings, connection: Connection, world: World, progress: Progress, during: _Span) -> Half:
    """Everything that happens from the first moment of `during` to before the other, and then a refresh."""
    since, until = during
    visits = [v for s in world.shops for v in s.visits if v.accessed_at and since <= v.accessed_at < until]
    orders = [o for s in world.shops for o in _begun(s.orders, during)]
    _insert(
        connection,
        "shop_orders",
        "id shop_id customer_name customer_email customer_phone network volume_gb base_price profit_amount "
        "total_price order_status payment_status created_at",
        [
            (c.order_id, c.shop_id, c.customer_name, c.email, c.phone, o.network, o.volume_gb, o.base_price,
                o.profit_amount, o.base_price + o.profit_amount, *o.history[0])
            for o, c in ((order, order.checkout) for order in orders)
        ],
    )  # fmt: skip
    # As checkout does it: one by one, in the order of time; some calls come once more when all is over.
    calls: list[Visit | Checkout] = [*visits, *(o.checkout for o in orders if o.calls > 0)]
    calls.sort(key=lambda call: (call.accessed_at or until, isinstance(call, Checkout)))
    calls += [o.checkout for o in orders if o.calls > 1]
    outcomes: Counter[str] = Counter()
    for call in progress.track(calls, description="visits and checkouts"):
        if isinstance(call, Visit):
            visit(connection, call)
        else:
            outcomes[track(connection, call).outcome] += 1
    for shop in world.shops:
        _settle(connection, shop, during)
    task = progress.add_task("refresh", total=len(STEPS))

    def perform(step: Step, run: Run) -> object:
        progress.update(task, advance=1, description=f"refresh: {step.__name__.replace('_', ' ')}")
        return step(run)

    return Half(len(orders), len(visits), outcomes, run_refresh(own, perform=perform))


def _settle(connection: Connection, shop: Shop, during: _Span) -> None:
    """Writes profits and withdrawals, and what became of each row by then, as a storefront does."""
    profits, requests = _begun(shop.profits, during), _begun(shop.withdrawals, during)
    rows = [(p.entry_id, shop.shop_id, p.order_id, p.amount, *p.history[0]) for p in profits]
    _insert(connection, "shop_profits", "id shop_id shop_order_id profit_amount status created_at", rows)
    rows = [(w.entry_id, shop.shop_id, shop.owner_id, w.amount, *w.history[0]) for w in requests]
    _insert(connection, "withdrawal_requests", "id shop_id user_id amount status created_at", rows)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "update public.shop_orders set order_status = %s, payment_status = %s, updated_at = %s where id = %s",
            [(*step, order.checkout.order_id) for order, step in _moved(shop.orders, during)],
        )
        cursor.executemany(
            "update public.shop_profits set status = %s, credited_at = %s where id = %s",
            [(step[0], p.history[1][1], p.entry_id) for p, step in _moved(shop.profits, during)],
        )
        cursor.executemany(
            "update public.withdrawal_requests set status = %s where id = %s",
            [(step[0], w.entry_id) for w, step in _moved(shop.withdrawals, during)],
        )


def _insert(connection: Connection, table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns.split()))
    statement = sql.SQL("copy public.{} ({}) from stdin").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _begun(things: Iterable[_Lasting], during: _Span) -> list[_Lasting]:
    return [thing for thing in things if during[0] <= thing.history[0][-1] < during[1]]


def _moved(things: Iterable[_Lasting], during: _Span) -> list[tuple[_Lasting, Any]]:
    """What took a further step of its history in that time, with the last such step."""
    later = [(thing, [step for step in thing.history[1:] if step[-1] < during[1]]) for thing in things]
    return [(thing, steps[-1]) for thing, steps in later if steps and steps[-1][-1] >= during[0]]


def read(connection: Connection, shop: Shop) -> tuple[_Row, list[_Row]]:
    """A shop's row of `shop_overview`, and its rows of `monthly_acquisition` in order, by column name."""
    own = [shop.shop_id]
    with connection.cursor(row_factory=dict_row) as cursor:
        cards = cursor.execute("select * from analytics.shop_overview where shop_id = %s", own).fetchone()
        months = cursor.execute("select * from analytics.monthly_acquisition where shop_id = %s", own).fetchall()
    return cards or {}, sorted(months, key=lambda row: row["month"])


def shop_panel(shop: Shop, cards: _Row, months: list[_Row], *, width: int) -> RenderableType:
    """A shop's nine cards, and its customers by month. A card that is None is unknown: a dash, never 0."""
    grid = Table.grid(expand=True)
    said = []
    for name, (title, form) in _CARDS.items():
        value = cards.get(name)
        number = "—" if value is None else form.format(value, currency=shop.currency)
        said.append(Text.assemble((number, "bold"), "\n", (title, "dim"), "\n"))
    for first in range(0, len(said), 3):
        grid.add_row(*said[first : first + 3])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("Month", "New", "Returning", "Active", "Sales", f"Net {shop.currency}", ""):
        table.add_column(heading, justify="left" if heading in ("Month", "") else "right", no_wrap=True)
    scale = max(0, width - 66) / max((int(month["active_customers"]) for month in months), default=1)
    for month in months:
        new, returning, active = (int(month[f"{kind}_customers"]) for kind in ("new", "returning", "active"))
        head = round(new * scale)
        bar = Text.assemble(("▒" * head, "green"), ("█" * (round(active * scale) - head), "cyan"))
        counts = (f"{int(count):,}" for count in (new, returning, active, month["sales"]))
        table.add_row(f"{month['month']:%b %Y}", *counts, f"{month['net_amount']:,.2f}", bar)
    title = f"[bold]{shop.name}[/] · {shop.time_zone}"
    legend = "[green]▒[/] new [cyan]█[/] returning"
    return Panel(Group(grid, table), title=title, subtitle=legend, padding=(1, 2), width=width)


def _story(*halves: Half) -> RenderableType:
    table = Table("What went in", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("first half", "second half"):
        table.add_column(heading, justify="right")
    rows: tuple[tuple[str, Callable[[Half], int | None]], ...] = (
        ("orders, as the storefront wrote them", lambda half: half.orders),
        ("visits to the shops' links", lambda half: half.visits),
        ("checkouts from a phone not seen before", lambda half: half.outcomes["new_customer"]),
        ("checkouts told twice, counted once", lambda half: half.outcomes["replayed"]),
        ("orders that checkout missed, matched by the refresh", lambda half: half.refresh.matched),
        ("changes, all that the refresh had to work on", lambda half: half.refresh.changes),
    )
    for title, count in rows:
        table.add_row(title, *(f"{count(half) or 0:,}" for half in halves))
    return table


def _seconds(half: Half) -> float:
    refresh = half.refresh
    return ((refresh.finished_at or refresh.started_at) - refresh.started_at).total_seconds()
