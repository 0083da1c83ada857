"""Spark on a standalone cluster of this machine, two workers of one core: `python -m benchmarks.cluster --help`.

Everything is on loopback, over messy orders in an embedded PostgreSQL of its own: every cell against PostgreSQL's, a
rebuild that is published and continued, seconds by step beside `local[2]`, and processes of the cluster that are killed
while it builds. One machine's cluster shows that the processes work together, and not what more machines would save.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import differences, keep
from benchmarks.database import open_database
from benchmarks.generated_orders import settle
from benchmarks.spark import Rebuild, measure
from benchmarks.standalone import Standalone, standalone, wait_until
from flows.shapes import PUBLISHED
from flows.spark.compare import computed_by_spark
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from ingest.storage.embedded import embedded_conninfo, stop_unused
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings
from tests.messy_orders import write_messy_orders

RESULTS = Path(__file__).with_name("cluster.json")

# How many seconds a rebuild may take.
_LONGEST = 1200.0

_CHANGE = """
    update public.shop_orders
    set order_status = 'completed', payment_status = 'completed', total_price = 3.25
    where id in (select id from public.shop_orders order by md5(id::text || %(round)s) limit %(number)s)
"""

_KILLS: dict[str, Callable[[Standalone], bool]] = {
    "an executor": Standalone.kill_executor,
    "a worker with its executor": Standalone.kill_worker,
    "the master": Standalone.kill_master,
}


@dataclass(frozen=True, slots=True)
class Kill:
    """What was killed, at which fraction of a build. `said`: the error of the command, if it failed.

    `seconds`: from the kill to its end. `wrong`: what must not be.
    """

    what: str
    orders: int
    at: float
    status: str
    said: str
    seconds: float
    wrong: list[str]


@dataclass(slots=True)
class Results:
    orders: int
    memory: str
    cells: int = 0
    rebuilds: list[Rebuild] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Rig:
    """The server, the cluster, and what is run on them."""

    def __init__(self, home: Path, cluster: Standalone, *, results: Results, console: Console) -> None:
        where = embedded_conninfo(home)
        self.settings = Settings(DATABASE_URL=where, home=home, spark_master="local[2]", spark_memory=results.memory)
        self.on_cluster = self.settings.model_copy(update={"spark_master": cluster.address})
        self._cluster, self._results, self._console = cluster, results, console
        self._build = 0.0
        with self._opened() as connection:
            migrate(connection)
            write_messy_orders(connection, results.orders)
            settle(connection)
        run_refresh(self.settings)

    def compare(self) -> None:
        """Every cell of what is published, computed on the cluster."""
        with computed_by_spark(self.on_cluster, self.settings.database_url or "") as (_, relations):
            for compared in relations:
                self._results.cells += compared.cells
                self._wrong([f"{compared.name}: {said}" for said in compared.differences])
        self._console.print(f"Compared {self._results.cells:,} cells on the cluster.")

    def rebuild(self) -> None:
        """Here and on the cluster, step by step; then a refresh goes on from the cluster's."""
        for settings, engine in (
            (self.settings, "local[2]"),
            (self.on_cluster, "a cluster of 2 workers of one core"),
        ):
            with self._opened() as connection:
                settle(connection)
                on_spark = settings.model_copy(update={"engine": "spark"})
                done = measure(on_spark, connection, Rebuild(self._results.orders, engine, os.getloadavg()[0]))
            # The executors are not among its processes.
            done.megabytes, done.processor = {}, {}
            self._build = done.seconds["build_on_spark"]
            self._results.rebuilds.append(done)
            self._console.print(f"A rebuild on {engine}: {done.total} s.")
        with self._opened() as connection:
            self._change(connection, 1000)
            mode = run_refresh(self.settings).mode
        self._wrong([] if mode == "refresh" else [f"the refresh after the cluster's rebuild was a {mode}"])
        self._wrong(self._not_as_postgresql_rebuilds())
        self._console.print("A refresh of 1,000 changes went on from there.")

    def kill(self, what: str, *, at: float) -> bool:
        """Kills at the fraction `at` of a build; whether there was something left to kill."""
        self._cluster.restore()
        with self._opened() as connection:
            self._change(connection, 100)
            keep(connection, PUBLISHED, under="before")
        with self._command() as (process, printed), self._opened() as connection:
            wait_until(lambda: process.poll() is not None or _is_building(connection, process.pid), longest=_LONGEST)
            time.sleep(at * self._build)
            if not _is_building(connection, process.pid) or not _KILLS[what](self._cluster):
                process.wait(_LONGEST)
                return False
            began = time.monotonic()
            process.wait(_LONGEST)
            seconds = round(time.monotonic() - began, 1)
            said = printed.read_text().strip()
            wrong = ["the command printed a traceback"] if "Traceback" in said else []
            if process.returncode:
                wrong += differences(connection, PUBLISHED, "before")
                run_refresh(self.settings)
            status = "failed" if process.returncode else "succeeded"
            wrong += self._not_as_postgresql_rebuilds()
        # Java warns of itself before.
        error = " ".join(said[said.rfind("Error") :].split()) if process.returncode else ""
        self._results.kills.append(Kill(what, self._results.orders, round(at, 2), status, error, seconds, wrong))
        self._wrong(wrong)
        self._console.print(f"Killed {what} at {at:.2f}: {status} after {seconds} s. {error}")
        return True

    @contextmanager
    def _command(self) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
        """A rebuild on the cluster, as an operator runs it, and the file of what it prints."""
        printed = self.settings.home / "printed"
        variables = {
            "DATABASE_URL": self.settings.database_url or "",
            "REGULARS_HOME": str(self.settings.home),
            "REGULARS_SPARK_MASTER": self.on_cluster.spark_master,
            "REGULARS_SPARK_MEMORY": self.on_cluster.spark_memory,
        }
        with printed.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "regulars", "rebuild", "--engine", "spark"],
                env=os.environ | variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file,
            )  # fmt: skip
        try:
            yield process, printed
        finally:
            process.kill()
            process.wait()

    def _not_as_postgresql_rebuilds(self) -> list[str]:
        with self._opened() as connection:
            keep(connection, PUBLISHED, under="published")
            run_refresh(self.settings, mode="rebuild")
            return differences(connection, PUBLISHED, "published")

    def _change(self, connection: Connection, number: int) -> None:
        connection.execute(_CHANGE, {"number": number, "round": str(len(self._results.kills))})

    def _wrong(self, wrong: list[str]) -> None:
        self._results.wrong += wrong
        for each in wrong:
            self._console.print(each, style="bold red")

    def _opened(self) -> Connection:
        return open_database(self.settings)


def _is_building(connection: Connection, pid: int) -> bool:
    return connection.execute(
        "select 1 from regulars.refreshes where process_id = %s and status = 'running' and step = 'build_on_spark'",
        [pid],
    ).fetchone() is not None  # fmt: skip


def _table(rebuilds: list[Rebuild]) -> Table:
    steps = list(dict.fromkeys(step for rebuild in rebuilds for step in rebuild.seconds))
    table = Table("Spark", "s", *steps, "load")
    for rebuild in rebuilds:
        seconds = (str(rebuild.seconds.get(step, "")) for step in steps)
        table.add_row(rebuild.engine, str(rebuild.total), *seconds, f"{rebuild.load:.1f}")
    return table


def main(
    orders: Annotated[int, typer.Option(min=100, help="Messy orders of 12 shops")] = 100_000,
    memory: Annotated[str, typer.Option(help="Of each Java process that computes or plans")] = "1500m",
    seed: Annotated[int | None, typer.Option(help="Of the moments. Without it, a new one, which is printed.")] = None,
    quick: Annotated[bool, typer.Option(help="A small size: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Exits with 1 if a cell differs, or a kill leaves anything but a right result or a clear error."""
    # Whoever ends this ends the cluster.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = Random().randrange(10**6) if seed is None else seed
    chance = Random(seed)
    console = Console(highlight=False, width=160)
    console.print(f"Seed {seed}.")
    found = Results(orders=3_000 if quick else orders, memory=memory)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-", ignore_cleanup_errors=True)))
        stack.callback(stop_unused, home)
        cluster = stack.enter_context(standalone(home / "cluster", memory=memory))
        os.environ.update(cluster.variables)
        rig = Rig(home, cluster, results=found, console=console)
        rig.compare()
        rig.rebuild()
        for what in _KILLS:
            results.write_text(json.dumps([asdict(found)], indent=1) + "\n")
            # One that came too late doesn't count.
            if not any(rig.kill(what, at=chance.random()) for _ in range(3)):
                found.wrong.append(f"{what} was not killed")
        results.write_text(json.dumps([asdict(found)], indent=1) + "\n")
    console.print(_table(found.rebuilds))
    if found.wrong:
        console.print(f"{len(found.wrong)} things are wrong.", style="bold red")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
