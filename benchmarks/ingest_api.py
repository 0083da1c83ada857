"""The throughput of the ingest API: `python -m benchmarks.ingest_api --help`.

Clients send checkouts in batches of a hundred over HTTP on loopback, and each waits for its answers; for comparison,
they send them one by one. The API runs as a process of its own, as in production. Server, API and clients share the
machine.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import Annotated
from uuid import uuid4

import httpx
import typer
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.served import served
from benchmarks.track import make_checkouts

RESULTS = Path(__file__).with_name("ingest_api.json")

_TOKEN = "the-token-of-the-benchmark"


def bodies_of(events: list[str], *, size: int) -> list[bytes]:
    if size == 1:
        return [event.encode() for event in events]
    return [f'{{"checkouts": [{",".join(events[n : n + size])}]}}'.encode() for n in range(0, len(events), size)]


def measure(where: str, bodies: list[bytes], *, size: int, clients: int) -> dict[str, object]:
    """Each client sends its share of the bodies, one after another. Fails if an order is not matched at once."""

    def work(number: int) -> list[float]:
        taken = []
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
        with httpx.Client(base_url=where, headers=headers, timeout=60) as client:
            client.get("/healthz")
            for body in bodies[number::clients]:
                began = time.perf_counter()
                answer = client.post("/api/ingest/checkouts", content=body)
                taken.append(time.perf_counter() - began)
                body = answer.json()
                for one in body.get("answers", [body]):
                    if one["outcome"] not in ("new_customer", "returning_customer"):
                        raise RuntimeError(f"a checkout was not linked at once: {one}")
        return taken

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        taken = [seconds for mine in threads.map(work, range(clients)) for seconds in mine]
    together = time.perf_counter() - began
    return {
        "batch": size,
        "clients": clients,
        "p50_ms": round(quantiles(taken, n=20)[9] * 1000, 2),
        "p95_ms": round(quantiles(taken, n=20)[18] * 1000, 2),
        "checkouts_per_second": round(len(bodies) * size / together),
    }


def main(
    batches: Annotated[int, typer.Option(help="Batches of a hundred at each number of clients", min=4)] = 100,
    quick: Annotated[bool, typer.Option(help="Few checkouts: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Measure the ingest API."""
    figures = []
    first = 0
    with own_database("regulars_bench_ingest_api") as settings, open_database(settings) as connection:
        shop = uuid4()
        connection.execute("insert into public.user_shops (id, shop_slug) values (%s, 'bench')", [shop])
        with served("ingest-api", settings, {"REGULARS_INGEST_TOKENS": _TOKEN}) as where:
            # An existing storefront, open connections and prepared statements.
            warm_up = [
                c.model_dump_json(exclude_none=True) for c in make_checkouts(connection, shop, 3000, first=first)
            ]
            first += len(warm_up)
            measure(where, bodies_of(warm_up, size=100), size=100, clients=4)
            for size in (100, 1):
                for clients in (1, 2, 4):
                    number = 8 if quick else batches if size == 100 else batches * 10
                    checkouts = make_checkouts(connection, shop, number * size, first=first)
                    first += len(checkouts)
                    # As autovacuum does on a live storefront: plans for empty tables don't suit full ones.
                    connection.execute("analyze")
                    events = [checkout.model_dump_json(exclude_none=True) for checkout in checkouts]
                    figures.append(measure(where, bodies_of(events, size=size), size=size, clients=clients))
    results.write_text(json.dumps(figures, indent=1) + "\n")
    console = Console(highlight=False)
    for figure in figures:
        console.print(" | ".join(["", *map(str, figure.values()), ""]).strip())


if __name__ == "__main__":
    typer.run(main)
