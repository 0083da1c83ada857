"""What readers and checkouts notice of everything that may happen to a platform: `python -m benchmarks.readers --help`.

They go on through refreshes, a rebuild, each kind of change to the models, and a migration; see benchmarks/audience.py.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import jwt
import pytest
import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.audience import Act, Audience, Place, audience
from benchmarks.database import open_database, own_database
from benchmarks.generated_orders import change, generate_orders, settle
from benchmarks.served import served
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from ingest.storage.indexes import build_indexes
from ingest.storage.migrations import SCHEMA, migrate
from ingest.storage.settings import Settings
from regulars.dashboard.security.tokens import Keys
from tests.model_changes import CHANGES, take_columns_out
from tests.project import Project

RESULTS = Path(__file__).with_name("readers.json")

_SECRET = "the-secret-of-the-benchmark-and-of-nothing-else"
_API_AUDIENCE = "authenticated"

# As a release would: columns with constant defaults on tables that are written to, and a constraint.
_MIGRATION = """
    alter table public.shop_orders add column benchmark_note text;
    alter table regulars.tracking add column benchmark_note text not null default '';
    alter table regulars.tracking add constraint benchmark_note_is_short check (length(benchmark_note) < 100) not valid;
"""

Phase = tuple[str, Callable[[], object]]


def phases(settings: Settings, connection: Connection, project: Project, folder: Path, orders: int) -> Iterator[Phase]:
    """What happens, one after another, by name."""

    def after_changes(number: int) -> None:
        change(connection, orders=orders, number=number, round=f"readers {number}")
        _refresh(settings, "refresh")

    yield "a refresh of 1,000 changes", lambda: after_changes(1_000)
    yield "a refresh of 1 %", lambda: after_changes(orders // 100)
    yield "a rebuild", lambda: _refresh(settings, "rebuild")
    for alter in CHANGES:
        if alter is take_columns_out:
            # The dashboard reads them.
            continue

        def altered(alter: Callable[[Project], None] = alter) -> None:
            alter(project)
            _refresh(settings, "partial")

        yield f"models: {alter.__name__.replace('_', ' ')}", altered
    yield "a migration, with an index", lambda: _migrate(connection, folder)


def _refresh(settings: Settings, mode: str) -> None:
    done = run_refresh(settings, mode="rebuild" if mode == "rebuild" else None)
    if done.mode != mode or done.warnings:
        raise RuntimeError(f"a {done.mode} where a {mode} was meant, with the warnings {done.warnings}")


def _migrate(connection: Connection, folder: Path) -> None:
    """A migration of its own, after ours; and the index on the orders, built concurrently as `migrate` does it."""
    shutil.copytree(SCHEMA, folder)
    number = 1 + max(int(path.name[:4]) for path in folder.glob("[0-9]*.sql"))
    (folder / f"{number:04}_benchmark.sql").write_text(_MIGRATION)
    connection.execute("drop index concurrently public.regulars_orders_by_shop")
    migrate(connection, folder=folder)
    # For a folder of one's own it is not part of `migrate`.
    if build_indexes(connection) == []:
        raise RuntimeError("the index was there")


def figures(what: str, seconds: float, acts: list[Act], alone: list[Act]) -> dict[str, Any]:
    """What readers and checkouts noticed of one phase."""
    usual = {name: median(act.size for act in alone if act.what == name) for name in {act.what for act in alone}}
    reads = [act for act in acts if act.who != "checkout"]
    tracked = [act.seconds * 1000 for act in acts if act.what == "track"]
    return {
        "what": what,
        "seconds": round(seconds, 1),
        "reads": len(reads),
        "errors": sorted({f"{act.who}, {act.what}: {act.error}" for act in acts if act.error}),
        # A page or a result of half its size has lost something.
        "empty": sum(act.error is None and act.size < usual.get(act.what, 0) / 2 for act in reads),
        "longest_read_s": round(max((act.seconds for act in reads), default=0), 2),
        "longest_by": max(reads, key=lambda act: act.seconds).what if reads else "",
        "tracked": len(tracked),
        "track_p50_ms": round(median(tracked), 1) if tracked else None,
        "track_p99_ms": round(quantiles(tracked, n=100)[98], 1) if len(tracked) > 1 else None,
        "track_longest_ms": round(max(tracked, default=0), 1),
    }


def measure(settings: Settings, connection: Connection, orders: int, *, alone: float) -> Iterator[dict[str, Any]]:
    """The figures of `alone` seconds in which nothing else happens, and then of each phase."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        project = Project(folder / "project", stack.enter_context(pytest.MonkeyPatch.context()))
        secret = {"REGULARS_JWT_SECRET": _SECRET}
        address = stack.enter_context(served("dashboard", settings, secret))
        crowd = stack.enter_context(audience(_place(settings, connection, address)))
        time.sleep(5)
        before = _during(crowd, lambda: time.sleep(alone))
        yield figures("nothing else", *before, before[1])
        for what, happen in phases(settings, connection, project, folder / "schema", orders):
            yield figures(what, *_during(crowd, happen), before[1])


def _during(crowd: Audience, happen: Callable[[], object]) -> tuple[float, list[Act]]:
    began = time.monotonic()
    happen()
    ended = time.monotonic()
    return ended - began, crowd.between(began, ended)


def _place(settings: Settings, connection: Connection, address: str) -> Place:
    """The shop with the most orders, and its owner."""
    row = connection.execute(
        "select shop_id::text, user_id::text from analytics.shop_overview "
        "inner join public.user_shops on shop_overview.shop_id = user_shops.id order by total_orders desc limit 1"
    ).fetchone()
    shop, owner = row or ("", "")
    keys = Keys(settings.model_copy(update={"jwt_secret": SecretStr(_SECRET)}))
    claims = {"sub": owner, "aud": _API_AUDIENCE, "exp": datetime.now(UTC) + timedelta(hours=6)}
    return Place(
        conninfo=settings.database_url or "",
        dashboard=address,
        shop=shop,
        session=keys.session(owner),
        api_token=jwt.encode(claims, _SECRET),
    )


def _table(measured: list[dict[str, Any]]) -> Table:
    columns = (
        "what",
        "seconds",
        "reads",
        "empty",
        "longest_read_s",
        "track_p50_ms",
        "track_p99_ms",
        "track_longest_ms",
    )
    table = Table(*columns, "errors")
    for each in measured:
        table.add_row(*(str(each[column]) for column in columns), str(len(each["errors"])))
    return table


def main(
    orders: Annotated[int, typer.Option(min=2_000, help="How many orders there are at first")] = 1_000_000,
    alone: Annotated[float, typer.Option(help="For how many seconds nothing else happens")] = 60,
    quick: Annotated[bool, typer.Option(help="Few orders: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Exits with 1 if a reader or a checkout met an error, an empty page, or a wait of a second."""
    orders, alone = (5_000, 5) if quick else (orders, alone)
    measured: list[dict[str, Any]] = []
    console = Console(highlight=False, width=160)
    with own_database("regulars_bench_readers") as settings, open_database(settings) as connection:
        generate_orders(connection, orders)
        for _ in range(2):
            run_refresh(settings)
        settle(connection)
        for figure in measure(settings, connection, orders, alone=alone):
            measured.append(figure)
            console.print(figure)
            results.write_text(json.dumps({"orders": orders, "phases": measured}, indent=1) + "\n")
    console.print(_table(measured))
    if any(each["errors"] or each["empty"] or each["longest_read_s"] >= 1 for each in measured):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
