"""`regulars compare`: every published cell computed a second time by another engine."""

from typing import Annotated, Literal

import typer
from rich.console import Console

from flows.spark.needs import require_spark
from ingest.storage.connections import conninfo
from ingest.storage.settings import Settings
from regulars.cli.opening import open_database


def compare(
    engine: Annotated[  # noqa: ARG001
        Literal["spark"], typer.Option(help="What computes everything a second time: see docs/spark.md.")
    ] = "spark",
) -> None:
    """Compute everything on Spark, publish nothing, and compare every cell with what readers see; exit status 1 if any
    differs."""
    require_spark()
    # These need pyarrow, which is not installed everywhere.
    from flows.spark.compare import computed_by_spark

    settings = Settings.from_environment()
    with open_database(settings):
        pass
    console = Console(highlight=False, soft_wrap=True, markup=False)
    rows = cells = differing = 0
    with computed_by_spark(settings, conninfo(settings)) as (waiting, relations):
        if waiting:
            console.print(f"{waiting:,} changes wait for the next refresh: what differs may be theirs.", style="yellow")
        for compared in relations:
            rows, cells = rows + compared.rows, cells + compared.cells
            differing += bool(compared.differences)
            console.print(
                f"{compared.name:<22} {compared.rows:>12,} rows {compared.cells:>14,} cells  "
                f"{'DIFFERS' if compared.differences else 'equal'}",
                style="bold red" if compared.differences else None,
            )
            for difference in compared.differences:
                console.print(f"    {difference}")
    if differing:
        console.print(f"{differing} relations differ.", style="bold red")
        raise typer.Exit(1)
    console.print(f"All {rows:,} rows and {cells:,} cells are equal.", style="bold")
