"""The cost of fitting and scoring a shop's forecasts: `python -m benchmarks.forecast --help`.

A made-up shop whose customers behave as the model says. Its purchases are written straight into a table with what the
fit reads, so that nothing else is measured.
"""

import json
import resource
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import typer
from rich.console import Console

from benchmarks.database import open_database, own_database
from flows.forecast import fitting, scoring
from flows.forecast.due import DueShop
from ingest.storage.connections import Connection

RESULTS = Path(__file__).with_name("forecast.json")

THROUGH = date(2026, 1, 1)
_SHOP = UUID(int=1)

_PURCHASES = """
    create table analytics.purchases (
        shop_id uuid, shop_customer_id uuid, order_date date, first_purchase_date date, is_first_of_day boolean,
        net_amount numeric
    )
"""


def write_purchases(connection: Connection, *, customers: int, seed: int = 1) -> int:
    """Two years of purchases, BG/NBD and gamma-gamma with CDNOW's parameters; returns how many there are."""
    chance = np.random.default_rng(seed)
    age = chance.integers(0, 730, customers)
    pause = 7 / chance.gamma(0.243, 1 / 4.414, customers).clip(1e-6)
    dropout = chance.beta(0.793, 2.426, customers)
    rate = chance.gamma(3.74, 1 / 15.44, customers)
    purchases = 0
    alive, after = np.arange(customers), np.zeros(customers)
    with connection.cursor().copy(
        "copy analytics.purchases (shop_id, shop_customer_id, order_date, first_purchase_date, is_first_of_day, "
        "net_amount) from stdin"
    ) as copy:
        while len(alive):
            first = (np.datetime64(THROUGH) - age[alive]).astype(str)
            day = (np.datetime64(THROUGH) - age[alive] + after[alive].astype(int)).astype(str)
            amount = chance.gamma(6.25, 1 / rate[alive]).round(2)
            for row in zip(alive.tolist(), day.tolist(), first.tolist(), amount.tolist(), strict=True):
                copy.write(f"{_SHOP}\t{UUID(int=row[0] + 1)}\t{row[1]}\t{row[2]}\tt\t{row[3]}\n")
            purchases += len(alive)
            alive = alive[chance.random(len(alive)) > dropout[alive]]
            after[alive] = np.floor(after[alive]) + 1 + chance.exponential(pause[alive])
            alive = alive[after[alive] <= age[alive]]
    return purchases


def measure(*, customers: int) -> dict[str, object]:
    """One fit of one shop: reading and searching the parameters, then scoring and storing."""
    with own_database("regulars_bench_forecast") as settings, open_database(settings) as connection:
        connection.execute(
            "insert into user_shops (id, user_id, shop_name, shop_slug) values (%s, gen_random_uuid(), 'Shop', 'shop')",
            [_SHOP],
        )
        connection.execute(_PURCHASES)
        purchases = write_purchases(connection, customers=customers)
        connection.execute(
            "insert into regulars.customers (shop_id, id, phone_number) "
            "select shop_id, shop_customer_id, '+1' || (1000000000 + row_number() over ())::text "
            "from analytics.purchases where order_date = first_purchase_date group by shop_id, shop_customer_id"
        )
        connection.execute("vacuum analyze analytics.purchases, regulars.customers")
        shop = DueShop(_SHOP, THROUGH, purchases, Decimal(0))
        scoring_took: list[float] = []

        def timed(*parts: Any) -> None:
            start = time.perf_counter()
            scoring.score(*parts)
            scoring_took.append(time.perf_counter() - start)

        fitting.score = timed
        start = time.perf_counter()
        outcome = fitting.fit_shop(connection, shop)
        total = time.perf_counter() - start
        if outcome.reason is not None:
            raise SystemExit(f"The fit can't be used: {outcome.reason}.")
    return {
        "customers": customers,
        "purchases": purchases,
        "fit_seconds": round(total - scoring_took[0], 1),
        "score_seconds": round(scoring_took[0], 1),
        "total_seconds": round(total, 1),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main(
    customers: Annotated[int, typer.Option(help="Customers of the shop")] = 1_000_000,
    quick: Annotated[bool, typer.Option(help="Few customers: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Measure a fit and its scores."""
    sizes = [5_000] if quick else [customers // 10, customers]
    figures = [measure(customers=size) for size in sizes]
    results.write_text(json.dumps(figures, indent=1) + "\n")
    for figure in figures:
        Console(highlight=False).print(
            f"{figure['customers']:,} customers: fitted in {figure['fit_seconds']} s, scored in "
            f"{figure['score_seconds']} s; everything {figure['total_seconds']} s, {figure['memory_mb']} MB"
        )


if __name__ == "__main__":
    typer.run(main)
