"""The cost of loading an export: `python -m benchmarks.load --help`.

Compares the function behind `regulars load` with a plain COPY of the same file into a bare table: what parsing, reading
phones, matching, keys and the change log add to the minimum.
"""

import csv
import json
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.plot import save_bars
from ingest.bulk.import_file import ImportFile, OrderRow, ShopRow
from ingest.bulk.loading import load_orders, load_shops
from ingest.storage.connections import Connection

RESULTS = Path(__file__).with_name("load.json")

_SHOP_COLUMNS = ["id", "user_id", "shop_name", "shop_slug", "timezone", "currency", "country"]
_ORDER_COLUMNS = [
    "id", "shop_slug", "customer_name", "customer_email", "customer_phone", "network", "volume_gb",
    "base_price", "profit_amount", "total_price", "order_status", "payment_status", "reference_code", "created_at",
    "accessed_via_slug",
]  # fmt: skip

_BARE_TABLE = """
    create table bare_orders (
        id uuid, shop_slug text, customer_name text, customer_email text, customer_phone text, network text,
        volume_gb numeric, base_price numeric, profit_amount numeric, total_price numeric, order_status text,
        payment_status text, reference_code text, created_at timestamptz, accessed_via_slug text
    )
"""

_SPELLINGS = ("0{}{}", "+233{}{}", "233{}{}", "0{} {}", "00233{}{}")


def write_export(folder: Path, *, orders: int, shops: int, seed: int = 1) -> tuple[Path, Path]:
    """A storefront's export: a customer buys three times on average, and spells the phone in several ways."""
    chance = random.Random(seed)
    shops_file, orders_file = folder / "shops.csv", folder / "orders.csv"
    with shops_file.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_SHOP_COLUMNS)
        for n in range(shops):
            slug = f"shop-{n}"
            writer.writerow([_id(chance), _id(chance), slug.title(), slug, "Africa/Accra", "GHS", "GH"])
    opening = datetime(2024, 1, 1, tzinfo=UTC)
    with orders_file.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_ORDER_COLUMNS)
        for n in range(orders):
            customer = int(orders / 3 * chance.random())
            number = f"{(20, 24, 54, 55)[customer % 4]}{customer:07d}"
            writer.writerow([
                _id(chance), f"shop-{customer % shops}", f"Buyer {customer}", f"{customer}@example.com",
                chance.choice(_SPELLINGS).format(number[:2], number[2:]), "MTN", 1 + n % 10, "9.00", "1.00",
                "10.00", "completed", "completed", f"R-{n}",
                (opening + timedelta(seconds=600 * n)).isoformat(), f"link-{n % 5}",
            ])  # fmt: skip
    return shops_file, orders_file


def _id(chance: random.Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)


def copy(connection: Connection, path: Path) -> None:
    """The minimum: the file's bytes, copied into a table without keys."""
    statement = "copy bare_orders from stdin with (format csv, header)"
    with path.open("rb") as file, connection.cursor().copy(statement) as target:
        while block := file.read(1 << 16):
            target.write(block)


def measure(*, orders: int, shops: int) -> list[dict[str, object]]:
    """A first load into a new database, the same load again, and the bare copy."""
    seconds = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        own_database("regulars_bench_load") as settings,
        open_database(settings) as connection,
    ):
        shops_file, orders_file = write_export(Path(folder), orders=orders, shops=shops)
        connection.execute(_BARE_TABLE)
        load_shops(connection, ImportFile(shops_file, ShopRow))
        for way in ("load", "load again", "bare copy"):
            start = time.perf_counter()
            if way == "bare copy":
                copy(connection, orders_file)
            else:
                load_orders(connection, ImportFile(orders_file, OrderRow))
            seconds[way] = time.perf_counter() - start
    return [{"orders": orders, "way": way, "per_second": round(orders / taken)} for way, taken in seconds.items()]


def main(
    orders: Annotated[int, typer.Option(help="Orders in the export")] = 200_000,
    shops: Annotated[int, typer.Option(help="Shops that they are of")] = 300,
    quick: Annotated[bool, typer.Option(help="Few orders: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go; the plot goes beside it")] = RESULTS,
) -> None:
    """Measure a load."""
    figures = measure(orders=5_000 if quick else orders, shops=shops)
    results.write_text(json.dumps(figures, indent=1) + "\n")
    save_bars(
        [figure | {"group": f"{figure['orders']:,} orders"} for figure in figures],
        value="per_second", title="Orders a second", path=results.with_suffix(".svg"),
        name="way", order=["bare copy", "load", "load again"],
    )  # fmt: skip
    for figure in figures:
        Console(highlight=False).print(f"{figure['way']}: {figure['per_second']:,} orders a second")


if __name__ == "__main__":
    typer.run(main)
