"""`regulars serve` keeps the embedded PostgreSQL up too, and takes it along however it ends."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from ingest.storage.embedded import embedded_address
from tests.conftest import in_memory
from tests.processes import is_gone
from tests.served import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("takes_long")

# In a process of its own: this one would keep the server up, as each that uses it does. Numbers as of now leave nothing
# to refresh.
_MIGRATE = """
from ingest.storage.connections import connect, conninfo
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings

with connect(conninfo(Settings.from_environment())) as connection:
    migrate(connection)
    connection.execute(
        "insert into regulars.refreshes (mode, status, fingerprint, as_of) values ('refresh', 'succeeded', '', now())"
    )
"""


@pytest.fixture(scope="module")
def own_home() -> Iterator[Path]:
    """A folder whose embedded server has Regulars in it, and is stopped."""
    with tempfile.TemporaryDirectory(prefix="regulars-", dir=in_memory(), ignore_cleanup_errors=True) as folder:
        subprocess.run([sys.executable, "-c", _MIGRATE], env=_environment(Path(folder)), check=True, timeout=120)
        yield Path(folder)


def _environment(home: Path) -> dict[str, str]:
    # None is due while these run.
    at = f"{datetime.now(UTC) + timedelta(hours=12):%H:%M}"
    return {
        name: value
        for name, value in (os.environ | {"REGULARS_HOME": str(home), "REGULARS_REFRESH_AT": at}).items()
        if name not in ("DATABASE_URL", "PREFECT_API_URL")
    }


@contextmanager
def _serving(home: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """The database and the refresh, and nothing else."""
    with (home / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "regulars", "serve", "--without=prefect", f"--health-port={free_port()}"],
            env=_environment(home), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: process.poll() is None and len(_processes(process.pid)) == 2 and _server(home))
        yield process
    finally:
        process.kill()
        process.wait()
        # Only a test that fails shows them.
        for said in (home / "serve.log", home / "postgres" / "log"):
            print(said.read_text(errors="replace")[-8_000:])


def _processes(parent: int) -> list[psutil.Process]:
    return psutil.Process(parent).children(recursive=True)


def _server(home: Path) -> psutil.Process | None:
    """The embedded server's first process, once it accepts connections."""
    with suppress(psycopg.OperationalError, psutil.NoSuchProcess, OSError):
        psycopg.connect(embedded_address(home), connect_timeout=5).close()
        return psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    return None


def _is_watched(home: Path) -> bool:
    """Whether the part that keeps the server up has the session by which it learns of its end."""
    with psycopg.connect(embedded_address(home), connect_timeout=5) as connection:
        return connection.execute(
            "select exists (select from pg_stat_activity where application_name = 'regulars-serve')"
        ).fetchone() == (True,)


def test_a_database_that_was_killed_is_started_again(own_home: Path) -> None:
    log = own_home / "serve.log"
    with _serving(own_home):
        killed = _server(own_home)
        assert killed is not None
        wait_until(lambda: _is_watched(own_home))
        killed.kill()
        wait_until(lambda: (server := _server(own_home)) is not None and server.pid != killed.pid)
        # Any part that needs the server may have been the one that started it, a moment earlier.
        wait_until(lambda: "The embedded PostgreSQL ended. It is started again." in log.read_text())


def test_at_the_request_to_stop_the_database_ends_too(own_home: Path) -> None:
    with _serving(own_home) as serving:
        server = _server(own_home)
        assert server is not None
        serving.terminate()
        assert serving.wait(30) == 0
        assert is_gone(server)


def test_when_it_is_killed_nothing_is_left_not_even_the_database(own_home: Path) -> None:
    with _serving(own_home) as serving:
        server = _server(own_home)
        assert server is not None
        left = [server, *_processes(serving.pid)]
        serving.kill()
        wait_until(lambda: all(map(is_gone, left)))


def test_a_database_whose_other_user_was_killed_stops_all_the_same(own_home: Path) -> None:
    user = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from pathlib import Path; from ingest.storage.embedded import embedded_conninfo; "
            f"embedded_conninfo(Path({str(own_home)!r})); print('uses it', flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
    )
    with user:
        assert user.stdout is not None
        user.stdout.readline()
        user.kill()
    with _serving(own_home) as serving:
        server = _server(own_home)
        assert server is not None
        serving.terminate()
        serving.wait(30)
        wait_until(lambda: is_gone(server))


def test_a_stop_during_a_refresh_that_takes_long_ends_that_too(own_home: Path) -> None:
    with _serving(own_home) as serving:
        with psycopg.connect(embedded_address(own_home), autocommit=True) as connection:
            connection.execute("update regulars.refreshes set as_of = as_of - interval '3 days'")
            connection.execute(
                "alter function regulars.take_over_earlier_visits() rename to swift; "
                "create function regulars.take_over_earlier_visits() returns void language sql "
                "as 'select pg_sleep(600)'"
            )
            # Started again, it looks how old the numbers are.
            _part(serving.pid, "regulars.serving.refresh").kill()
            wait_until(
                lambda: connection.execute("select 1 from pg_stat_activity where wait_event = 'PgSleep'").fetchone()
            )
            ((name,),) = connection.execute("select step from regulars.refreshes where status = 'running'")
            assert name == "match_customers"
        left = [_server(own_home), *_processes(serving.pid)]
        serving.terminate()
        assert serving.wait(60) == 0
        assert all(is_gone(process) for process in left if process is not None)


def _part(parent: int, module: str) -> psutil.Process:
    (part,) = [process for process in psutil.Process(parent).children() if module in process.cmdline()]
    return part
