"""What a refresh costs, by how much changed and by how much there is: `python -m benchmarks.refresh --help`.

The same 200 shops and 24 months at every size. SQL time is what the server spent on statements, from
pg_stat_database.active_time: it leaves out dbt's own work, and adds up what ran side by side.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.generated_orders import change, generate_orders, settle
from benchmarks.plot import save_bars
from flows.building.project import Built
from flows.history import Mode
from flows.lock import BUILDING
from flows.steps import Run, Step, run_refresh
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

RESULTS = Path(__file__).with_name("refresh.json")


@dataclass(slots=True)
class Cost:
    """One refresh. Seconds; `steps` and `nodes` say where the time went, `nodes` as dbt measured it."""

    orders: int
    what: str
    changed: int
    sql: float = 0
    wall: float = 0
    steps: dict[str, float] = field(default_factory=dict)
    nodes: dict[str, float] = field(default_factory=dict)


def measure(settings: Settings, connection: Connection, cost: Cost, *, mode: Mode | None) -> Cost:
    """Runs one refresh and fills `cost` in."""

    def perform(step: Step, run: Run) -> object:
        before = _sql_seconds(connection)
        result = step(run)
        run.connection.execute("select pg_stat_force_next_flush()")
        cost.steps[step.__name__] = round(_sql_seconds(connection) - before, 3)
        if isinstance(result, Built):
            cost.nodes |= dict(_node_seconds(result))
        return result

    start = time.perf_counter()
    done = run_refresh(settings, mode=mode, perform=perform)
    if done.mode != (mode or "refresh"):
        raise RuntimeError("the models changed during the measurement, so everything was recomputed")
    cost.wall = round(time.perf_counter() - start, 3)
    cost.sql = round(sum(cost.steps.values()), 3)
    return cost


def _sql_seconds(connection: Connection) -> float:
    """All that was spent in this database so far. A connection reports when it closes: dbt's are awaited."""
    for _ in range(200):
        open_ones = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s",
            [BUILDING],
        ).fetchone()
        if open_ones == (0,):
            break
        time.sleep(0.01)
    # Our own statements, too, or what we did between two refreshes would be counted in the second.
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select pg_stat_clear_snapshot(), active_time / 1000 from pg_stat_database where datname = current_database()"
    ).fetchone()
    return float(row[1]) if row else 0.0


def _node_seconds(built: Built) -> Iterator[tuple[str, float]]:
    for unique_id, seconds in built.seconds.items():
        kind, _, name, *_ = unique_id.split(".")
        yield f"{kind} {name}", round(seconds, 3)


def measure_size(orders: int, *, same: int, rounds: int) -> Iterator[Cost]:
    """Every kind of refresh over `orders` orders; of those that run in `rounds`, the median counts."""
    with own_database("regulars_bench_refresh") as settings, open_database(settings) as connection:
        generate_orders(connection, orders)
        yield measure(settings, connection, Cost(orders, "first build", orders), mode="rebuild")
        settle(connection)
        measure(settings, connection, Cost(orders, "warm-up", 0), mode=None)
        for number in range(rounds):
            yield measure(settings, connection, Cost(orders, "nothing", 0), mode=None)
            for what, changed in (("same number", same), ("0.1 %", orders // 1000), ("1 %", orders // 100)):
                change(connection, orders=orders, number=changed, round=f"{what} {number}")
                yield measure(settings, connection, Cost(orders, what, changed), mode=None)
            settle(connection)
        yield measure(settings, connection, Cost(orders, "rebuild", orders), mode="rebuild")


def medians(costs: list[Cost]) -> list[dict[str, object]]:
    """One figure for each size and kind: the median of its rounds, and how often it goes into a rebuild."""
    groups: dict[tuple[int, str], list[float]] = {}
    for cost in costs:
        groups.setdefault((cost.orders, cost.what), []).append(cost.sql)
    return [
        {
            "group": f"{orders:,} orders",
            "what": what,
            "sql": round(median(seconds), 2),
            "cheaper": round(median(groups[orders, "rebuild"]) / median(seconds), 1),
        }
        for (orders, what), seconds in groups.items()
        if (orders, "rebuild") in groups
    ]


def main(
    size: Annotated[tuple[int, int, int], typer.Option(help="Orders")] = (200_000, 1_000_000, 5_000_000),
    same: Annotated[int, typer.Option(help="Changes that are as many at every size")] = 1_000,
    rounds: Annotated[int, typer.Option(help="How often each change is measured")] = 3,
    quick: Annotated[bool, typer.Option(help="Small sizes, once: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go; the plot goes beside it")] = RESULTS,
) -> None:
    """Measure rebuilds and refreshes at several sizes."""
    console = Console(highlight=False)
    costs = []
    for orders in (5_000, 20_000) if quick else size:
        for cost in measure_size(orders, same=100 if quick else same, rounds=1 if quick else rounds):
            console.print(f"{cost.orders:,} orders, {cost.what}: {cost.sql:.2f} s in SQL, {cost.wall:.2f} s in all")
            costs.append(cost)
            results.write_text(json.dumps([asdict(cost) for cost in costs]) + "\n")
    figures = medians(costs)
    for figure in figures:
        console.print(" | ".join(["", *map(str, figure.values()), ""]).strip())
    save_bars(
        figures, name="what", value="sql", title="A refresh, seconds in SQL", path=results.with_suffix(".svg"),
        order=["nothing", "same number", "0.1 %", "1 %", "rebuild", "first build"], logarithmic=True,
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
