"""`regulars load`: a storefront's export into the raw tables."""

import csv
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ingest.bulk.import_file import ImportFile, OrderRow, Reject, ShopRow
from ingest.bulk.loading import load_orders, load_shops
from ingest.storage.errors import InputError
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database

SOME_REJECTED = 3


def load(
    shops: Annotated[Path, typer.Option(help="CSV: id,user_id,shop_name,shop_slug,timezone,currency,country")],
    orders: Annotated[Path, typer.Option(help="CSV, plain or .gz: one row per order")],
    rejects: Annotated[Path, typer.Option(help="Where to list the rows that can't be loaded")] = Path(
        "load.rejects.csv"
    ),
) -> None:
    """Load a storefront's export. Loading it again changes nothing; a newer one updates.

    Rows that can't be loaded are listed in the rejects file with line and reason. The others are loaded, and the
    exit status is 3. Times without an offset are UTC.
    """
    console = Console(highlight=False)
    with open_database(Settings.from_environment()) as connection, _progress(console) as progress:
        shops_export = ImportFile(shops, ShopRow)
        loaded_shops = load_shops(connection, shops_export)
        task = progress.add_task("orders", total=orders.stat().st_size if orders.exists() else None)
        export = ImportFile(orders, OrderRow, on_bytes=lambda position: progress.update(task, completed=position))
        loaded = load_orders(connection, export)
        progress.update(task, completed=orders.stat().st_size)

    console.print(
        f"{loaded_shops.shops:,} shops; {loaded.written:,} orders new or changed, "
        f"{loaded.unchanged:,} unchanged, {loaded.unreadable:,} with a phone that can't be read."
    )
    refused = loaded_shops.rejects + loaded.rejects
    if refused:
        _write(rejects, refused)
        console.print(f"{len(refused):,} rows were rejected: {rejects} has each line and its reason.", style="yellow")
    for file in (shops_export, export):
        if file.is_cut_off:
            raise InputError(
                f"{file.path} ends in mid-stream, after line {file.last_line}: it was not copied whole. What "
                "came before is loaded; copy the file again and load all of it."
            )
    if refused:
        raise typer.Exit(SOME_REJECTED)


def _write(path: Path, refused: list[Reject]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "line", "reason"])
        writer.writerows([reject.file, reject.line, reject.reason] for reject in refused)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("loading {task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
