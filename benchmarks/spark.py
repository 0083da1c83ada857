"""A rebuild on PostgreSQL against one on Spark, step by step: `python -m benchmarks.spark --help`.

The same 200 shops and 24 months at every size, in a database of its own. Memory is what the processes hold at most,
looked at every fifth of a second: PostgreSQL's sessions without what they share, Spark's Java, and the process that
runs the refresh. On a machine that others use too, their processor seconds say more than the clock's.
"""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.database import open_database, own_database
from benchmarks.generated_orders import change, generate_orders, settle
from flows.spark.rebuild import SparkRebuild
from flows.steps import Run, Step, run_refresh
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

RESULTS = Path(__file__).with_name("spark.json")

_EVERY = 0.2
_NOT_OF_THE_ENGINE = ("forecast_purchases", "audit_shops", "judge_volume")


@dataclass(slots=True)
class Rebuild:
    """One rebuild. `seconds`: of each step, by the clock; `megabytes`: the most that each kind of process held.

    `processor`: the seconds of each kind. `load`: the machine's load average just before, of others too.
    """

    orders: int
    engine: str
    load: float
    seconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, int] = field(default_factory=dict)
    processor: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return round(sum(self.seconds.values()), 1)


def measure(settings: Settings, connection: Connection, rebuild: Rebuild) -> Rebuild:
    """Runs it and fills it in."""

    def perform(step: Step, run: Run) -> object:
        began = time.perf_counter()
        try:
            return step(run)
        finally:
            if step.__name__ not in _NOT_OF_THE_ENGINE:
                rebuild.seconds[step.__name__] = round(time.perf_counter() - began, 1)

    with _watched(connection, rebuild):
        run_refresh(settings, mode="rebuild", perform=perform)
    return rebuild


@contextmanager
def _watched(connection: Connection, rebuild: Rebuild) -> Iterator[None]:
    stop = threading.Event()
    used: dict[str, dict[int, float]] = {"postgresql": {}, "java": {}, "python": {}}
    before = {os.getpid(): _processor(os.getpid())}

    def look() -> None:
        while not stop.wait(_EVERY):
            backends = [pid for (pid,) in connection.execute(
                "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            )]  # fmt: skip
            for what, pids in (("postgresql", backends), ("java", _java()), ("python", [os.getpid()])):
                held = sum(map(_megabytes, pids))
                rebuild.megabytes[what] = max(rebuild.megabytes.get(what, 0), held)
                # Of a process that has ended, what it had used at the last look.
                used[what] |= {pid: seconds for pid in pids if (seconds := _processor(pid) - before.get(pid, 0)) > 0}

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield
    finally:
        stop.set()
        looker.join()
        rebuild.processor.update({what: round(sum(seconds.values())) for what, seconds in used.items()})


def _processor(pid: int) -> float:
    """The seconds that a process has used; 0 if it has ended, or is on another machine."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0


def _java() -> list[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if _name(pid) == "java"]


def _name(pid: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _megabytes(pid: int) -> int:
    """What a process holds for itself alone; 0 if it has ended, or is on another machine."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) // 1024
    return 0


def measure_size(orders: int, *, threads: list[int], memory: str, folder: Path) -> Iterator[Rebuild]:
    """PostgreSQL, then Spark with each number of threads, over the same rows; all find the same marts published."""
    with own_database("regulars_bench_spark") as settings, open_database(settings) as connection:
        generate_orders(connection, orders)
        settle(connection)
        run_refresh(settings)
        settle(connection)
        yield measure(settings, connection, Rebuild(orders, "postgres", os.getloadavg()[0]))
        for number in threads:
            where = {"spark_folder": folder, "spark_master": f"local[{number}]", "spark_memory": memory}
            spark = settings.model_copy(update={"engine": "spark"} | where)
            shutil.rmtree(folder, ignore_errors=True)
            settle(connection)
            yield measure(spark, connection, Rebuild(orders, f"spark local[{number}]", os.getloadavg()[0]))
        if threads:
            # By now an extract is there, and is continued.
            change(connection, orders=orders, number=orders // 100, round="continued")
            continued = Rebuild(orders, "the next extract, 1 % changed", os.getloadavg()[0])
            began = time.perf_counter()
            with _watched(connection, continued):
                SparkRebuild(spark, spark.database_url or "").extract_rows()
            continued.seconds["extract_rows"] = round(time.perf_counter() - began, 1)
            yield continued


def _table(rebuilds: list[Rebuild]) -> Table:
    steps = list(dict.fromkeys(step for rebuild in rebuilds for step in rebuild.seconds))
    kinds = list(dict.fromkeys(kind for rebuild in rebuilds for kind in rebuild.megabytes))
    table = Table("orders", "engine", "s", *steps, *(f"{kind}, MB" for kind in kinds),
                  *(f"{kind}, processor s" for kind in kinds), "load")  # fmt: skip
    for rebuild in rebuilds:
        table.add_row(
            f"{rebuild.orders:,}", rebuild.engine, str(rebuild.total),
            *(str(rebuild.seconds.get(step, "")) for step in steps),
            *(str(rebuild.megabytes.get(kind, "")) for kind in kinds),
            *(str(rebuild.processor.get(kind, "")) for kind in kinds),
            f"{rebuild.load:.1f}",
        )  # fmt: skip
    return table


def main(
    size: Annotated[list[int] | None, typer.Option(help="Orders; may be repeated")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="Of Spark; may be repeated")] = None,
    memory: Annotated[str, typer.Option(help="Of Spark's Java")] = "4g",
    quick: Annotated[bool, typer.Option(help="A small size, once: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Measure rebuilds on both engines at several sizes."""
    console = Console(highlight=False, width=220)
    rebuilds: list[Rebuild] = []
    with tempfile.TemporaryDirectory(prefix="regulars-") as folder:
        for orders in [5_000] if quick else size or [200_000, 1_000_000]:
            of_size = measure_size(
                orders, threads=[2] if quick else threads or [1, 2], memory=memory, folder=Path(folder) / "spark"
            )
            for rebuild in of_size:
                console.print(f"{rebuild.orders:,} orders, {rebuild.engine}: {rebuild.total} s; {rebuild.processor}")
                rebuilds.append(rebuild)
                results.write_text(json.dumps([asdict(each) for each in rebuilds], indent=1) + "\n")
    console.print(_table(rebuilds))


if __name__ == "__main__":
    typer.run(main)
