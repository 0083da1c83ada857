"""`regulars load`: a storefront's export into the raw tables."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, TextIO

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
    exit status is 3. If all rows are loaded, there is no such file. Times without an offset are UTC.
    """
    console = Console(highlight=False, markup=False)
    with _list_of_rejects(rejects, files=(shops, orders)) as listed:
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
            _write(listed, refused)
    if refused:
        console.print(f"{len(refused):,} rows were rejected: {rejects} has each line and its reason.", style="yellow")
    for file in (shops_export, export):
        if file.is_cut_off:
            raise InputError(
                f"{file.path} ends in mid-stream, after line {file.last_line}: it was not copied whole. What "
                "came before is loaded; copy the file again and load all of it."
            )
    if refused:
        raise typer.Exit(SOME_REJECTED)


@contextmanager
def _list_of_rejects(path: Path, *, files: tuple[Path, ...]) -> Iterator[TextIO]:
    """The file is opened before anything is loaded, so that no reason is lost afterwards; none is left empty."""
    if any(path.resolve() == file.resolve() for file in files):
        raise InputError(f"{path} is one of the files to load: name another one with --rejects.")
    try:
        listed = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}. Name another file with --rejects.") from None
    try:
        yield listed
    finally:
        # What can't be written has been told by then, and would be written again.
        with suppress(OSError):
            listed.close()
        # Not a device, such as /dev/null.
        if path.is_file() and path.stat().st_size == 0:
            with suppress(OSError):
                path.unlink()


def _write(listed: TextIO, refused: list[Reject]) -> None:
    writer = csv.writer(listed)
    try:
        writer.writerow(["file", "line", "reason"])
        writer.writerows([reject.file, reject.line, reject.reason] for reject in refused)
        listed.flush()
    except OSError as error:
        raise InputError(
            f"{len(refused):,} rows were rejected, and {listed.name} can't list them: {error.strerror}. The other "
            "rows are loaded. Load the same files again, which changes nothing, and name another file with --rejects."
        ) from None


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("loading {task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
