"""A shop with a fifth of all orders, on Spark: the largest task of each stage. `python -m benchmarks.skew --help`.

Spark's own log of events says how many rows each task took from an exchange. A task that takes far more than the others
is one that the other cores wait for. The log has the physical plans, too: `--plan purchases` prints that model's.
"""

import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.database import open_database, own_database
from benchmarks.generated_orders import customers_of, generate_orders, settle
from flows.nodes import ignore
from flows.spark.rebuild import SparkRebuild


@dataclass(frozen=True, slots=True)
class Stage:
    """Tasks of one kind that ran side by side: the rows that each took from an exchange, and its milliseconds."""

    number: int
    rows: list[int]
    milliseconds: list[int]

    @property
    def share(self) -> float:
        """The largest task's part of all rows."""
        return max(self.rows) / sum(self.rows)


def build_skewed(orders: int, folder: Path) -> tuple[float, Path]:
    """Builds everything; returns the largest shop's share of the orders, and Spark's log of events."""
    events = folder / "events"
    events.mkdir()
    # Where Spark looks for further settings.
    (folder / "spark-defaults.conf").write_text(
        f"spark.eventLog.enabled true\nspark.eventLog.dir {events}\nspark.eventLog.rolling.enabled false\n"
        "spark.eventLog.compress false\n"
    )
    os.environ["SPARK_CONF_DIR"] = str(folder)
    customers = customers_of(orders)
    with own_database("regulars_bench_skew") as settings, open_database(settings) as connection:
        generate_orders(connection, orders, customers=customers, largest=customers // 14)
        settle(connection)
        (share,) = connection.execute(
            "select max(orders) / sum(orders) from "
            "(select count(*) as orders from public.shop_orders group by shop_id) as shops"
        ).fetchone() or (0,)
        on_spark = settings.model_copy(update={"spark_folder": folder / "spark", "spark_memory": "4g"})
        rebuild = SparkRebuild(on_spark, settings.database_url or "")
        rebuild.extract_rows()
        rebuild.build(watch=ignore)
    return float(share), next(events.iterdir())


def _events(log: Path) -> Iterator[dict[str, Any]]:
    with log.open() as lines:
        for line in lines:
            yield json.loads(line)


def stages_of(log: Path) -> list[Stage]:
    """Those with the largest tasks first."""
    tasks: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in _events(log):
        if event["Event"] == "SparkListenerTaskEnd" and event.get("Task Metrics"):
            tasks[event["Stage ID"]].append(event["Task Metrics"])
    stages = []
    for number, metrics in tasks.items():
        rows = [each["Shuffle Read Metrics"]["Total Records Read"] for each in metrics]
        if sum(rows):
            stages.append(Stage(number, rows, [each["Executor Run Time"] for each in metrics]))
    return sorted(stages, key=lambda stage: -stage.share * sum(stage.rows))


def plan_of(log: Path, model: str) -> str:
    """The physical plan by which Spark wrote a model's table, as adaptive execution left it."""
    writes = re.compile(rf"InsertIntoHadoopFsRelationCommand\nInput.*\nArguments: file:[^,]*/building\.db/{model},")
    number, plan = None, ""
    for event in _events(log):
        text = event.get("physicalPlanDescription", "")
        if event["Event"].endswith("SQLExecutionStart") and writes.search(text):
            number = event["executionId"]
        if number is not None and event.get("executionId") == number:
            plan = text or plan
    return plan


def main(
    orders: Annotated[int, typer.Option(help="Orders, a fifth of them of one shop")] = 200_000,
    plan: Annotated[str | None, typer.Option(metavar="MODEL", help="Print this model's physical plan, too")] = None,
    quick: Annotated[bool, typer.Option(help="A small size: to see that it runs")] = False,
) -> None:
    """Print the stages whose largest task takes most rows."""
    with tempfile.TemporaryDirectory(prefix="regulars-") as folder:
        share, log = build_skewed(5_000 if quick else orders, Path(folder))
        stages, text = stages_of(log), plan_of(log, plan) if plan else ""
    console = Console(highlight=False)
    console.print(f"The largest shop has {share:.0%} of the orders.")
    table = Table("stage", "tasks", "rows", "largest task, rows", "its share", "median ms", "longest ms")
    for stage in stages[:25]:
        milliseconds = sorted(stage.milliseconds)
        table.add_row(
            str(stage.number), str(len(stage.rows)), f"{sum(stage.rows):,}", f"{max(stage.rows):,}",
            f"{stage.share:.0%}", str(milliseconds[len(milliseconds) // 2]), str(milliseconds[-1]),
        )  # fmt: skip
    console.print(table)
    if text:
        print(text)


if __name__ == "__main__":
    typer.run(main)
