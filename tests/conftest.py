"""A real PostgreSQL for every test that needs data: the embedded one, or the server that DATABASE_URL names."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from ingest.storage.connections import Connection, connect, conninfo
from ingest.storage.migrations import migrate
from ingest.storage.settings import Settings

hypothesis.settings.register_profile("long")
# On a busy machine an example may take as long as it likes.
hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("patient")

# A test has a marker when it uses one of these fixtures, directly or through another fixture; none is set by hand.
# `make check` runs the tests without any. What is slow to import, such as dbt and the dashboard, is imported inside
# the fixtures, so that collecting the tests that don't use it stays fast.
COUNT_ON_TIME = {"tracker", "proxy", "counts_on_time"}
MARKERS = {
    "dbt": {"built_template", "builds_models"},
    "browser": {"browser"},
    "long": {"takes_long", *COUNT_ON_TIME},
}
_BUILT_AT = pytest.StashKey[float | None]()

# Temporary folders and the session's server are in memory where there is room: a busy disk can take longer to write an
# event of the spool than the whole budget of the call, and a database for a test has a thousand files.
_MEMORY, _ROOM = Path("/dev/shm"), 3 * 2**30


def in_memory() -> str | None:
    return str(_MEMORY) if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM else None


def pytest_configure(config: pytest.Config) -> None:
    # A script that starts the tests in the background leaves SIGINT ignored, for each process that a test starts too.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if (folder := in_memory()) is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)
    for marker, fixtures in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: uses the fixture {' or '.join(sorted(fixtures))}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, fixtures in MARKERS.items():
            if not fixtures.isdisjoint(getattr(item, "fixturenames", ())):
                item.add_marker(marker)
        # These count on a quarter of a second by the clock, which other work on the machine can take. They are run once
        # more before they fail, and the summary says so; no others are.
        if not COUNT_ON_TIME.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.flaky(reruns=1))


# One name for all tests of a worker, because dbt parses the project again when the database's name changes.
NAME = f"regulars_test_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"


@dataclass(frozen=True, slots=True)
class Database:
    """A database for one test, dropped after it."""

    settings: Settings
    name: str
    conninfo: str

    def connect(self) -> Connection:
        return connect(self.conninfo)


class Server:
    """The session's server: creates databases, empty or from a template."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._admin = conninfo(settings, database="postgres")
        # Of a small template the files are copied sooner than they are logged, where no disk is waited for.
        self._strategy = "file_copy" if settings.database_url is None else "wal_log"

    def create(self, name: str, *, template: str = "template0") -> Database:
        self.drop(name)
        self._execute(f"create database {{}} template {{}} strategy {self._strategy}", name, template)
        where = conninfo(self.settings, database=name)
        return Database(settings=self.settings.model_copy(update={"database_url": where}), name=name, conninfo=where)

    def drop(self, name: str) -> None:
        self._execute("drop database if exists {} with (force)", name)

    def rename(self, database: Database, name: str) -> str:
        """Renames a database, to use it as a template; nobody may be connected to it."""
        self.drop(name)
        self._execute("alter database {} rename to {}", database.name, name)
        return name

    def admin(self) -> Connection:
        """As the server's superuser, outside every test's database."""
        return psycopg.connect(self._admin, autocommit=True)

    def spare_the_disk(self) -> None:
        """Waits for no disk from now on. What is written outlives every killed process, but no crash of the machine."""
        for setting in ("fsync", "full_page_writes"):
            self._execute("alter system set {} = off", setting)
        with self.admin() as admin:
            admin.execute("select pg_reload_conf()")

    def _execute(self, statement: str, *names: str) -> None:
        with self.admin() as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    # Not pytest's own folder: its path can be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="regulars-", dir=in_memory(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server(home: Path) -> Server:
    server = Server(Settings.from_environment().model_copy(update={"home": home, "prefect_api_url": None}))
    if server.settings.database_url is None:
        # It is the session's own, and most of what a test waits for is the copy of its template.
        server.spare_the_disk()
    return server


@pytest.fixture(scope="session")
def migrated_template(server: Server) -> str:
    database = server.create(f"{NAME}_migrated")
    with database.connect() as connection:
        migrate(connection)
    return database.name


@pytest.fixture(scope="session")
def builds_models() -> None:
    """For tests and fixtures that build models in a database which had none: it marks them `dbt`."""


@pytest.fixture(scope="session")
def takes_long() -> None:
    """For tests that take long without a build, or whose figures need the machine to themselves."""


@pytest.fixture(scope="session")
def counts_on_time() -> None:
    """For tests that count on a quarter of a second by the clock without the fixture `tracker` or `proxy`."""


@pytest.fixture(autouse=True)
def no_models_are_built_unless_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that runs a refresh on the session's server without being marked `dbt`."""
    if "server" not in request.fixturenames:
        yield
        return
    # Where dbt writes what it runs.
    run = request.getfixturevalue("server").settings.home / "dbt" / "target" / "run"
    yield
    built_at = max((file.stat().st_mtime for file in run.rglob("*.sql")), default=None)
    if built_at != request.config.stash.get(_BUILT_AT, None):
        request.config.stash[_BUILT_AT] = built_at
        if request.node.get_closest_marker("dbt") is None:
            pytest.fail("This test builds models: let it use the fixture builds_models.")


@pytest.fixture(scope="session")
def built_template(server: Server, migrated_template: str) -> str:
    """Built under the tests' name and then renamed, so that dbt parses the project once for all of them."""
    from flows.steps import run_refresh

    database = server.create(NAME, template=migrated_template)
    run_refresh(database.settings)
    return server.rename(database, f"{NAME}_built")


@pytest.fixture
def empty(server: Server) -> Iterator[Database]:
    """A database with nothing in it."""
    yield server.create(NAME)
    server.drop(NAME)


@pytest.fixture
def migrated(server: Server, migrated_template: str) -> Iterator[Database]:
    """A database with the schema and no rows."""
    yield server.create(NAME, template=migrated_template)
    server.drop(NAME)


@pytest.fixture
def built(server: Server, built_template: str) -> Iterator[Database]:
    """A database with the schema, no rows, and every model built, so that the next refresh is incremental."""
    yield server.create(NAME, template=built_template)
    server.drop(NAME)
