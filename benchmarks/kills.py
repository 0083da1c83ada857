"""`kill -9` at random moments of a refresh, over shops that go on trading: `python -m benchmarks.kills --help`.

After each, the next refresh must end with what a rebuild computes, and without one unless that was what was killed; and
whoever read meanwhile must have seen one moment at a time. It has an embedded PostgreSQL of its own in a temporary
folder, which waits for the disk as in production, and a Prefect server of its own.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import differences, keep
from benchmarks.live_shops import Reader, Trade, open_shops, sell
from flows.building.plan import forget_plan
from flows.lock import BUILDING
from flows.scheduling.prefect_server import answers, server_environment
from flows.shapes import PUBLISHED, WORKING
from flows.steps import run_refresh
from ingest.storage.connections import Connection, connect
from ingest.storage.embedded import embedded_conninfo, stop_unused
from ingest.storage.errors import DatabaseError, RegularsError
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings
from tests.served import free_port

# How long anything may take, such as a server that recovers.
_LONGEST = 600.0


class Killed(StrEnum):
    """What is killed."""

    BY_DBT = "process of a refresh by dbt"
    BY_PLAN = "process of a refresh by the recorded plan"
    ON_SPARK = "process of a rebuild on Spark"
    FLOW = "process of a Prefect flow run"
    PREFECT = "Prefect's server during a flow run"
    BACKEND = "backend of the build"
    POSTGRESQL = "PostgreSQL's postmaster"

    @property
    def takes_the_server_along(self) -> bool:
        """PostgreSQL ends every session when one of its processes was killed."""
        return self in (Killed.BACKEND, Killed.POSTGRESQL)

    @property
    def needs_prefect(self) -> bool:
        return self in (Killed.FLOW, Killed.PREFECT)


class Prefect:
    """A Prefect server in a process group of its own, started when it is needed."""

    def __init__(self, settings: Settings) -> None:
        self.environment = server_environment(settings)
        self._port = settings.prefect_port
        self._log = settings.home / "prefect.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)],
                env=os.environ | self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        _await(lambda: answers(self.environment["PREFECT_API_URL"]), every=0.5)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@dataclass(frozen=True, slots=True)
class Round:
    """One refresh that was to be killed. `status`: how it ended, by the history; `wrong`: what must not be."""

    is_over: bool
    status: str
    wrong: list[str]


class Rig:
    """The server, the shops and the refreshes."""

    def __init__(self, home: Path, *, orders: int) -> None:
        self._home = home
        self._where = embedded_conninfo(home)
        self._settings = Settings(DATABASE_URL=self._where, home=home, prefect_port=free_port())
        self.prefect = Prefect(self._settings)
        self._lengths: dict[tuple[Killed | None, bool, bool], float] = {}
        with self._connect() as connection:
            migrate(connection)
            open_shops(connection, orders=orders)
        # The first is a rebuild. The second looks for forecasts, and is dbt's, so it records what the next one runs. So
        # does each that follows one by dbt which was killed.
        for _ in range(2):
            with self._connect() as connection:
                sell(connection)
            run_refresh(self._settings)

    def kill_once(self, killed: Killed, *, by_plan: bool, at: float) -> Round:
        """Kills at the fraction `at` of what such a refresh takes, and looks at what the next one makes of it."""
        if killed.needs_prefect:
            self.prefect.start()
        kind = (killed if killed in (Killed.BACKEND, Killed.ON_SPARK) else None, killed.needs_prefect, by_plan)
        if kind not in self._lengths:
            self._lengths[kind] = self._length(killed, by_plan=by_plan)
        wrong: list[str] = []
        with Reader(self._where, may_be_cut=killed.takes_the_server_along) as reader:
            with Trade(self._where) as trade:
                time.sleep(0.3)
                process = self._start(killed, by_plan=by_plan)
                self._await_begin(killed, process)
                time.sleep(at * self._lengths[kind])
                is_over = not self._kill(killed, process)
                if is_over:
                    # The machine was busier when the length was measured.
                    self._lengths[kind] *= at
                if not _ends(process):
                    wrong.append("the refresh did not end")
                self._await_server()
            if is_over:
                return Round(is_over, "", wrong)
            if trade.turns == 0:
                wrong.append("nobody traded")
            wrong += self._next(may_rebuild=killed is Killed.ON_SPARK)
            with self._connect() as connection:
                status = _status(connection, process.pid) or "not begun"
            wrong += self._compare()
        if reader.reads == 0:
            wrong.append("nobody read")
        return Round(is_over, status, wrong + sorted(set(reader.wrong)))

    def close(self) -> None:
        self.prefect.kill()
        stop_unused(self._home)

    def _next(self, *, may_rebuild: bool) -> list[str]:
        try:
            done = run_refresh(self._settings)
        except (RegularsError, psycopg.Error) as error:
            return [f"the next refresh failed: {error}"]
        return (
            [] if may_rebuild or done.mode == "refresh" else [f"the next refresh was a rebuild, because {done.reason}"]
        )

    def _compare(self) -> list[str]:
        with self._connect() as connection:
            wrong = differences(connection, WORKING, PUBLISHED)
            keep(connection, PUBLISHED, under="refreshed")
            run_refresh(self._settings, mode="rebuild")
            return wrong + differences(connection, PUBLISHED, "refreshed")

    def _length(self, killed: Killed, *, by_plan: bool) -> float:
        """The seconds from the begin of such a refresh, or of its build, to just after its end, if nobody kills it."""
        with Trade(self._where):
            time.sleep(0.3)
            process = self._start(killed, by_plan=by_plan)
            self._await_begin(killed, process)
            began = time.monotonic()
            with self._connect() as connection:
                if killed is Killed.BACKEND:
                    _await(lambda: not _backends(connection))
                else:
                    _await(lambda: _has_ended(connection, process.pid))
            length = time.monotonic() - began
            status = process.wait(_LONGEST)
        if status != 0:
            raise RuntimeError(f"a refresh that nobody killed ended with {status}")
        return 1.1 * length

    def _start(self, killed: Killed, *, by_plan: bool) -> "subprocess.Popen[bytes]":
        """The command, as an operator runs it."""
        command = ["rebuild", "--engine", "spark"] if killed is Killed.ON_SPARK else ["refresh"]
        if not by_plan:
            forget_plan(self._settings)
        variables = {"DATABASE_URL": self._where, "REGULARS_HOME": str(self._home)}
        if killed.needs_prefect:
            variables |= self.prefect.environment
        with (self._home / "refreshes.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "regulars", *command],
                env={name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | variables,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _await_begin(self, killed: Killed, process: "subprocess.Popen[bytes]") -> None:
        with self._connect() as connection:
            if killed is Killed.BACKEND:
                _await(lambda: process.poll() is not None or _backends(connection))
            else:
                _await(lambda: process.poll() is not None or _status(connection, process.pid))

    def _kill(self, killed: Killed, process: "subprocess.Popen[bytes]") -> bool:
        """Whether there was something left to kill."""
        with self._connect() as connection:
            if process.poll() is not None or _has_ended(connection, process.pid):
                return False
        if killed is Killed.PREFECT:
            self.prefect.kill()
            return True
        if killed is Killed.POSTGRESQL:
            victim = int((self._home / "postgres" / "postmaster.pid").read_text().split()[0])
        elif killed is Killed.BACKEND:
            with self._connect() as connection:
                backends = _backends(connection)
            if not backends:
                return False
            victim = backends[0]
        else:
            victim = process.pid
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            return True
        return False

    def _await_server(self) -> None:
        embedded_conninfo(self._home)

        def is_up() -> bool:
            try:
                self._connect().close()
            except DatabaseError:
                return False
            return True

        _await(is_up)

    def _connect(self) -> Connection:
        return connect(self._where, application="regulars-benchmark")


def _backends(connection: Connection) -> list[int]:
    """The build's, those at work first."""
    rows = connection.execute(
        "select pid from pg_stat_activity where datname = current_database() and application_name = %s "
        "order by state = 'active' desc, pid",
        [BUILDING],
    )
    return [pid for (pid,) in rows]


def _status(connection: Connection, pid: int) -> str | None:
    """How the refresh of a process stands in the history; None while it is not there."""
    row = connection.execute(
        "select status from regulars.refreshes where process_id = %s order by refresh_id desc limit 1", [pid]
    ).fetchone()
    return str(row[0]) if row else None


def _has_ended(connection: Connection, pid: int) -> bool:
    return _status(connection, pid) not in (None, "running")


def _ends(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(_LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def _await(condition: Callable[[], object], *, every: float = 0.005) -> None:
    deadline = time.monotonic() + _LONGEST
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it took more than {_LONGEST:.0f} s")
        time.sleep(every)


def _kills(rounds: list[Round]) -> int:
    return sum(not each.is_over for each in rounds)


def _table(rounds: dict[Killed, list[Round]]) -> Table:
    table = Table("what", "killed", "over already", "right", "the refresh, by the history")
    for killed, them in rounds.items():
        ends = Counter(each.status for each in them if not each.is_over)
        table.add_row(
            killed,
            str(_kills(them)),
            str(len(them) - _kills(them)),
            str(sum(not each.wrong for each in them if not each.is_over)),
            ", ".join(f"{count} {status}" for status, count in sorted(ends.items())),
        )
    return table


def main(
    kills: Annotated[int, typer.Option(min=1, help="How often each is killed.")] = 10,
    orders: Annotated[int, typer.Option(min=100, help="How many orders there are at first.")] = 2_000,
    seed: Annotated[int | None, typer.Option(help="Of the moments. Without it, a new one, which is printed.")] = None,
    only: Annotated[list[Killed] | None, typer.Option(help="Kill this alone; may be given several times.")] = None,
    quick: Annotated[bool, typer.Option(help="Each once: to see that it works.")] = False,
) -> None:
    """Exits with 1 if a number is wrong afterwards, a reader saw what nobody should, or less was killed than asked."""
    seed = Random().randrange(10**6) if seed is None else seed
    chance = Random(seed)
    wanted = 1 if quick else kills
    console = Console(highlight=False)
    console.print(f"Seed {seed}.")
    rounds: dict[Killed, list[Round]] = {}
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-", ignore_cleanup_errors=True))
        rig = Rig(Path(home), orders=orders)
        stack.callback(rig.close)
        for killed in only or Killed:
            done = rounds[killed] = []
            # One that was over before it could be killed doesn't count.
            while _kills(done) < wanted and len(done) < 3 * kills:
                # What kills PostgreSQL meets both ways of building.
                by_plan = killed not in (Killed.BY_DBT, Killed.ON_SPARK) and not (
                    killed.takes_the_server_along and _kills(done) % 2
                )
                at, began = chance.random(), time.monotonic()
                done.append(rig.kill_once(killed, by_plan=by_plan, at=at))
                said = "over already" if done[-1].is_over else f"killed, {done[-1].status}"
                wrong = "; ".join(done[-1].wrong) or "right"
                console.print(f"{killed}, at {at:.2f}: {said}; {wrong} ({time.monotonic() - began:.0f} s)")
    console.print(_table(rounds))
    if any(each.wrong for them in rounds.values() for each in them) or any(
        _kills(them) < wanted for them in rounds.values()
    ):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
