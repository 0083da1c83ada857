"""What reading the dashboard costs: `python -m benchmarks.read --help`.

A million customers in 200 shops, a quarter of them in one. One client reads the API over HTTP on loopback. Plain SQL
also computes the same numbers from the orders, for the ratio, and the benchmark checks that both agree.
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any
from uuid import UUID

import httpx
import jwt
import typer
from pydantic import SecretStr
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.generated_orders import SHOPS, generate_orders, settle
from benchmarks.served import served
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys

RESULTS = Path(__file__).with_name("read.json")

_SECRET = "the-secret-of-the-benchmark-and-of-nothing-else"
_API = "/api/admin/customers"

# The sales of one shop, from the raw rows alone, with staging's status policy.
_SALES = """
    with

    sales as (
        select
            visits.shop_customer_id,
            orders.created_at,
            orders.total_price,
            cast(date_trunc('month', orders.created_at at time zone shops.timezone) as date) as month,
            cast(date_trunc('month', min(orders.created_at) over buyer at time zone shops.timezone) as date) as cohort,
            row_number() over (buyer order by orders.created_at, orders.id) as number,
            coalesce(visits.accessed_via_slug, 'unknown') as slug
        from public.shop_orders as orders
        inner join public.user_shops as shops on orders.shop_id = shops.id
        left join regulars.tracking as visits
            on orders.shop_id = visits.shop_id and orders.id = visits.shop_order_id
        where
            orders.shop_id = %s
            and orders.payment_status = 'completed'
            and orders.order_status in ('pending', 'processing', 'completed')
        window buyer as (partition by visits.shop_customer_id)
    )
"""

# For each endpoint: the same numbers live, and the part of its response that must equal them.
_LIVE: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "analytics": (
        """
        select count(distinct shop_customer_id), count(distinct shop_customer_id) filter (where number > 1),
            sum(total_price)
        from sales
        """,
        lambda body: [[body["total_customers"], body["repeat_customers"], body["total_revenue"]]],
    ),
    "acquisition": (
        """
        select month, count(distinct shop_customer_id) filter (where month = cohort),
            count(distinct shop_customer_id), count(*), sum(total_price)
        from sales
        group by month
        order by month
        """,
        lambda body: [
            [row["month"], row["new_customers"], row["active_customers"], row["sales"], row["net_amount"]]
            for row in _rows(body)
        ],
    ),
    "slug-analytics": (
        """
        select slug, count(*), sum(total_price) as net_amount
        from sales
        group by slug
        order by net_amount desc, slug
        """,
        lambda body: [[row["slug"], row["sales"], row["net_amount"]] for row in _rows(body) if row["sales"]],
    ),
    "cohorts": (
        """
        select cohort, month, count(distinct shop_customer_id), sum(total_price)
        from sales
        group by cohort, month
        order by cohort, month
        """,
        lambda body: [
            [
                row["cohort_month"],
                _later(row["cohort_month"], row["months_since"]),
                row["active_customers"],
                row["net_amount"],
            ]
            for row in _rows(body)
            if row["active_customers"]
        ],
    ),
}


def _rows(body: dict[str, Any]) -> list[dict[str, Any]]:
    (rows,) = [value for value in body.values() if isinstance(value, list)]
    return rows


def _later(month: str, months: int) -> str:
    year, number = divmod(int(month[:4]) * 12 + int(month[5:7]) - 1 + months, 12)
    return f"{year:04d}-{number + 1:02d}-01"


def _plain(rows: list[tuple[Any, ...]]) -> list[list[object]]:
    return [
        [float(v) if isinstance(v, Decimal) else v if isinstance(v, str | int) else v.isoformat() for v in row]
        for row in rows
    ]


class Owners:
    """Every owner with a token, all on one HTTP connection."""

    def __init__(self, connection: Connection, client: httpx.Client) -> None:
        self.client = client
        self.shops: list[tuple[UUID, str]] = connection.execute(
            "select shop_id, user_id::text from analytics.customers "
            "inner join public.user_shops on customers.shop_id = user_shops.id "
            "group by shop_id, user_id order by count(*) desc"
        ).fetchall()  # type: ignore[assignment]
        expires = datetime.now(UTC) + timedelta(hours=6)
        self.tokens = {
            owner: jwt.encode({"sub": owner, "aud": "authenticated", "exp": expires}, _SECRET)
            for _, owner in self.shops
        }

    def get(self, owner: str, path: str, **query: object) -> tuple[float, dict[str, Any]]:
        """Seconds, and the response."""
        headers = {"Authorization": f"Bearer {self.tokens[owner]}"}
        began = time.perf_counter()
        response = self.client.get(f"{_API}/{path}", params=query, headers=headers)  # type: ignore[arg-type]
        took = time.perf_counter() - began
        response.raise_for_status()
        return took, response.json()


def measure(
    owners: Owners, what: str, times: int, requests: Iterator[tuple[str, str, dict[str, object]]]
) -> dict[str, Any]:
    taken = [
        owners.get(owner, path, **query)[0] * 1000
        for _, (owner, path, query) in zip(range(times), requests, strict=False)
    ]
    cuts = quantiles(taken[times // 10 :], n=100)
    return {"what": what, "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}


def _everywhere(owners: Owners, path: str, **query: object) -> Iterator[tuple[str, str, dict[str, object]]]:
    """The shops in turn, the largest every tenth time."""
    number = 0
    while True:
        shop = 0 if number % 10 == 0 else number % len(owners.shops)
        yield owners.shops[shop][1], path, query
        number += 1


def _largest(owners: Owners, path: str, **query: object) -> Iterator[tuple[str, str, dict[str, object]]]:
    while True:
        yield owners.shops[0][1], path, query


_PAGES = ("/segments", "/customers.csv", "/customers.xlsx")


def pages(owners: Owners, settings: Settings, *, times: int) -> Iterator[dict[str, Any]]:
    """What reads every customer of the largest shop: a page and the two files, whole."""
    _, owner = owners.shops[0]
    cookie = Keys(settings.model_copy(update={"jwt_secret": SecretStr(_SECRET)})).session(owner)
    headers = {"Cookie": f"{COOKIE}={cookie}", "Sec-Fetch-Site": "same-origin"}
    for path in _PAGES:
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            owners.client.get(path, headers=headers).raise_for_status()
            taken.append(time.perf_counter() - began)
        yield {"what": f"{path}, largest", "s": round(median(taken), 2)}


def live_ratios(owners: Owners, connection: Connection, *, times: int) -> Iterator[dict[str, Any]]:
    """How much longer the same numbers take live, in the largest shop and in the middle one."""
    for size, (shop, owner) in (("largest", owners.shops[0]), ("middle", owners.shops[len(owners.shops) // 2])):
        for path, (query, of_response) in _LIVE.items():
            live = read = float("inf")
            for _ in range(times):
                began = time.perf_counter()
                rows = connection.execute(_SALES + query, [shop]).fetchall()  # type: ignore[operator]
                live = min(live, time.perf_counter() - began)
                took, body = owners.get(owner, path)
                read = min(read, took)
            if _plain(rows) != of_response(body):
                raise RuntimeError(f"{path} of the {size} shop is not what the orders say")
            yield {"what": path, "shop": size, "live_ms": round(live * 1000, 1), "ratio": round(live / read, 1)}


def benchmark(settings: Settings, connection: Connection, *, times: int, page: int) -> Iterator[dict[str, Any]]:
    with (
        served("dashboard", settings, {"REGULARS_JWT_SECRET": _SECRET}) as where,
        httpx.Client(base_url=where, timeout=60) as client,
    ):
        owners = Owners(connection, client)
        for path in _LIVE:
            yield measure(owners, path, times, _everywhere(owners, path))
        yield measure(owners, "list, first page", times, _everywhere(owners, "list", limit=20))
        for sort in ("-last_purchase", "-total_spent", "total_purchases"):
            query: dict[str, object] = {"limit": 20, "sort": sort}
            yield measure(owners, f"list, first page, {sort}, largest", times, _largest(owners, "list", **query))
            far = query | {"offset": 20 * (page - 1)}
            yield measure(owners, f"list, page {page:,}, {sort}, largest", times, _largest(owners, "list", **far))
            before = query | {"offset": 20 * (page - 2)}
            cursor = owners.get(owners.shops[0][1], "list", **before)[1]["next_cursor"]
            after = query | {"cursor": cursor}
            yield measure(owners, f"list, page {page:,} by cursor, {sort}", times, _largest(owners, "list", **after))
        phone = owners.get(owners.shops[0][1], "list", limit=1)[1]["customers"][0]["phone_number"]
        spelling = f"0{phone[4:6]} {phone[6:9]} {phone[9:]}"
        yield measure(owners, "list, a phone", times, _largest(owners, "list", search=spelling))
        yield measure(owners, "list, a part of a name", max(times // 10, 20), _largest(owners, "list", search="uye"))
        yield from pages(owners, settings, times=5)
        yield from live_ratios(owners, connection, times=3)


def main(
    customers: Annotated[int, typer.Option(help="Customers, a quarter of them in one shop")] = 1_000_000,
    times: Annotated[int, typer.Option(help="Requests of each kind")] = 500,
    quick: Annotated[bool, typer.Option(help="Few of everything: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Measure the API over a large platform."""
    customers, times = (20_000, 30) if quick else (customers, times)
    figures = []
    console = Console(highlight=False)
    with own_database("regulars_bench_read") as settings, open_database(settings) as connection:
        generate_orders(connection, 2 * customers, customers=customers, largest=customers // 4)
        run_refresh(settings, mode="rebuild")
        settle(connection)
        for figure in benchmark(settings, connection, times=times, page=min(10_000, customers // 4 // 20)):
            figures.append(figure)
            console.print(" | ".join(["", *map(str, figure.values()), ""]).strip())
            results.write_text(json.dumps(figures, indent=1) + "\n")
    console.print(f"{customers:,} customers in {SHOPS} shops")


if __name__ == "__main__":
    typer.run(main)
