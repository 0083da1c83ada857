"""The cost of one checkout: `python -m benchmarks.track --help`.

Compares `track` with the minimum, a bare insert of one row, and with the same work in four statements. All three run
on one server, in turns, with 1 client and with 8.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from threading import Barrier
from typing import Annotated
from uuid import UUID, uuid4

import typer
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.plot import save_bars
from ingest import Checkout, track
from ingest.phone import read_phone
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

_WARM_UP = 10  # calls of each client that prepare its statements

RESULTS = Path(__file__).with_name("track.json")

_SHOP = "insert into public.user_shops (id, shop_slug) values (%s, %s)"

_ORDERS = """
    insert into public.shop_orders (id, shop_id, total_price, order_status, payment_status)
    select id, %s, 10, 'completed', 'completed' from unnest(%s::uuid[]) as t (id)
"""

_BARE_TABLE = "create table bare_tracking (like regulars.tracking including defaults, primary key (id))"

_BARE_INSERT = """
    insert into bare_tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at)
    values (%s, %s, %s, now())
"""


def bare_insert(connection: Connection, checkout: Checkout) -> None:
    connection.execute(_BARE_INSERT, [checkout.shop_id, checkout.order_id, checkout.slug], prepare=True)


def four_statements(connection: Connection, checkout: Checkout) -> None:
    """The usual code: find the customer, create or update it, record the visit, match the order."""
    phone = read_phone(checkout.phone, country="GH").e164
    with connection.transaction():
        found = connection.execute(
            "select id from regulars.customers where shop_id = %s and phone_number = %s",
            [checkout.shop_id, phone],
            prepare=True,
        ).fetchone()
        customer = found[0] if found else uuid4()
        connection.execute(
            "insert into regulars.customers (id, shop_id, phone_number) values (%s, %s, %s) "
            "on conflict (shop_id, phone_number) do update set customer_name = excluded.customer_name",
            [customer, checkout.shop_id, phone],
            prepare=True,
        )
        visit = uuid4()
        connection.execute(
            "insert into regulars.tracking (id, shop_id, accessed_via_slug, accessed_at) values (%s, %s, %s, now())",
            [visit, checkout.shop_id, checkout.slug],
            prepare=True,
        )
        connection.execute(
            "update regulars.tracking set shop_order_id = %s, shop_customer_id = "
            "(select id from regulars.customers where shop_id = %s and phone_number = %s) where id = %s",
            [checkout.order_id, checkout.shop_id, phone, visit],
            prepare=True,
        )


WAYS: dict[str, Callable[[Connection, Checkout], object]] = {
    "bare insert": bare_insert,
    "track": track,
    "four statements": four_statements,
}


def make_checkouts(connection: Connection, shop: UUID, number: int, *, first: int) -> list[Checkout]:
    """Existing orders, three to a customer, with phones as buyers spell them."""
    orders = [uuid4() for _ in range(number)]
    connection.execute(_ORDERS, [shop, orders])
    return [
        Checkout(shop_id=shop, order_id=order, phone=f"024 {(first + n) // 3:07d}", slug="bench")
        for n, order in enumerate(orders)
    ]


def run(settings: Settings, way: str, checkouts: list[Checkout], *, clients: int) -> tuple[list[float], float]:
    """The seconds of each call, and of all together; each client is a thread with a connection of its own."""
    all_ready = Barrier(clients)

    def work(number: int) -> list[float]:
        call = WAYS[way]
        moments = []
        with open_database(settings) as connection:
            mine = checkouts[number::clients]
            for checkout in mine[:_WARM_UP]:
                call(connection, checkout)
            all_ready.wait()
            moments.append(time.perf_counter())
            for checkout in mine[_WARM_UP:]:
                call(connection, checkout)
                moments.append(time.perf_counter())
        return moments

    with ThreadPoolExecutor(clients) as threads:
        moments = list(threads.map(work, range(clients)))
    taken = [after - before for mine in moments for before, after in pairwise(mine)]
    return taken, max(mine[-1] for mine in moments) - min(mine[0] for mine in moments)


def measure(settings: Settings, *, calls: int, rounds: int, clients: int) -> list[dict[str, object]]:
    """Measures them in turns, so that other load on the machine affects all of them."""
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    seconds = dict.fromkeys(WAYS, 0.0)
    shop = uuid4()
    with open_database(settings) as connection:
        connection.execute(_SHOP, [shop, f"bench-{clients}"])
        for number in range(rounds * len(WAYS)):
            way = list(WAYS)[number % len(WAYS)]
            checkouts = make_checkouts(connection, shop, calls, first=number * calls)
            each, together = run(settings, way, checkouts, clients=clients)
            taken[way] += each
            seconds[way] += together
    return [
        {
            "way": way,
            "clients": clients,
            "p50_ms": round(quantiles(taken[way], n=20)[9] * 1000, 3),
            "p95_ms": round(quantiles(taken[way], n=20)[18] * 1000, 3),
            "per_second": round(len(taken[way]) / seconds[way]),
        }
        for way in WAYS
    ]


def main(
    calls: Annotated[int, typer.Option(help="Checkouts in each turn")] = 1_000,
    rounds: Annotated[int, typer.Option(help="Turns of each way")] = 5,
    quick: Annotated[bool, typer.Option(help="Few checkouts: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go; the plot goes beside it")] = RESULTS,
) -> None:
    """Measure a checkout."""
    with own_database("regulars_bench_track") as settings:
        with open_database(settings) as connection:
            connection.execute(_BARE_TABLE)
        figures = [
            figure
            for clients in (1, 8)
            for figure in measure(
                settings, calls=200 if quick else calls, rounds=1 if quick else rounds, clients=clients
            )
        ]
    results.write_text(json.dumps(figures, indent=1) + "\n")
    save_bars(
        [figure | {"group": f"clients: {figure['clients']}"} for figure in figures],
        value="p50_ms", title="One checkout, median in milliseconds", path=results.with_suffix(".svg"),
        name="way", order=list(WAYS),
    )  # fmt: skip
    console = Console(highlight=False)
    for figure in figures:
        console.print(" | ".join(["", *map(str, figure.values()), ""]).strip())


if __name__ == "__main__":
    typer.run(main)
